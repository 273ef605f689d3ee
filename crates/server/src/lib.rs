//! The process: sockets, files, threads, configuration.

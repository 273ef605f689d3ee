//! The process: sockets, files, threads, configuration.

pub mod config;

//! Ostler as a library: see [`embed`] for servers of one's own that ZooKeeper clients talk to.

#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod embed;

//! The process: sockets, files, threads, configuration.
//!
//! What it decides itself is which thread does what and when. What a request means is decided in `state`, what is agreed in `consensus`.

// A stream whose reader has gone makes these panic; what is said goes through `tracing`.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod config;

pub mod client;
pub mod clock;
mod descriptors;
pub mod force_new_cluster;
mod host;
pub mod inbox;
pub mod mailbox;
pub mod observe;
pub mod peers;
pub mod serve;
pub mod shared;
pub mod simulation;
mod stall_detector;

//! The process: sockets, files, threads, configuration.
//!
//! This crate decides which thread does what and when. `state` decides what a request means,
//! `consensus` which commands are committed and in which order.

// These macros panic when the reader of the stream has gone; messages go through `tracing`.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod config;

pub mod announce;
pub mod audit;
pub mod client;
pub mod clock;
pub mod connections;
pub mod counters;
mod date;
#[cfg(feature = "net")]
mod descriptors;
pub mod failed_logins;
pub mod force_new_cluster;
pub mod handler;
pub mod handshake_throttle;
mod host;
pub mod inbox;
#[cfg(feature = "net")]
mod inline_cycle;
pub mod kerberos;
pub mod mailbox;
pub mod namespace;
pub mod observe;
mod outside_changes;
#[cfg(feature = "net")]
pub mod peers;
mod reader_progress;
#[cfg(feature = "net")]
pub mod serve;
pub mod shared;
#[cfg(any(test, feature = "testing"))]
pub mod simulation;
mod stall_detector;
pub mod stream;
mod token;
pub mod transport;
mod wake;

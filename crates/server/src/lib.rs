//! The process: sockets, files, threads, configuration.
//!
//! What it decides itself is which thread does what and when. What a request means is decided in `state`, what is agreed in `consensus`.

// A stream whose reader has gone makes these panic; what is said goes through `tracing`.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod config;

pub mod admin;
pub mod auth;
pub mod clock;
pub mod connections;
mod descriptors;
pub mod facts;
pub mod hearing;
pub mod inbox;
pub mod mailbox;
pub mod metrics;
mod metrics_member;
mod metrics_process;
pub mod metrics_quorum;
mod metrics_recorder;
pub mod peers;
pub mod report;
pub mod salvage;
pub mod serve;
pub mod sessions;
pub mod shared;
pub mod simulation;
pub mod throttle;
pub mod words;

mod answer;
mod io;
mod progress;
mod pulse;
mod replication;

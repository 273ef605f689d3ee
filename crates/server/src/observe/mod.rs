//! What operators see: counters, metrics, four-letter words and the AdminServer.

#[cfg(feature = "net")]
pub mod admin;
#[cfg(test)]
mod exposition_tests;
pub mod four_letter;
pub mod metrics;
mod metrics_process;
pub mod prometheus;
pub mod stats;
pub mod stats_source;

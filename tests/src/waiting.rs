//! Waiting for what other processes do.

use std::time::{Duration, Instant};

/// Repeats `attempt` until it answers something; panics if that takes longer than `patience`.
pub fn await_that<T>(patience: Duration, what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(begun.elapsed() < patience, "after {patience:?} it is not so that {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

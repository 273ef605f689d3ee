//! The server's two clocks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Time as the process sees it, or as a simulation sets it.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System { started: Instant },
    Manual(Arc<ManualTime>),
}

/// A time that advances only on request.
#[derive(Debug, Default)]
pub struct ManualTime {
    elapsed_us: AtomicU64,
    /// Wall clock at the start, in ms since 1970.
    start_ms: i64,
}

impl ManualTime {
    /// A clock at `start_ms` since 1970.
    pub fn new(start_ms: i64) -> Arc<ManualTime> {
        Arc::new(ManualTime { elapsed_us: AtomicU64::new(0), start_ms })
    }

    /// Advances the time by `us` microseconds.
    pub fn advance_us(&self, us: u64) {
        self.elapsed_us.fetch_add(us, Ordering::Relaxed);
    }
}

impl Clock {
    /// The system's clock, counting from now.
    pub fn start() -> Clock {
        Clock(Source::System { started: Instant::now() })
    }

    /// A clock that shows `time`.
    pub fn manual(time: Arc<ManualTime>) -> Clock {
        Clock(Source::Manual(time))
    }

    /// Milliseconds since the start, monotonic: for timeouts and latencies.
    pub fn elapsed_ms(&self) -> i64 {
        (self.elapsed_us() / 1000) as i64
    }

    /// Microseconds since the start.
    pub fn elapsed_us(&self) -> u64 {
        match &self.0 {
            Source::System { started } => u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
            Source::Manual(time) => time.elapsed_us.load(Ordering::Relaxed),
        }
    }

    /// Milliseconds since 1970 by the wall clock, which may jump: for times that clients read
    /// (ctime, mtime).
    pub fn wall_ms(&self) -> i64 {
        match &self.0 {
            Source::System { .. } => match SystemTime::now().duration_since(UNIX_EPOCH) {
                Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
                Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
            },
            Source::Manual(time) => time.start_ms + self.elapsed_ms(),
        }
    }
}

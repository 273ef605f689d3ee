//! The server's two clocks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Time as this process sees it, or as a simulation says it is.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System { started: Instant },
    Manual(Arc<ManualTime>),
}

/// A time that moves only when it is told to.
#[derive(Debug, Default)]
pub struct ManualTime {
    elapsed_us: AtomicU64,
    /// Wall clock at the start, in ms since 1970.
    start_ms: i64,
}

impl ManualTime {
    /// A clock that stands at `start_ms` since 1970.
    pub fn new(start_ms: i64) -> Arc<ManualTime> {
        Arc::new(ManualTime { elapsed_us: AtomicU64::new(0), start_ms })
    }

    /// So many microseconds go by.
    pub fn advance_us(&self, us: u64) {
        self.elapsed_us.fetch_add(us, Ordering::Relaxed);
    }
}

impl Clock {
    /// The system's clock, from now on.
    pub fn start() -> Clock {
        Clock(Source::System { started: Instant::now() })
    }

    /// A clock that shows `time`.
    pub fn manual(time: Arc<ManualTime>) -> Clock {
        Clock(Source::Manual(time))
    }

    /// Milliseconds since the start, never going back: for timeouts and latencies.
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

    /// Milliseconds since 1970 by the wall clock: for what clients read as a time (ctime, mtime). It may jump.
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

//! Wake-ups finer than the millisecond that a poll can wait for.

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use std::io;
use std::time::Duration;

/// The shortest interval worth a wake-up; more requests than that are sent in groups.
const INTERVAL_MIN: Duration = Duration::from_micros(50);

/// A timer that makes a poll return periodically.
#[derive(Debug)]
pub(super) struct Timer(OwnedFd);

impl Timer {
    /// A timer that wakes `token` every `interval`, or a little less often if that is very short.
    pub(super) fn every(interval: Duration, registry: &Registry, token: Token) -> io::Result<Self> {
        let interval = interval.max(INTERVAL_MIN);
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        let spec = Timespec { tv_sec: interval.as_secs() as i64, tv_nsec: interval.subsec_nanos().into() };
        timerfd_settime(
            &timer,
            TimerfdTimerFlags::empty(),
            &Itimerspec { it_interval: spec, it_value: spec },
        )?;
        registry.register(&mut SourceFd(&timer.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Self(timer))
    }

    /// Prepares for the next wake-up.
    pub(super) fn clear(&self) {
        // It returns how often the timer has fired since; if not at all, nothing is lost.
        let _ = rustix::io::read(&self.0, &mut [0u8; 8]);
    }
}

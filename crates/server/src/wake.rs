//! How a thread that waits in its poll is woken.

use std::fmt;

/// Wakes one thread. A simulation has none to wake.
pub trait Wake: fmt::Debug + Send + Sync {
    /// Ends the thread's present wait, or else its next one.
    fn wake(&self);
}

#[cfg(feature = "net")]
impl Wake for mio::Waker {
    fn wake(&self) {
        // Fails only if the poll is gone, and the thread with it.
        let _ = mio::Waker::wake(self);
    }
}

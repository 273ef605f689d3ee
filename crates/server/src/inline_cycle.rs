//! How a connection thread runs the replication cycle itself, without knowing the host.

/// Runs one cycle of the replication loop on the caller's thread.
pub(crate) trait InlineCycle: Send + Sync {
    /// Runs `hand_over` and then one cycle, if no other thread runs one and the latest flush was
    /// short. Returns whether it did.
    fn try_run_inline(&self, hand_over: &mut dyn FnMut()) -> bool;
}

//! The memory that the output of all connections takes, and which connections are closed when it is
//! too much.
//!
//! A connection with unread replies is not served until its client reads (`Connection::is_behind`),
//! and is closed when it alone holds too much. Many such clients could still exhaust the memory. So
//! the output of all connections together is bounded (`ostler.outputBytesMax`): above half of the
//! bound a client has to read earlier than usual before it is served again, and above the bound
//! those connections are closed that hold more than their share. A client that reads what it asks
//! for notices neither.

use std::sync::atomic::Ordering::Relaxed;

use super::IoThread;
use crate::shared::Shared;

/// Unread bytes above which a client has to read first while memory is short.
const SHORT_BACKLOG_BYTES: usize = 64 << 10;

impl Shared {
    /// Whether the unread replies of all clients take more than half of the bound.
    pub(super) fn is_short_of_output(&self) -> bool {
        self.counts.output_bytes.load(Relaxed) > self.config.connection.total_output_bytes_max / 2
    }

    /// The memory that each connection may hold while all together hold too much: an even share.
    fn output_share(&self) -> u64 {
        let holders = self.counts.output_holders.load(Relaxed).max(1);
        self.config.connection.total_output_bytes_max / holders
    }

    fn holds_too_much_output(&self) -> bool {
        self.counts.output_bytes.load(Relaxed) > self.config.connection.total_output_bytes_max
    }
}

impl IoThread {
    /// Whether the client has to read before it is served again because memory is short.
    pub(super) fn has_to_read_first(&self, backlog: usize) -> bool {
        backlog > SHORT_BACKLOG_BYTES && self.shared.is_short_of_output()
    }

    /// Updates the count of the bytes that a connection's output takes.
    pub(super) fn count_output(&mut self, slot: usize, held_bytes: usize) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        let before = std::mem::replace(&mut connection.counted_output_bytes, held_bytes);
        if before != held_bytes {
            recount(&self.shared, before, held_bytes);
        }
    }

    /// Closes connections of this thread while all connections together hold too much: the largest
    /// first, and none that holds less than its share. At least one holds more, on this thread or
    /// another.
    pub(super) fn free_output(&mut self) {
        if !self.shared.holds_too_much_output() {
            return;
        }
        let share = self.shared.output_share();
        let mut greedy: Vec<(usize, usize)> = self
            .connections
            .iter()
            .map(|(slot, connection)| (connection.counted_output_bytes, slot))
            .filter(|(bytes, _)| *bytes as u64 > share)
            .collect();
        greedy.sort_unstable();
        while self.shared.holds_too_much_output()
            && let Some((bytes, slot)) = greedy.pop()
        {
            if let Some(connection) = self.connections.get(slot) {
                tracing::warn!(
                    peer = %connection.traffic.peer,
                    bytes,
                    "closing a connection: its unread replies take more than its share of ostler.outputBytesMax, which all \
                     connections together have used up"
                );
            }
            self.close(slot);
        }
    }
}

/// A connection that held `before` bytes now holds `now`.
pub(super) fn recount(shared: &Shared, before: usize, now: usize) {
    let counts = &shared.counts;
    // The difference wraps if it is negative, and the sum wraps back.
    counts.output_bytes.fetch_add((now as u64).wrapping_sub(before as u64), Relaxed);
    match (before, now) {
        (0, 1..) => drop(counts.output_holders.fetch_add(1, Relaxed)),
        (1.., 0) => drop(counts.output_holders.fetch_sub(1, Relaxed)),
        _ => {}
    }
}

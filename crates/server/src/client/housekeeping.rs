//! The periodic checks of a connection thread.

use std::sync::atomic::Ordering::Relaxed;

use super::connection::{Connection, Phase};
use super::{HOUSEKEEPING, IoThread};
use crate::reader_progress::Progress;
use crate::stall_detector::StallDetector;

/// Whether there has been no cycle for `patience_ms`. A replication thread that stalls with its
/// disk hears from no leader, or is a leader that the others have long replaced: reads would show
/// an ever older state, and writes would hang.
fn has_stalled(detector: &mut StallDetector, cycles: u64, patience_ms: i64) -> bool {
    (i64::from(detector.missed(cycles)) - 1) * HOUSEKEEPING.as_millis() as i64 >= patience_ms
}

impl IoThread {
    /// Closes connections that have been without a session for too long or whose clients do not
    /// read the rest of their output, and all of them if the replication thread has stalled.
    pub(super) fn keep_house(&mut self) {
        if self.now_ms - self.housekept_ms < HOUSEKEEPING.as_millis() as i64 {
            return;
        }
        self.housekept_ms = self.now_ms;
        self.close_overdue();
        self.close_silent_readers();
        self.expire_questions();
        if let Some(ensemble) = &self.shared.config.ensemble
            && has_stalled(
                &mut self.stall_detector,
                self.shared.cycles.load(Relaxed),
                ensemble.leaderless_ms_max(),
            )
        {
            if !self.shared.stalled.swap(true, Relaxed) {
                tracing::error!(
                    "the replication thread has stalled, most likely with the disk: clients are not served"
                );
            }
            let all: Vec<usize> = self.connections.iter().map(|(slot, _)| slot).collect();
            all.into_iter().for_each(|slot| self.close(slot));
        }
    }

    /// Closes connections to a read-only server whose clients have been silent for their timeout:
    /// no server ends their sessions, and a client that has moved to another server says nothing.
    fn close_silent_readers(&mut self) {
        let is_silent =
            |c: &Connection| c.read_only && self.now_ms - c.seen_ms.load(Relaxed) > i64::from(c.timeout_ms);
        let silent: Vec<usize> =
            self.connections.iter().filter(|(_, c)| is_silent(c)).map(|(slot, _)| slot).collect();
        silent.into_iter().for_each(|slot| self.close(slot));
    }

    fn close_overdue(&mut self) {
        let limits = &self.shared.config.connection;
        let patience_ms = i64::from(limits.handshake_timeout_ms);
        let tls_patience_ms = patience_ms.min(i64::from(limits.tls_handshake_timeout_ms));
        let now_ms = self.now_ms;
        let (mut silent, mut stuck) = (Vec::new(), Vec::new());
        for (slot, connection) in &mut self.connections {
            if connection.phase == Phase::Closing {
                let leaving = connection.leaving.get_or_insert_with(|| Progress::begin(now_ms));
                if leaving.has_ceased(now_ms) {
                    stuck.push(slot);
                }
            } else if connection.session == 0 {
                let is_handshaking = connection.stream.is_handshaking();
                let patience_ms = if is_handshaking { tls_patience_ms } else { patience_ms };
                if now_ms - connection.since_ms > patience_ms {
                    silent.push(slot);
                }
            }
        }
        for slot in silent {
            self.shared.counts.handshakes_timed_out.fetch_add(1, Relaxed);
            self.close(slot);
        }
        stuck.into_iter().for_each(|slot| self.close(slot));
        self.write_closing();
    }

    /// Tries again to write to the connections that are closing. The system signals room in a
    /// socket only once there is much of it, and a slow reader would seem to take nothing until
    /// then.
    fn write_closing(&mut self) {
        let leaving = self.connections.iter().filter(|(_, c)| c.phase == Phase::Closing && c.blocked);
        let leaving: Vec<usize> = leaving.map(|(slot, _)| slot).collect();
        leaving.into_iter().for_each(|slot| self.list(slot));
        self.write();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_has_stalled_after_checks_without_a_cycle() {
        let mut detector = StallDetector::default();
        let seen = [5, 5, 5, 5, 6, 6, 6, 6, 6, 6].map(|cycles| has_stalled(&mut detector, cycles, 1_500));
        assert_eq!(seen, [false, false, false, false, false, false, false, false, true, true]);
    }
}

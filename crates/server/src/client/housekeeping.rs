//! What a connection thread looks after now and then.

use std::sync::atomic::Ordering::Relaxed;

use super::connection::{Connection, Phase};
use super::{HOUSEKEEPING, IoThread};
use crate::client::progress::Progress;
use crate::stall_detector::Pulse;

/// Whether there was no cycle for so long. A replication thread that stands still, because the disk does, hears no leader, or is one that the
/// others have long replaced; reads would show an ever older past, and writes hang.
fn is_missing(pulse: &mut Pulse, cycles: u64, patience_ms: i64) -> bool {
    (i64::from(pulse.missed(cycles)) - 1) * HOUSEKEEPING.as_millis() as i64 >= patience_ms
}

impl IoThread {
    /// Closes connections that have been without a session for too long or do not take what is left
    /// for them, and all of them if the replication thread stands still.
    pub(super) fn keep_house(&mut self) {
        if self.now_ms - self.housekept_ms < HOUSEKEEPING.as_millis() as i64 {
            return;
        }
        self.housekept_ms = self.now_ms;
        self.accept_after_a_pause();
        self.close_overdue();
        self.close_silent_readers();
        if let Some(ensemble) = &self.shared.config.ensemble
            && is_missing(
                &mut self.pulse,
                self.shared.flags.cycles.load(Relaxed),
                ensemble.leaderless_ms_max(),
            )
        {
            if !self.shared.flags.stalled.swap(true, Relaxed) {
                tracing::error!(
                    "the thread that orders and flushes stands still, most likely because the disk does: clients are not served"
                );
            }
            let all: Vec<usize> = self.connections.iter().map(|(slot, _)| slot).collect();
            all.into_iter().for_each(|slot| self.close(slot));
        }
    }

    /// Closes connections to a server that only reads whose clients have been silent for their
    /// timeout: nobody ends their sessions, and a client that has gone on elsewhere says no word.
    fn close_silent_readers(&mut self) {
        let is_silent =
            |c: &Connection| c.read_only && self.now_ms - c.seen_ms.load(Relaxed) > i64::from(c.timeout_ms);
        let silent: Vec<usize> =
            self.connections.iter().filter(|(_, c)| is_silent(c)).map(|(slot, _)| slot).collect();
        silent.into_iter().for_each(|slot| self.close(slot));
    }

    fn close_overdue(&mut self) {
        let patience_ms = i64::from(self.shared.config.connection.handshake_timeout_ms);
        let now_ms = self.now_ms;
        let (mut silent, mut deaf) = (Vec::new(), Vec::new());
        for (slot, connection) in &mut self.connections {
            if connection.phase == Phase::Closing {
                let leaving = connection.leaving.get_or_insert_with(|| Progress::begin(now_ms));
                if leaving.has_ceased(now_ms) {
                    deaf.push(slot);
                }
            } else if connection.session == 0 && now_ms - connection.since_ms > patience_ms {
                silent.push(slot);
            }
        }
        for slot in silent {
            self.shared.counts.handshakes_timed_out.fetch_add(1, Relaxed);
            self.close(slot);
        }
        deaf.into_iter().for_each(|slot| self.close(slot));
        self.offer_again();
    }

    /// Offers connections that end what is left for them. The system tells of room only once there
    /// is much of it, and a slow reader would seem to take nothing until then.
    fn offer_again(&mut self) {
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
    fn a_pulse_is_missing_after_looks_without_one() {
        let mut pulse = Pulse::default();
        let seen = [5, 5, 5, 5, 6, 6, 6, 6, 6, 6].map(|cycles| is_missing(&mut pulse, cycles, 1_500));
        assert_eq!(seen, [false, false, false, false, false, false, false, false, true, true]);
    }
}

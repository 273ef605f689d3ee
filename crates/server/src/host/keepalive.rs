//! Keepalives while the replication thread is blocked in a flush.
//!
//! That thread flushes, and talks to the other members in between. When its disk stalls for longer
//! than an election timeout, as shared disks do, the other members would miss it: followers their
//! leader, or a leader a follower that it needs for a majority. An election does not help then if
//! all members are on such a disk, and it aborts everything in progress. So another thread sends
//! keepalives meanwhile.
//!
//! It also reports to the leader which clients were heard from, because their server reads and
//! answers their pings while its disk stalls.
//!
//! It does so only for as long as clients are served without a leader. A disk that has not
//! recovered by then counts as lost, and another member must lead.

use std::sync::atomic::Ordering::Relaxed;
#[cfg(feature = "net")]
use std::time::Duration;

use group::message::{PeerMessage, ServerMessage};

use crate::config::Ensemble;
#[cfg(feature = "net")]
use crate::peers::SharedLinks;
use crate::shared::Shared;
use crate::stall_detector::StallDetector;
use group::session_reports::{self, Reports, Step};

/// Decides when to send keepalives.
#[derive(Debug, Default)]
pub(crate) struct KeepaliveTimer {
    stall_detector: StallDetector,
    /// By the group's number.
    reports: Vec<Reports>,
}

impl KeepaliveTimer {
    /// The frames to send now; empty unless the replication thread is stalled. Call it every
    /// `Ensemble::heartbeat_ms`.
    pub(crate) fn frames(&mut self, shared: &Shared, ensemble: &Ensemble) -> Vec<Vec<u8>> {
        let stalled_ms = self.stalled_ms(shared.cycles.load(Relaxed), ensemble);
        if stalled_ms == 0 {
            return Vec::new();
        }
        let mut messages = Vec::new();
        if counts_as_alive(stalled_ms, ensemble) {
            messages.push(PeerMessage::Server(ServerMessage::Alive));
        }
        // This thread does not know the leader, and the other members ignore the report. Clients
        // are heard here until their connections are closed.
        let now_ms = shared.clock.elapsed_ms();
        let until_ms = shared.read_progress.until_ms();
        self.reports.resize_with(shared.namespaces.len(), Reports::default);
        for (namespace, reports) in shared.namespaces.iter().zip(&mut self.reports) {
            if reports.step(now_ms, &namespace.sessions) == Step::Tell {
                let time = *namespace.leader_time.lock();
                let report = session_reports::report(&namespace.sessions, time, now_ms, until_ms);
                messages.push(PeerMessage::Group(namespace.group, report));
            }
        }
        // Makes the connection threads read their sockets and publish until when they have, for the
        // next report.
        shared.ask_to_look();
        let frame = |message: PeerMessage| {
            let mut frame = Vec::new();
            message.put(&mut frame);
            frame
        };
        messages.into_iter().map(frame).collect()
    }

    /// For how many ms the count of cycles has stayed at `cycles`.
    fn stalled_ms(&mut self, cycles: u64, ensemble: &Ensemble) -> i64 {
        i64::from(self.stall_detector.missed(cycles)) * i64::from(ensemble.heartbeat_ms)
    }
}

/// Whether a member still counts as alive after a stall of `stalled_ms`.
fn counts_as_alive(stalled_ms: i64, ensemble: &Ensemble) -> bool {
    stalled_ms > 0 && stalled_ms <= ensemble.leaderless_ms_max()
}

/// Sends keepalives when they are due, until the server stops. The thread that stops the server
/// should unpark this one.
#[cfg(feature = "net")]
pub(crate) fn watch(shared: &Shared, ensemble: &Ensemble, links: &SharedLinks) {
    let mut signs = KeepaliveTimer::default();
    while !shared.is_stopping() {
        let frames = signs.frames(shared, ensemble);
        if !frames.is_empty() {
            links.lock().send_to_idle(&frames);
        }
        std::thread::park_timeout(Duration::from_millis(ensemble.heartbeat_ms.into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::EngineKind;

    #[test]
    fn they_are_given_while_nothing_happens_but_not_for_ever() {
        let ensemble = Ensemble {
            members: Default::default(),
            engine: EngineKind::Raft,
            election_timeout_ms: 300,
            heartbeat_ms: 30,
            linearizable_reads: false,
            listen_on_all_ips: false,
            secret: None,
            is_secret_required: true,
        };
        let mut signs = KeepaliveTimer::default();
        let due = |signs: &mut KeepaliveTimer, cycles| {
            counts_as_alive(signs.stalled_ms(cycles, &ensemble), &ensemble)
        };
        assert!((1..100).all(|cycles| !due(&mut signs, cycles)), "there are cycles");
        let given = (0..1_000).take_while(|_| due(&mut signs, 99)).count();
        assert_eq!(given as i64, ensemble.leaderless_ms_max() / 30);
        assert!((0..1_000).all(|_| !due(&mut signs, 99)), "the disk counts as lost");
        assert!(!due(&mut signs, 100), "it comes back");
        assert!(due(&mut signs, 100), "and hangs again");
    }
}

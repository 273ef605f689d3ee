//! Signs of life while the replication thread stands still.
//!
//! That thread flushes, and talks to the other members in between. When a disk stands still for longer than an election timeout, as
//! disks do that others use as well, its member would be missed: a leader by its followers, followers by a leader that needs a
//! majority. An election helps nobody then if all are on such a disk, and breaks off everything that is under way. So another thread says
//! meanwhile that the member lives.
//!
//! It tells the leader as well which clients were heard of, for their server reads and answers them
//! while its disk stands still.
//!
//! It says so for as long only as clients are served without a leader. A disk that has not come back by then counts as lost, and
//! somebody else is to lead.

use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use group::message::{PeerMessage, ServerMessage};

use crate::config::Ensemble;
use crate::peers::SharedLinks;
use crate::shared::Shared;
use crate::stall_detector::Pulse;
use group::group::GROUP;
use group::session_reports::{self, Reports, Step};

/// Decides when to give them.
#[derive(Debug, Default)]
pub(crate) struct LifeSigns {
    pulse: Pulse,
    reports: Reports,
}

impl LifeSigns {
    /// What to send now. To be asked every `Ensemble::heartbeat_ms`.
    pub(crate) fn frames(&mut self, shared: &Shared, ensemble: &Ensemble) -> Vec<Vec<u8>> {
        let still_ms = self.still_ms(shared.flags.cycles.load(Relaxed), ensemble);
        if still_ms == 0 {
            return Vec::new();
        }
        let mut messages = Vec::new();
        if is_borne(still_ms, ensemble) {
            messages.push(PeerMessage::Server(ServerMessage::Alive));
        }
        // Who leads is not known to this thread, and nobody else minds. Clients are heard here
        // until they are sent away.
        let now_ms = shared.clock.elapsed_ms();
        if self.reports.step(now_ms, &shared.sessions) == Step::Tell {
            let report = session_reports::report(&shared.of_group(), now_ms, shared.hearing.until_ms());
            messages.push(PeerMessage::Group(GROUP, report));
        }
        // For the next report.
        shared.ask_to_look();
        let frame = |message: PeerMessage| {
            let mut frame = Vec::new();
            message.put(&mut frame);
            frame
        };
        messages.into_iter().map(frame).collect()
    }

    /// For how long nothing has happened, where there were so many cycles until now.
    fn still_ms(&mut self, cycles: u64, ensemble: &Ensemble) -> i64 {
        i64::from(self.pulse.missed(cycles)) * i64::from(ensemble.heartbeat_ms)
    }
}

/// Whether a member counts as alive though it has stood still for so long.
fn is_borne(still_ms: i64, ensemble: &Ensemble) -> bool {
    still_ms > 0 && still_ms <= ensemble.leaderless_ms_max()
}

/// Gives signs of life when they are due, until the server stops. Whoever stops it should unpark this thread.
pub(crate) fn watch(shared: &Shared, ensemble: &Ensemble, links: &SharedLinks) {
    let mut signs = LifeSigns::default();
    while !shared.is_stopping() {
        let frames = signs.frames(shared, ensemble);
        if !frames.is_empty() {
            links.lock().send_to_idle(&frames);
        }
        thread::park_timeout(Duration::from_millis(ensemble.heartbeat_ms.into()));
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
        let mut signs = LifeSigns::default();
        let due = |signs: &mut LifeSigns, cycles| is_borne(signs.still_ms(cycles, &ensemble), &ensemble);
        assert!((1..100).all(|cycles| !due(&mut signs, cycles)), "there are cycles");
        let given = (0..1_000).take_while(|_| due(&mut signs, 99)).count();
        assert_eq!(given as i64, ensemble.leaderless_ms_max() / 30);
        assert!((0..1_000).all(|_| !due(&mut signs, 99)), "the disk counts as lost");
        assert!(!due(&mut signs, 100), "it comes back");
        assert!(due(&mut signs, 100), "and hangs again");
    }
}

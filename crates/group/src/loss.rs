//! Detects that this member's disk has lost entries that the others count on.
//!
//! A leader may count on entries this member does not have. Then they were flushed here once and
//! are gone, and the member must not go on: its vote could elect a member that lacks them as well.
//! But a faulty leader makes the same claim, and no process may end on the word of one other. So
//! the member asks all others, and ends when a majority of the voters confirms that it follows that
//! leader and has itself committed entries that far. Until then it does not process such messages.

use std::collections::BTreeSet;

use crate::message::{Claimed, GroupMessage};
use consensus::entry::MemberId;

use crate::group::{Action, Group};
use state::members::ServerId;

/// How often the others are asked, in ms.
const ASK_MS: i64 = 100;

/// A suspicion that no message repeats is dropped after this time, in ms.
const FORGET_MS: i64 = 10_000;

/// A leader's claim under investigation.
#[derive(Debug)]
pub(crate) struct Suspicion {
    claimed: Claimed,
    /// When it was last received, in ms of the server's clock.
    heard_ms: i64,
    /// When the others must be asked again, by the same clock.
    ask_due_ms: i64,
    upheld: BTreeSet<MemberId>,
}

impl Group {
    /// A member claims to lead, and counts on entries that are not here.
    pub(crate) fn suspect_loss(&mut self, claimed: Claimed) {
        let now_ms = self.now.ms;
        let open = self.loss.take().filter(|open| now_ms - open.heard_ms <= FORGET_MS);
        // A leader's later claims reach further; the first one is as good a reason.
        let open = open.filter(|open| {
            (open.claimed.leader, open.claimed.term) == (claimed.leader, claimed.term)
                || open.claimed.term > claimed.term
        });
        let mut suspicion = open.unwrap_or_else(|| {
            tracing::error!(
                "server.{} leads term {} and counts on entries up to {} of this server, which has none after {}: asking the others \
                 whether this disk has lost them",
                crate::server_of(claimed.leader),
                claimed.term,
                claimed.index,
                self.replica.status().last_index
            );
            Suspicion { claimed, heard_ms: now_ms, ask_due_ms: now_ms, upheld: BTreeSet::new() }
        });
        suspicion.heard_ms = now_ms;
        let claimed = suspicion.claimed;
        if now_ms >= suspicion.ask_due_ms {
            suspicion.ask_due_ms = now_ms + ASK_MS;
            for server in self.others() {
                self.send_group(server, GroupMessage::Missing(claimed));
            }
        }
        self.loss = Some(suspicion);
    }

    /// Another member asks whether its disk has lost entries.
    pub(crate) fn on_missing(&mut self, from: ServerId, claimed: Claimed) {
        let role = self.replica.role();
        let is_so = (role.leader, role.term) == (Some(claimed.leader), claimed.term)
            && self.replica.commit() >= claimed.index;
        if is_so {
            self.send_group(from, GroupMessage::Upheld(claimed));
        }
    }

    /// Another member confirms the claim.
    pub(crate) fn on_upheld(&mut self, from: ServerId, claimed: Claimed) {
        let me = self.replica.member();
        let status = self.replica.status();
        let voters = status.membership.voters;
        let voter = voters.iter().find(|voter| crate::server_of(**voter) == from && **voter != me);
        let (Some(suspicion), Some(voter)) = (&mut self.loss, voter) else { return };
        if suspicion.claimed != claimed {
            return;
        }
        if status.last_index >= claimed.index {
            self.loss = None;
            return;
        }
        suspicion.upheld.insert(*voter);
        let is_majority = suspicion.upheld.len() > voters.len() / 2;
        if is_majority && suspicion.upheld.contains(&claimed.leader) {
            self.act(Action::EndForLostLog);
        }
    }
}

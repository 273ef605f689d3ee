//! Checks messages from other members before the `raft` crate sees them.
//!
//! The crate trusts its peers: it panics on some messages and believes others that no correct
//! member sends. A faulty member must not stop this one, nor make it break its promises.

use super::RaftEngine;
use crate::engine::{SnapshotOffer, StepError};
use crate::entry::{Entry, EntryKind, Position};
use crate::message::{Body, Message};

/// Read requests of followers that may wait for an answer. Further ones are dropped: the followers
/// retry.
const OPEN_READS_MAX: usize = 4096;

impl RaftEngine {
    /// Refuses what no correct member sends.
    pub(super) fn check(&mut self, message: &Message) -> Result<(), StepError> {
        let raft = &self.raw.raft;
        let is_leaders =
            matches!(message.body, Body::Append { .. } | Body::Heartbeat { .. } | Body::Snapshot(_));
        let has_other_leader = raft.leader_id != 0 && raft.leader_id != message.from.0;
        if is_leaders && message.term == raft.term && has_other_leader {
            return Err(StepError::Malformed("a second leader of one term"));
        }
        if let Body::Append { previous, entries, .. } = &message.body {
            self.check_entries(message.term, *previous, entries)?;
        }
        // A pre-vote, or a granted one, makes no member adopt the term.
        let is_trial = matches!(
            message.body,
            Body::Vote { trial: true, .. } | Body::VoteReply { trial: true, refused: false, .. }
        );
        let own = self.raw.raft.term;
        if message.term > own && !is_trial {
            let leader = is_leaders.then_some(message.from);
            if !self.term_guard.admits(own, message.term, leader) {
                return Err(StepError::FarTerm { term: message.term });
            }
        }
        Ok(())
    }

    fn check_entries(&self, term: u64, previous: Position, entries: &[Entry]) -> Result<(), StepError> {
        let is_command = self.settings.is_command;
        if entries.iter().any(|entry| entry.kind == EntryKind::Command && !is_command(&entry.data)) {
            return Err(StepError::Malformed("an entry that is no command"));
        }
        let raft_log = &self.raw.raft.raft_log;
        let last_index = raft_log.last_index();
        if previous.index >= last_index {
            return Ok(());
        }
        // Entries of that term here came from its only leader, and a leader never replaces its own
        // entries.
        let known = entries.iter().take_while(|entry| entry.index <= last_index);
        let mut replaced = known.filter(|entry| !raft_log.match_term(entry.index, entry.term));
        if replaced.next().is_some_and(|entry| raft_log.match_term(entry.index, term)) {
            return Err(StepError::Malformed("a leader that replaces its own entries"));
        }
        Ok(())
    }

    /// A leader that asks for votes has restarted or stepped down. The crate would refuse it for as
    /// long as a leader was heard from recently, and a server whose disk stalls is heard from all
    /// the time ([`heard_of`](crate::engine::Engine::heard_of)).
    pub(super) fn forget_leader_that_campaigns(&mut self, message: &Message) {
        let raft = &mut self.raw.raft;
        let campaigns = matches!(message.body, Body::Vote { .. }) && message.term > raft.term;
        if campaigns && raft.leader_id == message.from.0 {
            raft.leader_id = raft::INVALID_ID;
        }
    }

    /// Refuses messages that would make the crate panic, and handles those it must not see yet.
    /// Returns whether the message is handled.
    pub(super) fn intercept(&mut self, message: &Message) -> Result<bool, StepError> {
        let raft = &self.raw.raft;
        let last_index = raft.raft_log.last_index();
        let is_of_leader = message.term == raft.term && raft.leader_id == message.from.0;
        match &message.body {
            Body::Heartbeat { commit, .. } if message.term >= raft.term && *commit > last_index => {
                Err(StepError::LostLog { index: *commit, term: message.term })
            }
            Body::AppendReply { index, refused: None, .. } if self.leads() && message.term == raft.term => {
                if *index > last_index {
                    Err(StepError::Malformed("reply beyond the log"))
                } else {
                    Ok(false)
                }
            }
            Body::Snapshot(meta) => {
                let Position { term, index } = meta.position;
                let is_known = index <= raft.raft_log.committed || raft.raft_log.match_term(index, term);
                if is_known || message.term < raft.term {
                    return Ok(false);
                }
                self.offer = Some(SnapshotOffer { from: message.from, meta: meta.clone() });
                Ok(true)
            }
            // A follower would forward it in the name of the member that asked; that member retries
            // anyway. A removed member that does not know of its removal gets no answer: it would
            // take any message of the leader as a sign that it still belongs to the group.
            Body::ReadAsk(_) => {
                let is_member = self.members.latest().contains(message.from);
                Ok(!self.leads() || !is_member || raft.pending_read_count() >= OPEN_READS_MAX)
            }
            // The crate takes the index in any answer as committed.
            Body::ReadAnswer { .. } => Ok(!is_of_leader),
            Body::CampaignNow => Ok(!is_of_leader || !self.may_campaign()),
            _ => Ok(false),
        }
    }
}

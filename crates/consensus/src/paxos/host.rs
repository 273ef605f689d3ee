//! Fills the [`Ready`]s for the host.

use super::members::Members;
use super::{PaxosEngine, Stage};
use crate::engine::Ready;
use crate::entry::HardState;

impl PaxosEngine {
    pub(super) fn fill(&mut self, out: &mut Ready) -> bool {
        out.clear();
        self.install_fetched(out);
        self.ask_reads();
        self.replicate();
        self.acknowledge();
        self.fill_disk_work(out);
        self.fill_committed(out);
        self.outbox.post(&self.flushes, &mut out.messages);
        out.number = self.flushes.number;
        out.barriers.append(&mut self.answered);
        out.snapshot_offer = self.offer.take();
        out.snapshot_wanted = std::mem::take(&mut self.snapshot_wanted);
        self.update_role();
        if self.role_reported != self.current_role {
            self.role_reported = self.current_role;
            out.role = Some(self.role_reported);
        }
        let has_for_disk =
            out.install_snapshot.is_some() || !out.entries.is_empty() || out.hard_state.is_some();
        let has_news = !out.barriers.is_empty() || out.snapshot_offer.is_some() || out.role.is_some();
        has_for_disk
            || has_news
            || out.snapshot_wanted
            || !out.messages.is_empty()
            || !out.committed.is_empty()
    }

    /// Starts the log over at a fetched snapshot, unless the log has caught up in the meantime.
    ///
    /// What a snapshot contains is chosen, so it does not matter which member leads now, if any.
    fn install_fetched(&mut self, out: &mut Ready) {
        let can_install = matches!(self.stage, Stage::Follower) && self.installing.is_none();
        let Some(meta) = self.fetched.take_if(|_| can_install) else { return };
        self.learn(meta.position);
        if meta.position.index <= self.commit || !meta.membership.contains(self.settings.member) {
            return;
        }
        let index = meta.position.index;
        self.follow_ballot(meta.position.term);
        if self.matched >= index {
            // This member has accepted something else there, so there has been a later leader: see
            // `contradicts`.
            self.leave_ballot();
        }
        self.flushes.install(index, self.commit);
        self.log.install(meta.clone());
        self.members = Members::new(meta.clone(), index);
        self.commit = index;
        self.matched = index;
        self.emitted = index;
        self.acknowledges = true;
        out.install_snapshot = Some(meta);
    }

    /// One acknowledgement for everything accepted since the last `Ready`.
    fn acknowledge(&mut self) {
        let is_due = std::mem::take(&mut self.acknowledges);
        let Some(leader) = self.leader.filter(|_| is_due && !self.leads()) else { return };
        let body = super::message::Body::Accepted { index: self.matched };
        self.outbox.send_when_flushed(leader, self.promised, body);
    }

    fn fill_disk_work(&mut self, out: &mut Ready) {
        let last = self.log.last_position().index;
        out.entries.extend(self.log.range(self.flushes.given + 1, last + 1, u64::MAX).cloned());
        let hard_state = HardState { term: self.promised, vote: None, commit: self.commit };
        let is_new_ballot = hard_state.term != self.flushes.hard_state.term;
        // A host may connect and disconnect members when it sees a change in force. A crash must
        // not undo what it has seen.
        let has_new_members = self.members.wants_flush(self.commit);
        let has_content = out.install_snapshot.is_some() || !out.entries.is_empty();
        out.must_sync = has_content || is_new_ballot || has_new_members;
        if !out.must_sync && hard_state == self.flushes.hard_state {
            return;
        }
        self.flushes.number += 1;
        let number = self.flushes.number;
        if hard_state != self.flushes.hard_state || has_new_members {
            self.flushes.hard_state = hard_state;
            out.hard_state = Some(hard_state);
        }
        if has_content {
            self.flushes.give(number, last);
        }
        if let Some(meta) = &out.install_snapshot {
            self.installing = Some((number, meta.position.index));
        }
        if is_new_ballot {
            self.flushes.ballot_number = number;
        }
        if has_new_members {
            self.members.flushing(number, self.commit);
        }
        if out.must_sync {
            self.flushes.sync_number = number;
        }
    }

    fn fill_committed(&mut self, out: &mut Ready) {
        let end = self.commit.min(self.flushes.persisted);
        if end > self.emitted {
            let chosen = self.log.range(self.emitted + 1, end + 1, self.settings.committed_bytes_max);
            out.committed.extend(chosen.cloned());
            self.emitted += out.committed.len() as u64;
        }
    }
}

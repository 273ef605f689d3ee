//! Converts the crate's pending work to a [`Ready`].

use ::raft::StateRole;
use ::raft::eraftpb::{Message as RaftMessage, MessageType};

use super::members::Members;
use super::{RaftEngine, convert};
use crate::engine::{Outgoing, Ready, Settings};
use crate::entry::{EntryKind, MemberId};
use crate::membership::MembershipChange;
use crate::message::{Body, Message, ReadName};

/// The last index this member has acknowledged, to which leader and in which term.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Confirmed {
    to: u64,
    term: u64,
    index: u64,
}

impl RaftEngine {
    /// Whether all that is new in a message is the leader's commit.
    pub(super) fn carries_only_commit(&self, message: &Message) -> bool {
        let known = self.raw.raft.raft_log.committed;
        matches!(&message.body, Body::Append { commit, entries, .. } if entries.is_empty() && *commit > known)
    }

    /// Drops the crate's reply to a message if it only repeats the last acknowledgement because the
    /// commit has moved. `count_before` is the number of pending messages before the crate handled
    /// it. The crate replies to a new commit as well; the leader learns nothing from it, but with
    /// little load it costs a wake-up at either end for each entry. An acknowledgement repeated for
    /// any other reason stays: the first one may have been lost.
    pub(super) fn drop_repeated_confirmation(&mut self, count_before: usize, carries_only_commit: bool) {
        let answers = &mut self.raw.raft.msgs;
        let Some(answer) = answers.get(count_before).filter(|_| answers.len() == count_before + 1) else {
            return;
        };
        if answer.get_msg_type() != MessageType::MsgAppendResponse || answer.reject {
            return;
        }
        let confirmed = Confirmed { to: answer.to, term: answer.term, index: answer.index };
        if carries_only_commit && confirmed == self.confirmed {
            answers.truncate(count_before);
        }
        self.confirmed = confirmed;
    }

    /// Requests barriers for waiting reads if this member leads or knows the leader.
    pub(super) fn ask_reads(&mut self) {
        if !self.barriers.has_request() {
            return;
        }
        let raft = &self.raw.raft;
        let can_be_answered = match raft.state {
            // A leader that has not committed in its own term does not know the commit, and would
            // drop the request.
            StateRole::Leader => raft.commit_to_current_term(),
            StateRole::Follower => raft.leader_id != 0,
            _ => false,
        };
        if can_be_answered {
            let Settings { member, boot_nonce, .. } = self.settings;
            let name = ReadName { member, boot_nonce, counter: self.barriers.ask() };
            self.raw.read_index(name.to_vec());
        }
    }

    /// Passes a fetched snapshot to the crate, as if the current leader had sent it.
    ///
    /// The member that offered it may have lost leadership while it was fetched, and the crate
    /// would ignore its message. But what a snapshot contains is committed, hence part of every
    /// later leader's log.
    pub(super) fn install_fetched(&mut self) {
        let raft = &self.raw.raft;
        let can_install =
            raft.state == StateRole::Follower && raft.leader_id != 0 && self.installing.is_none();
        let Some(meta) = self.fetched.take_if(|_| can_install) else { return };
        if meta.position.index <= raft.raft_log.committed || !meta.membership.contains(self.settings.member) {
            return;
        }
        let message = Message {
            group: self.settings.group,
            from: MemberId(raft.leader_id),
            to: self.settings.member,
            term: raft.term,
            body: Body::Snapshot(meta),
        };
        self.raw.step(convert::raft_message(message)).expect("a snapshot is no answer");
    }

    /// Moves the crate's pending work into `out`.
    pub(super) fn take_raw_ready(&mut self, out: &mut Ready) {
        let mut ready = self.raw.ready();
        let number = ready.number();
        out.must_sync = ready.must_sync();
        out.hard_state = ready.hs().map(convert::hard_state);
        if !ready.snapshot().is_empty() {
            let meta = convert::snapshot_meta(ready.snapshot());
            self.raw.mut_store().log.install(meta.clone());
            self.members = Members::new(meta.clone());
            self.installing = Some((number, meta.position.index));
            self.emitted = meta.position.index;
            out.install_snapshot = Some(meta);
        }
        let log = &mut self.raw.mut_store().log;
        for entry in ready.take_entries() {
            let entry = convert::entry(entry);
            log.append(entry.clone());
            out.entries.push(entry);
        }
        for entry in ready.take_committed_entries() {
            self.emitted = entry.index;
            out.committed.push(convert::entry(entry));
        }
        self.record_memberships(number, out);
        for state in ready.take_read_states() {
            let name = ReadName::from_bytes(&state.request_ctx).expect("names are made here");
            // An answer to an earlier run of this process may still be in flight; its counter means
            // nothing here.
            if (name.member, name.boot_nonce) == (self.settings.member, self.settings.boot_nonce) {
                self.barriers.answer(name.counter, state.index, &mut out.barriers);
            }
        }
        let group = self.settings.group;
        out.messages.extend(ready.take_messages().into_iter().map(|message| outgoing(group, message)));
        let held = ready.take_persisted_messages();
        self.raw.advance_append_async(ready);
        if out.must_sync {
            self.sync_number = number;
        }
        let held = held.into_iter().map(|message| outgoing(group, message));
        if self.sync_number <= self.persisted_number {
            out.messages.extend(held);
            // Nothing in it needs a report, so the crate must not wait for one.
            self.raw.on_persist_ready(number);
        } else if held.len() > 0 {
            self.held_messages.push_back((self.sync_number, held.collect()));
        }
        self.number = number;
    }

    /// Membership changes among the committed entries take effect when this `Ready` is flushed,
    /// with its commit.
    fn record_memberships(&mut self, number: u64, out: &mut Ready) {
        let changes = out.committed.iter().filter(|entry| entry.kind == EntryKind::Membership);
        let before = self.members.pending_count();
        for entry in changes {
            let change =
                MembershipChange::from_bytes(&entry.data).expect("checked when proposed or received");
            self.members.committed(number, entry.index, change);
        }
        if self.members.pending_count() > before {
            out.must_sync = true;
            out.hard_state = Some(convert::hard_state(&self.raw.raft.hard_state()));
        }
    }
}

fn outgoing(group: u64, message: RaftMessage) -> Outgoing {
    Outgoing { to: MemberId(message.to), bytes: convert::message(group, message).encode() }
}

//! [`Engine`] implemented with Raft, by the `raft` crate.
//!
//! The crate implements the protocol. This module adds:
//! - the log in memory ([`store`]) and this project's own formats for everything that leaves the
//!   process ([`convert`]);
//! - holding back messages until what they promise is flushed, so that no host can send them early;
//! - membership changes that take effect only when their commit is flushed (see `persisted`);
//! - a group of one that elects itself at once;
//! - election timeouts from the seed: the crate draws them from the thread's random numbers;
//! - snapshots fetched before the crate is told of them, since the crate then forgets its log at
//!   once;
//! - reads retried until they are answered ([`Barriers`]).

mod config;
mod convert;
mod intake;
mod members;
mod outbound;
mod peers;
mod store;

use std::collections::VecDeque;

use ::raft::eraftpb::{Entry as RaftEntry, Message as RaftMessage, MessageType};
use ::raft::{RawNode, StateRole};
use bytes::Bytes;

use self::members::Members;
use self::outbound::Confirmed;
use self::peers::SnapshotWaits;
use self::store::Store;
use crate::barriers::Barriers;
use crate::engine::{
    ChangeError, Engine, Leadership, Outgoing, ProposeError, Ready, Refused, Role, Settings, SnapshotOffer,
    Start, Status, StepError, TooManyReads,
};
use crate::entry::MemberId;
use crate::log::Log;
use crate::membership::{MembershipChange, SnapshotMeta};
use crate::message::Message;
use crate::term_guard::TermGuard;
use crate::timeout::placed_timeout_ticks;

/// One member of a Raft group.
pub struct RaftEngine {
    settings: Settings,
    raw: RawNode<Store>,
    /// Accepted, and not yet handed to the crate: one call for a batch is far cheaper than one
    /// each.
    proposals: Vec<RaftEntry>,
    /// Sum of the data lengths of `proposals`.
    proposal_bytes: u64,
    /// Number of the last `Ready` that came from the crate.
    number: u64,
    /// Number of the last `Ready` that must be flushed.
    sync_number: u64,
    /// Flushed up to this number. If it is at least `sync_number`, all messages may be sent.
    persisted_number: u64,
    /// Messages that may be sent once that number is persisted; in order.
    held_messages: VecDeque<(u64, Vec<Outgoing>)>,
    /// Messages whose flush is done.
    released_messages: Vec<Outgoing>,
    /// Highest index given out in `committed`. Invariant: at least `applied`.
    emitted: u64,
    /// As reported by the host; the crate may be told less, see `advance_applied`.
    applied: u64,
    members: Members,
    barriers: Barriers,
    offer: Option<SnapshotOffer>,
    /// Fetched by the host; to be installed as soon as there is a leader.
    fetched: Option<SnapshotMeta>,
    /// Number of the `Ready`, and index, of a snapshot given out to install. Until it is persisted
    /// the crate's log has a gap before it, in which the crate would look for membership changes if
    /// it stood for election.
    installing: Option<(u64, u64)>,
    snapshot_waits: SnapshotWaits,
    confirmed: Confirmed,
    term_guard: TermGuard,
    role_reported: Leadership,
    current_role: Leadership,
}

impl RaftEngine {
    /// A member with its persisted state, or a new one. Alone in its group, it leads at once.
    ///
    /// # Panics
    /// If the settings contradict each other, or `start` is not what a correct host can have
    /// flushed.
    #[must_use]
    pub fn new(settings: Settings, start: Start) -> Self {
        let store = Store::new(start);
        let applied = store.log.snapshot_meta().position.index;
        let members = Members::new(store.log.snapshot_meta().clone());
        // Drop all log output: what matters is in `Ready` and `status`.
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let raw = RawNode::new(&config::config(&settings, applied), store, &logger)
            .expect("the settings do not contradict each other");
        let mut engine = Self {
            barriers: Barriers::new(settings.election_ticks),
            snapshot_waits: SnapshotWaits::new(settings.election_ticks * 2),
            term_guard: TermGuard::new(1, settings.election_ticks),
            settings,
            raw,
            proposals: Vec::new(),
            proposal_bytes: 0,
            number: 0,
            sync_number: 0,
            persisted_number: 0,
            held_messages: VecDeque::new(),
            released_messages: Vec::new(),
            emitted: applied,
            applied,
            members,
            offer: None,
            fetched: None,
            installing: None,
            confirmed: Confirmed::default(),
            role_reported: Leadership::default(),
            current_role: Leadership::default(),
        };
        engine.campaign_if_alone();
        engine.update_role();
        engine
    }

    fn log(&self) -> &Log {
        &self.raw.store().log
    }

    fn leads(&self) -> bool {
        self.raw.raft.state == StateRole::Leader
    }

    /// Must be called after everything that may have changed the crate's role or term.
    fn update_role(&mut self) {
        let raft = &mut self.raw.raft;
        // A pure function of the term, not the next number of a sequence: the crate resets the
        // timeout at times not visible here.
        let ticks = placed_timeout_ticks(&self.settings, raft.term, self.members.latest()) as usize;
        if raft.randomized_election_timeout() != ticks {
            raft.set_randomized_election_timeout(ticks);
        }
        let role = self.role();
        if role != self.current_role {
            self.current_role = role;
            self.barriers.retry_all();
        }
    }

    /// Whether it may stand for election.
    ///
    /// The crate requires that a member wins only with a flushed log. In a larger group the vote
    /// requests wait for that anyway; alone, the member would win within the call.
    fn may_campaign(&self) -> bool {
        let raft = &self.raw.raft;
        let is_flushed = raft.raft_log.persisted == raft.raft_log.last_index();
        self.installing.is_none() && !self.leads() && (is_flushed || !raft.prs().is_singleton())
    }

    fn campaign_if_alone(&mut self) {
        let is_alone = self.raw.raft.prs().is_singleton() && self.raw.raft.promotable();
        if is_alone && self.may_campaign() {
            self.raw.campaign().expect("the crate never refuses to stand for election with an error");
        }
    }

    /// Hands the proposals to the crate. Must be called before everything that could change the
    /// role, so that accepted proposals are in the log of this leadership.
    fn flush_proposals(&mut self) {
        if self.proposals.is_empty() {
            return;
        }
        let mut message = RaftMessage::default();
        message.set_msg_type(MessageType::MsgPropose);
        message.from = self.settings.member.0;
        message.set_entries(std::mem::take(&mut self.proposals).into());
        self.proposal_bytes = 0;
        self.raw.raft.step(message).expect("checked when each was proposed; nothing has changed since");
    }

    fn check_may_propose(&self) -> Result<(), ProposeError> {
        if !self.leads() {
            return Err(ProposeError::NotLeader { leader: self.role().leader });
        }
        if self.raw.raft.lead_transferee.is_some() {
            return Err(ProposeError::Transferring);
        }
        Ok(())
    }

    /// Tells the crate what is applied, but not beyond a membership change that is not in force
    /// yet: the crate would allow the next change, and elections, too early.
    fn advance_applied(&mut self) {
        let limit = self.members.first_pending().map_or(u64::MAX, |index| index - 1);
        let index = self.applied.min(limit);
        if self.installing.is_none() && index > self.raw.raft.raft_log.applied {
            self.raw.advance_apply_to(index);
        }
    }
}

impl Engine for RaftEngine {
    fn tick(&mut self) {
        self.flush_proposals();
        if self.leads() || self.may_campaign() {
            self.raw.tick();
        }
        self.barriers.tick();
        self.term_guard.tick();
        if self.leads() {
            self.term_guard.leader_heard();
        }
        self.snapshot_waits.tick(&mut self.raw);
        self.campaign_if_alone();
        self.update_role();
    }

    fn propose(&mut self, data: Bytes) -> Result<(), Refused> {
        assert!(!data.is_empty(), "an empty entry starts a leadership and is not proposed");
        if let Err(reason) = self.check_may_propose() {
            return Err(Refused { reason, data });
        }
        let bytes = self.raw.raft.uncommitted_size() as u64 + self.proposal_bytes;
        if bytes > 0 && bytes + data.len() as u64 > self.settings.uncommitted_bytes_max {
            return Err(Refused { reason: ProposeError::Busy, data });
        }
        self.proposal_bytes += data.len() as u64;
        self.proposals.push(RaftEntry { data, ..Default::default() });
        Ok(())
    }

    fn step(&mut self, from: MemberId, bytes: Bytes) -> Result<(), StepError> {
        let message = Message::decode(bytes)?;
        let Settings { group, member, .. } = self.settings;
        if (message.group, message.to, message.from) != (group, member, from) {
            return Err(StepError::Misdirected);
        }
        self.flush_proposals();
        self.check(&message)?;
        self.forget_leader_that_campaigns(&message);
        if !self.intercept(&message)? {
            let carries_only_commit = self.carries_only_commit(&message);
            let count_before = self.raw.raft.msgs.len();
            let term = self.raw.raft.term;
            // The one error left is an answer from a former member, which means nothing.
            let _ = self.raw.step(convert::raft_message(message));
            self.term_guard.term_raised(term, self.raw.raft.term);
            self.drop_repeated_confirmation(count_before, carries_only_commit);
        }
        if self.raw.raft.leader_id == from.0 {
            self.term_guard.leader_heard();
        }
        self.update_role();
        Ok(())
    }

    fn heard_of(&mut self, from: MemberId) {
        let raft = &mut self.raw.raft;
        if raft.state == StateRole::Leader {
            raft.mut_prs().get_mut(from.0).into_iter().for_each(|progress| progress.recent_active = true);
        } else if raft.state == StateRole::Follower && raft.leader_id == from.0 {
            raft.election_elapsed = 0;
        }
    }

    fn ready(&mut self, out: &mut Ready) -> bool {
        out.clear();
        self.flush_proposals();
        self.install_fetched();
        self.ask_reads();
        let mut found = self.raw.has_ready();
        if found {
            self.take_raw_ready(out);
        }
        if !self.released_messages.is_empty() {
            found = true;
            out.messages.append(&mut self.released_messages);
        }
        out.number = self.number;
        out.snapshot_offer = self.offer.take();
        out.snapshot_wanted = self.raw.store().snapshot_wanted.take();
        self.update_role();
        if self.role_reported != self.current_role {
            self.role_reported = self.current_role;
            out.role = Some(self.role_reported);
        }
        found || out.snapshot_offer.is_some() || out.snapshot_wanted || out.role.is_some()
    }

    /// Releases the messages that waited for the flush, and puts membership changes in force.
    ///
    /// Not earlier, though they are committed: so a member never restarts with an older membership
    /// than it acted on. Raft can do without, by an argument about what every host flushes in which
    /// order; changes are too rare for that to pay off.
    fn persisted(&mut self, number: u64) {
        self.flush_proposals();
        self.persisted_number = self.persisted_number.max(number);
        self.raw.on_persist_ready(number);
        let released = self.held_messages.partition_point(|(held, _)| *held <= number);
        self.released_messages
            .extend(self.held_messages.drain(..released).flat_map(|(_, messages)| messages));
        if let Some((_, index)) = self.installing.take_if(|(installing, _)| *installing <= number) {
            self.applied = self.applied.max(index);
        }
        self.members.persisted(number, &mut self.raw);
        self.advance_applied();
        self.campaign_if_alone();
        self.update_role();
    }

    fn applied(&mut self, index: u64) {
        assert!(index <= self.emitted, "applied {index}, but only {} was given out", self.emitted);
        self.applied = self.applied.max(index);
        self.advance_applied();
    }

    fn snapshot_meta(&self, index: u64) -> Option<SnapshotMeta> {
        let is_in_force = self.members.first_pending().is_none_or(|pending| index < pending);
        // While a snapshot is being installed, the disk may still hold the log it replaces; a
        // snapshot taken now must not be combined with that log.
        let is_attached = self.installing.is_none() && index >= self.log().snapshot_meta().position.index;
        if index > self.applied || !is_in_force || !is_attached {
            return None;
        }
        let position = self.log().position(index)?;
        Some(SnapshotMeta { position, membership: self.members.at(index).clone() })
    }

    fn compact(&mut self, snapshot: &SnapshotMeta, first_index_kept: u64) {
        assert!(snapshot.position.index <= self.applied, "a snapshot covers only applied entries");
        // The crate still reads the entries after the index it believes to be applied.
        let kept = first_index_kept.min(self.raw.raft.raft_log.applied + 1);
        self.raw.mut_store().log.compact(snapshot, kept);
        self.members.forget_before(self.log().snapshot_meta().position.index);
    }

    fn snapshot_fetched(&mut self, snapshot: SnapshotMeta) {
        snapshot.replace_older(&mut self.fetched);
    }

    fn read_barrier(&mut self, context: u64) -> Result<(), TooManyReads> {
        self.barriers.push(context)
    }

    fn transfer_leadership(&mut self, to: MemberId) -> Result<(), ChangeError> {
        if !self.leads() {
            return Err(ProposeError::NotLeader { leader: self.role().leader }.into());
        }
        if !self.members.latest().voters.contains(&to) {
            return Err(ChangeError::Impossible);
        }
        self.flush_proposals();
        self.raw.transfer_leader(to.0);
        self.update_role();
        Ok(())
    }

    fn propose_membership(&mut self, change: MembershipChange) -> Result<(), ChangeError> {
        self.check_may_propose()?;
        self.flush_proposals();
        let raft = &self.raw.raft;
        // Without a commit in its own term a leader may not know of a change it replaced, and the
        // two could have majorities without a common member. The crate would silently turn a second
        // change into a leadership entry.
        if raft.has_pending_conf() || self.members.first_pending().is_some() || !raft.commit_to_current_term()
        {
            return Err(ChangeError::Pending);
        }
        let is_self = change.member() == self.settings.member;
        if is_self && !matches!(change, MembershipChange::AddVoter(_)) {
            return Err(ChangeError::Leader);
        }
        if change.member() == MemberId(0) || self.members.latest().with(change).is_none() {
            return Err(ChangeError::Impossible);
        }
        let context = change.to_bytes().to_vec();
        let proposed = self.raw.propose_conf_change(context, convert::conf_change(change));
        proposed.expect("checked above");
        self.update_role();
        Ok(())
    }

    fn campaign(&mut self) {
        self.flush_proposals();
        if self.may_campaign() && self.raw.raft.promotable() {
            self.raw.campaign().expect("the crate never refuses to stand for election with an error");
        }
        self.update_role();
    }

    fn status(&self) -> Status {
        let raft_log = &self.raw.raft.raft_log;
        Status {
            role: self.role(),
            commit: raft_log.committed,
            persisted: raft_log.persisted,
            first_index: self.log().first_index(),
            last_index: raft_log.last_index() + self.proposals.len() as u64,
            retained_bytes: self.log().bytes(),
            snapshot: self.log().snapshot_meta().position,
            membership: self.members.latest().clone(),
            followers: peers::followers(&self.raw),
        }
    }

    fn role(&self) -> Leadership {
        let raft = &self.raw.raft;
        let role = match raft.state {
            StateRole::Follower => Role::Follower,
            StateRole::PreCandidate | StateRole::Candidate => Role::Candidate,
            StateRole::Leader => Role::Leader,
        };
        let leader = (raft.leader_id != 0).then_some(MemberId(raft.leader_id));
        Leadership { role, leader, term: raft.term }
    }

    fn commit(&self) -> u64 {
        self.raw.raft.raft_log.committed
    }
}

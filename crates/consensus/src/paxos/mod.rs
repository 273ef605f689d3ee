//! [`Engine`] implemented with Multi-Paxos.
//!
//! - [`ballot`]: the order of attempts to lead; the `term` of entries, hard states and roles is a
//!   ballot;
//! - [`acceptor`]: what a member promises and accepts, and how it learns what is chosen;
//! - [`proposer`]: phase 1, how a member becomes leader, and why that is safe;
//! - [`leader`]: phase 2 by the one proposer, with a [`peer`] for each follower, and [`reads`];
//! - [`members`]: the membership at each position of the log;
//! - [`flushes`]: what is flushed, and messages that wait for a flush;
//! - [`host`]: fills the [`Ready`]s.
//!
//! It shares the log on disk and the contract with the Raft engine. What differs: any voter that
//! does not need a snapshot can lead, since a proposer takes over the best log of a majority
//! instead of having to hold it; no member votes, since a ballot belongs to one member from the
//! start; and a heartbeat's reply says what has arrived, so lost messages are sent again after a
//! heartbeat.

mod acceptor;
mod ballot;
mod flushes;
mod host;
mod leader;
mod members;
pub mod message;
mod peer;
mod proposer;
mod reads;

use bytes::Bytes;

pub use self::ballot::MEMBER_ID_LIMIT;
use self::flushes::{Flushes, Outbox};
use self::leader::LeaderState;
use self::members::Members;
use self::proposer::CandidateState;
use self::reads::Reads;
use crate::barriers::Barriers;
use crate::engine::{
    ChangeError, Engine, Leadership, Progress, ProposeError, ReadBarrier, Ready, Refused, Role, Settings,
    SnapshotOffer, Start, Status, StepError, TooManyReads,
};
use crate::entry::{EntryKind, MemberId};
use crate::log::Log;
use crate::membership::{MembershipChange, SnapshotMeta};
use crate::term_guard::TermGuard;

/// Current stage of a member.
enum Stage {
    /// Accepts what the leader sends…
    Follower,
    /// …or, having heard from none for too long, asks for promises…
    Candidate(CandidateState),
    /// …and with those of a majority orders the log.
    Leader(LeaderState),
}

/// One member of a Paxos group.
pub struct PaxosEngine {
    settings: Settings,
    log: Log,
    members: Members,
    /// Highest ballot known; nothing of a lower one is accepted.
    promised: u64,
    /// Chosen up to here. Invariant: at most the end of the log.
    commit: u64,
    /// Of a follower: its log matches that of the proposer of `promised` up to here. Invariant: at
    /// least `commit`.
    matched: u64,
    /// Highest index given out in `committed`. Invariant: at least `applied`, at most `commit`.
    emitted: u64,
    applied: u64,
    stage: Stage,
    /// The proposer of `promised`, if it is known to lead.
    leader: Option<MemberId>,
    /// The member that holds the promise of `promised`, as long as it may still take the lead.
    candidate: Option<MemberId>,
    /// Ticks since the leader was heard from, or a promise was given.
    elapsed_ticks: u32,
    timeout_ticks: u32,
    /// Number of timeouts drawn so far.
    attempts: u64,
    flushes: Flushes,
    outbox: Outbox,
    /// Something was accepted and not yet acknowledged to the leader.
    acknowledges: bool,
    barriers: Barriers,
    reads: Reads,
    /// Barriers to give out in the next `Ready`.
    answered: Vec<ReadBarrier>,
    offer: Option<SnapshotOffer>,
    /// Fetched by the host, to be installed.
    fetched: Option<SnapshotMeta>,
    /// Number of the `Ready`, and index, of a snapshot given out to install and not flushed yet.
    installing: Option<(u64, u64)>,
    snapshot_wanted: bool,
    term_guard: TermGuard,
    role_reported: Leadership,
    current_role: Leadership,
}

impl PaxosEngine {
    /// A member with its persisted state, or a new one. Alone in its group, it leads at once.
    ///
    /// # Panics
    /// If the settings contradict each other, or `start` is not what a correct host can have
    /// flushed, or was written by the Raft engine, whose members vote.
    #[must_use]
    pub fn new(settings: Settings, start: Start) -> Self {
        assert!((1..MEMBER_ID_LIMIT).contains(&settings.member.0), "ids of a Paxos group fit into 34 bits");
        let heartbeats = 1..settings.election_ticks;
        assert!(
            heartbeats.contains(&settings.heartbeat_ticks),
            "heartbeats are more frequent than election timeouts"
        );
        assert!(settings.messages_in_flight_max > 0, "at least one message may be in flight");
        assert_eq!(start.hard_state.vote, None, "a member of a Paxos group never votes");
        let (log, hard_state) = Log::new(start);
        let base = log.snapshot_meta().clone();
        let applied = base.position.index;
        let promised = hard_state.term.max(base.position.term);
        let last_index = log.last_position().index;
        let mut members = Members::new(base, hard_state.commit);
        log.range(applied + 1, last_index + 1, u64::MAX).for_each(|entry| _ = members.append(entry));
        let mut engine = Self {
            members,
            promised,
            commit: hard_state.commit,
            matched: hard_state.commit,
            emitted: applied,
            applied,
            stage: Stage::Follower,
            leader: None,
            candidate: None,
            elapsed_ticks: 0,
            timeout_ticks: 0,
            attempts: 0,
            flushes: Flushes::new(hard_state, last_index),
            outbox: Outbox::new(settings.group, settings.member),
            acknowledges: false,
            barriers: Barriers::new(settings.election_ticks),
            reads: Reads::new(settings.member, settings.boot_nonce),
            answered: Vec::new(),
            offer: None,
            fetched: None,
            installing: None,
            snapshot_wanted: false,
            term_guard: TermGuard::new(MEMBER_ID_LIMIT, settings.election_ticks),
            role_reported: Leadership::default(),
            current_role: Leadership::default(),
            settings,
            log,
        };
        engine.wait();
        engine.campaign_if_alone();
        engine.update_role();
        engine
    }

    /// Must be called after everything that may have changed the role.
    fn update_role(&mut self) {
        let role = self.role();
        if role != self.current_role {
            self.current_role = role;
            self.barriers.retry_all();
        }
    }

    fn check_may_propose(&self) -> Result<&LeaderState, ProposeError> {
        match &self.stage {
            Stage::Leader(state) if state.transfers() => Err(ProposeError::Transferring),
            Stage::Leader(state) => Ok(state),
            _ => Err(ProposeError::NotLeader { leader: self.leader }),
        }
    }
}

impl Engine for PaxosEngine {
    fn tick(&mut self) {
        self.elapsed_ticks = self.elapsed_ticks.saturating_add(1);
        self.barriers.tick();
        self.term_guard.tick();
        if self.leads() {
            self.term_guard.leader_heard();
        }
        match self.stage {
            Stage::Leader(_) => self.tick_leader(),
            Stage::Candidate(_) => self.tick_candidate(),
            Stage::Follower if self.elapsed_ticks >= self.timeout_ticks => self.campaign(),
            Stage::Follower => {}
        }
        self.campaign_if_alone();
        self.update_role();
    }

    fn propose(&mut self, data: Bytes) -> Result<(), Refused> {
        assert!(!data.is_empty(), "an empty entry starts a leadership and is not proposed");
        let bytes = match self.check_may_propose() {
            Ok(state) => state.uncommitted_bytes,
            Err(reason) => return Err(Refused { reason, data }),
        };
        if bytes > 0 && bytes + data.len() as u64 > self.settings.uncommitted_bytes_max {
            return Err(Refused { reason: ProposeError::Busy, data });
        }
        self.append_own(EntryKind::Command, data);
        Ok(())
    }

    fn step(&mut self, from: MemberId, bytes: Bytes) -> Result<(), StepError> {
        let ballot = self.promised;
        let result = self.on_message(from, bytes);
        self.term_guard.term_raised(ballot, self.promised);
        if self.leader == Some(from) {
            self.term_guard.leader_heard();
        }
        self.update_role();
        result
    }

    fn heard_of(&mut self, from: MemberId) {
        match &mut self.stage {
            Stage::Leader(state) => state.heard_of(from),
            Stage::Follower if self.leader == Some(from) => self.elapsed_ticks = 0,
            _ => {}
        }
    }

    fn ready(&mut self, out: &mut Ready) -> bool {
        self.fill(out)
    }

    fn persisted(&mut self, number: u64) {
        self.flushes.persisted(number);
        self.members.persisted(number);
        if let Some((_, index)) = self.installing.take_if(|(installing, _)| *installing <= number) {
            self.applied = self.applied.max(index);
        }
        self.advance_commit();
        self.campaign_if_alone();
        self.update_role();
    }

    fn applied(&mut self, index: u64) {
        assert!(index <= self.emitted, "applied {index}, but only {} was given out", self.emitted);
        self.applied = self.applied.max(index);
    }

    fn snapshot_meta(&self, index: u64) -> Option<SnapshotMeta> {
        // While a snapshot is being installed, the disk may still hold the log it replaces; a
        // snapshot taken now must not be combined with that log.
        let is_attached = self.installing.is_none() && index >= self.log.snapshot_meta().position.index;
        if index > self.applied || !is_attached {
            return None;
        }
        let position = self.log.position(index)?;
        Some(SnapshotMeta { position, membership: self.members.at(index).clone() })
    }

    fn compact(&mut self, snapshot: &SnapshotMeta, first_index_kept: u64) {
        assert!(snapshot.position.index <= self.applied, "a snapshot covers only applied entries");
        self.log.compact(snapshot, first_index_kept);
        self.members.forget_before(self.log.snapshot_meta().position.index);
        self.offer_snapshots();
    }

    fn snapshot_fetched(&mut self, snapshot: SnapshotMeta) {
        snapshot.replace_older(&mut self.fetched);
    }

    fn read_barrier(&mut self, context: u64) -> Result<(), TooManyReads> {
        self.barriers.push(context)
    }

    fn transfer_leadership(&mut self, to: MemberId) -> Result<(), ChangeError> {
        let is_possible = self.is_voter(to);
        let Stage::Leader(state) = &mut self.stage else {
            return Err(ProposeError::NotLeader { leader: self.leader }.into());
        };
        if !is_possible {
            return Err(ChangeError::Impossible);
        }
        if to != self.settings.member {
            state.transfer(to);
        }
        Ok(())
    }

    fn propose_membership(&mut self, change: MembershipChange) -> Result<(), ChangeError> {
        self.check_may_propose()?;
        // One log must not hold two changes that are not chosen: see `proposer`.
        if !self.members.is_settled() || !self.knows_commit() {
            return Err(ChangeError::Pending);
        }
        let target = change.member();
        let is_self = target == self.settings.member;
        if is_self && !matches!(change, MembershipChange::AddVoter(_)) {
            return Err(ChangeError::Leader);
        }
        let is_id = (1..MEMBER_ID_LIMIT).contains(&target.0);
        if !is_id || self.members.shown().with(change).is_none() {
            return Err(ChangeError::Impossible);
        }
        self.append_own(EntryKind::Membership, change.to_bytes());
        Ok(())
    }

    fn campaign(&mut self) {
        if self.may_campaign() {
            self.begin(CandidateState::trial());
        }
        self.update_role();
    }

    fn status(&self) -> Status {
        let mut followers = Vec::new();
        if let Stage::Leader(state) = &self.stage {
            followers.extend(state.peers().map(|(member, peer)| Progress {
                member,
                match_index: peer.matched,
                awaits_snapshot: peer.awaits_snapshot(),
            }));
        }
        Status {
            role: self.role(),
            commit: self.commit,
            persisted: self.flushes.persisted,
            first_index: self.log.first_index(),
            last_index: self.log.last_position().index,
            retained_bytes: self.log.bytes(),
            snapshot: self.log.snapshot_meta().position,
            membership: self.members.shown().clone(),
            followers,
        }
    }

    fn role(&self) -> Leadership {
        let role = match self.stage {
            Stage::Follower => Role::Follower,
            Stage::Candidate(_) => Role::Candidate,
            Stage::Leader(_) => Role::Leader,
        };
        Leadership { role, leader: self.leader, term: self.promised }
    }

    fn commit(&self) -> u64 {
        self.commit
    }
}

//! The contract between a replica and whatever agrees on its log.
//!
//! An engine is told what happens and answers with data: it never blocks, never fails and never asks. The host calls it
//! from one thread, and after any calls takes what there is to do with [`Engine::ready`]:
//!
//! ```text
//!        propose, step, tick …                        ┌── messages ──────────────► peers, at once
//!   host ─────────────────────► engine ──► Ready ─────┼── entries, hard_state ───► disk; when flushed: persisted(number)
//!                                                     ├── committed ─────────────► machine; when done: applied(index)
//!                                                     └── barriers, role … ──────► whoever waits
//!
//!   the log of a member:
//!     ░░░░░░░ dropped ░░░░░░░│ entries in memory and on disk                                 │ given out, not flushed │
//!   ──────────┬──────────────┼──────────────────┬───────────────────┬────────────────────────┼────────────────────────┼──►
//!             │         first_index          applied ────────►   committed ──────►       persisted                last_index
//!         snapshot may lie anywhere from first_index - 1 up to applied
//! ```
//!
//! *persisted*: flushed here. *committed*: agreed, will be at this index for ever on every member. *applied*: in this
//! member's machine. On the leader `committed` may be ahead of its own `persisted`, but an entry is only handed out in
//! [`Ready::committed`] when it is both, so a machine never holds what its own disk could lose.
//!
//! What the host MUST do:
//! - write [`Ready`]s in the order of their numbers, and report [`Engine::persisted`] only after a flush that covers
//!   everything up to that number. Several may be in flight; a later report covers the earlier ones;
//! - treat a failed flush as the end of this member: an engine cannot take back what it gave out;
//! - apply `committed` in order, each index once, and only after an `install_snapshot` of an earlier `Ready` is loaded;
//! - restart with exactly what was flushed ([`Start`]), and with a `boot_nonce` never used before by this member;
//! - carry bytes to the member they name, from the member that gave them. They may be lost, delayed, doubled and
//!   reordered, but not altered: the transport checks them.
//!
//! What an engine MUST do: never commit two different entries at one index; never lose a committed entry while a majority
//! of disks lives; give out every message only when what it promises is flushed here; recover from any loss of messages
//! by ticks alone; behave as a pure function of its calls.

use bytes::Bytes;

use crate::entry::{Entry, HardState, MemberId, Position};
use crate::membership::{Membership, MembershipChange, SnapshotMeta};

/// What a member is told about itself when it is made. All durations are in ticks.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Group this engine agrees for; in every message, so that groups can share a connection.
    pub group: u64,
    /// This member.
    pub member: MemberId,
    /// MUST differ at every start of the process, with overwhelming probability: names reads, so that an answer to a
    /// question of an earlier life is never taken for one of this life.
    pub boot_nonce: u64,
    /// From which election timeouts are derived. May be the same on all members.
    pub seed: u64,
    /// A follower that hears nothing for this long, or up to twice as long, stands for election.
    pub election_ticks: u32,
    /// Distance of two heartbeats of a leader; less than `election_ticks`.
    pub heartbeat_ticks: u32,
    /// Most data bytes of entries in one message, unless a single entry is longer.
    pub message_bytes_max: u64,
    /// Most messages with entries on the way to one follower without an answer.
    pub messages_in_flight_max: usize,
    /// Most data bytes of own proposals not yet committed; beyond it [`ProposeError::Busy`].
    pub uncommitted_bytes_max: u64,
    /// Most data bytes in [`Ready::committed`] at once, unless a single entry is longer.
    pub committed_bytes_max: u64,
    /// Whether the host can apply these data of a command. What another member sends and this
    /// refuses never gets into the log. MUST be the same function on all members of one version.
    pub is_command: fn(&[u8]) -> bool,
}

impl Settings {
    /// Usual values for a tick of about 50 ms on a local network.
    #[must_use]
    pub fn new(group: u64, member: MemberId, boot_nonce: u64, seed: u64) -> Self {
        Self {
            group,
            member,
            boot_nonce,
            seed,
            election_ticks: 20,
            heartbeat_ticks: 2,
            message_bytes_max: 1 << 20,
            messages_in_flight_max: 64,
            uncommitted_bytes_max: 64 << 20,
            committed_bytes_max: 4 << 20,
            is_command: |_| true,
        }
    }
}

/// What a member remembers when it starts.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// As last flushed. A `commit` beyond the log is cut to the log.
    pub hard_state: HardState,
    /// What the machine starts from. Entries after it up to the commit are given out again in [`Ready::committed`].
    pub snapshot: SnapshotMeta,
    /// The log as flushed, contiguous; may begin before the snapshot's end.
    /// If it begins after a gap, or disagrees with the snapshot, it is older than the snapshot and ignored.
    pub entries: Vec<Entry>,
}

impl Start {
    /// First start of a founding member. All of them MUST name the same voters; and the list MUST be kept by the host
    /// until its first snapshot, not read again from a configuration that may have been edited.
    #[must_use]
    pub fn bootstrap(voters: &[MemberId]) -> Self {
        let snapshot = SnapshotMeta::bootstrap(voters);
        let hard_state =
            HardState { term: snapshot.position.term, vote: None, commit: snapshot.position.index };
        Self { hard_state, snapshot, entries: Vec::new() }
    }

    /// First start of a member that will be added to a running group. It does nothing until a leader contacts it.
    #[must_use]
    pub fn joining() -> Self {
        Self::default()
    }
}

/// What a member is at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Follows the leader, if there is one…
    #[default]
    Follower,
    /// …or, having heard of none for too long, asks for votes…
    Candidate,
    /// …and with a majority of them orders the log.
    Leader,
}

/// The latest role, told whenever role, leader or term change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    /// What this member is now.
    pub role: Role,
    /// Whom it believes to lead; itself when it leads.
    pub leader: Option<MemberId>,
    /// The term this holds in.
    pub term: u64,
}

/// Bytes for a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Whom to bring them to.
    pub to: MemberId,
    /// What to hand to its [`Engine::step`].
    pub bytes: Bytes,
}

/// A read may be answered once everything up to `index` is applied here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadBarrier {
    /// As given to [`Engine::read_barrier`].
    pub context: u64,
    /// At least the commit of the group at the time of the question.
    pub index: u64,
}

/// A leader has dropped entries this member lacks, and names the snapshot that replaces them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotOffer {
    /// Member that has it.
    pub from: MemberId,
    /// The least position worth fetching; a later snapshot of that member is as good.
    pub meta: SnapshotMeta,
}

/// Everything there is to do now. Reuse one value; [`Engine::ready`] overwrites it.
///
/// Of one `Ready`, the order on disk is: installed snapshot, entries, hard state. The rest needs no order.
#[derive(Debug, Default)]
pub struct Ready {
    /// Never falls.
    pub number: u64,
    /// Install first: the fetched snapshot becomes the base of the log. The host MUST drop all entries of the group
    /// from its durable log and load the machine from it, before it goes on with this or later `Ready`s.
    pub install_snapshot: Option<SnapshotMeta>,
    /// To persist, in order. If the first index is not above the last one persisted, it replaces all from there on.
    pub entries: Vec<Entry>,
    /// To persist.
    pub hard_state: Option<HardState>,
    /// The host MUST flush and report [`Engine::persisted`]. If false, what there is to persist may be written lazily
    /// (with the next flush), and a report is allowed but not needed.
    pub must_sync: bool,
    /// May be sent at once; the engine holds back those which promise something until it is persisted.
    pub messages: Vec<Outgoing>,
    /// To apply, in order. Agreed and persisted here.
    pub committed: Vec<Entry>,
    /// Reads that may go on.
    pub barriers: Vec<ReadBarrier>,
    /// The newest role if it changed since the last `Ready`.
    pub role: Option<Leadership>,
    /// The host SHOULD fetch that snapshot, make it durable, and then call [`Engine::snapshot_fetched`].
    /// Repeated until it has happened; an offer at or below one being fetched is no news.
    pub snapshot_offer: Option<SnapshotOffer>,
    /// A member waits for a snapshot and there is none that knows it as a member: the host SHOULD take one now and then call
    /// [`Engine::compact`]. Repeated until it has happened.
    pub snapshot_wanted: bool,
}

impl Ready {
    /// Empties it, keeping its buffers.
    pub fn clear(&mut self) {
        self.number = 0;
        self.install_snapshot = None;
        self.entries.clear();
        self.hard_state = None;
        self.must_sync = false;
        self.messages.clear();
        self.committed.clear();
        self.barriers.clear();
        self.role = None;
        self.snapshot_offer = None;
        self.snapshot_wanted = false;
    }
}

/// A look at an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// What it is, whom it follows, in which term.
    pub role: Leadership,
    /// Agreed up to here, as far as this member knows.
    pub commit: u64,
    /// Flushed here up to here.
    pub persisted: u64,
    /// First entry still held.
    pub first_index: u64,
    /// Last entry, flushed or not.
    pub last_index: u64,
    /// Data bytes of the entries held in memory: what [`Engine::compact`] would give back.
    pub retained_bytes: u64,
    /// The newest snapshot the engine knows of.
    pub snapshot: Position,
    /// The members in force.
    pub membership: Membership,
    /// Followers and learners as their leader sees them; empty on others.
    pub followers: Vec<Progress>,
}

/// A follower or learner as seen by the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Who.
    pub member: MemberId,
    /// Its log is known to agree with the leader's, flushed, up to here.
    pub match_index: u64,
    /// It was sent to a snapshot and has not come back.
    pub awaits_snapshot: bool,
}

/// Why a proposal was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// This member does not lead.
    #[error("not the leader; the leader is {leader:?}")]
    NotLeader {
        /// Where to go, if known.
        leader: Option<MemberId>,
    },
    /// Leadership is being handed over; there will be another leader, or this one again, within an election timeout.
    #[error("leadership is being handed over")]
    Transferring,
    /// `uncommitted_bytes_max` is reached: try again when something was committed.
    #[error("too many bytes wait to be committed")]
    Busy,
}

/// A proposal that was not taken, with its bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refused {
    /// Why.
    pub reason: ProposeError,
    /// What was to be proposed.
    pub data: Bytes,
}

/// Why a change of the members, or of the leader, was not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// As for a command.
    #[error(transparent)]
    Propose(#[from] ProposeError),
    /// The previous change is not in force yet, or this leadership has not committed anything yet.
    #[error("an earlier change of the members is not in force yet")]
    Pending,
    /// A leader cannot remove or demote itself: it must hand over first.
    #[error("the leader must hand over before it leaves")]
    Leader,
    /// It would leave no voter, or more members than allowed; or the new leader is not a voter.
    #[error("no possible membership or leader")]
    Impossible,
}

/// Why bytes from a peer were not taken. The host logs it; the connection is worth closing for the first three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// Not a message, or one that no correct member sends.
    #[error("malformed peer message: {0}")]
    Malformed(&'static str),
    /// Written by a version this one cannot read.
    #[error("peer message of unknown version {0}")]
    Version(u8),
    /// Written by another engine: the members were not configured alike.
    #[error("peer message of another consensus engine")]
    OtherEngine,
    /// For another group or member, or from another member than the connection says.
    #[error("peer message for somebody else")]
    Misdirected,
    /// Its term is too far ahead of this member's to be believed.
    #[error("peer message of term {term}, which no election can have led to")]
    FarTerm {
        /// The term.
        term: u64,
    },
    /// The sender says that it leads and counts on entries this member does not have. If that is
    /// so, its disk has lost what was flushed, and it MUST stop and be replaced under a new id. One
    /// sender alone is no proof of it.
    #[error("server believed to hold entries up to {index}, which it does not have")]
    LostLog {
        /// Up to where the sender believes this member to hold its log.
        index: u64,
        /// The sender's term.
        term: u64,
    },
}

/// Too many reads wait for a barrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many reads wait for a barrier")]
pub struct TooManyReads;

/// One member's share in agreeing on one log. See the module for the contract.
pub trait Engine: Send {
    /// A unit of time went by.
    fn tick(&mut self);

    /// Asks for `data` to be appended. Only on the leader; never forwarded.
    ///
    /// `Ok` promises an order, not an outcome: proposals taken in one leadership are committed in that order, but if
    /// leadership is lost they may or may not be. The host knows when a [`Leadership`](crate::entry::EntryKind) entry
    /// of a later term comes out of `committed`.
    ///
    /// # Errors
    /// The data comes back with the reason; it is then certain never to be in the log.
    ///
    /// # Panics
    /// If `data` is empty.
    fn propose(&mut self, data: Bytes) -> Result<(), Refused>;

    /// Takes in a message that member `from` gave out. Keeps slices of `bytes` in the log.
    ///
    /// # Errors
    /// If nothing was taken in. Old, doubled and useless messages are no error.
    fn step(&mut self, from: MemberId, bytes: Bytes) -> Result<(), StepError>;

    /// Member `from` says, by other means, that it lives but can take part in nothing just now. For another election timeout it is neither
    /// missed as the leader nor counted out as a follower. This proves nothing to anybody: no read is answered and nothing is agreed by it.
    fn heard_of(&mut self, from: MemberId);

    /// Fills `out` with all there is to do, or returns false. The host SHOULD call it once per batch of other calls,
    /// and again until it is false: one call may be bounded by bytes.
    fn ready(&mut self, out: &mut Ready) -> bool;

    /// Everything of `Ready`s up to `number` is flushed.
    fn persisted(&mut self, number: u64);

    /// Everything up to `index` is applied. May lag, and may be reported for many at once.
    fn applied(&mut self, index: u64);

    /// What a snapshot of the machine at applied `index` has to carry; `None` if that is not known (not applied yet, older
    /// than the newest snapshot, or a change of the members there is not yet flushed: try a later index).
    fn snapshot_meta(&self, index: u64) -> Option<SnapshotMeta>;

    /// The host's newest durable snapshot is `snapshot`; entries below `first_index_kept` may be forgotten.
    ///
    /// Keeping some entries below the snapshot spares slow members from fetching it. The engine may keep more than asked.
    /// An older snapshot than the known one is ignored.
    ///
    /// # Panics
    /// If the snapshot is beyond what was applied.
    fn compact(&mut self, snapshot: &SnapshotMeta, first_index_kept: u64);

    /// The host has made an offered snapshot, or a later one, durable. If it is still of use, a `Ready` will say so with
    /// `install_snapshot`; otherwise it is dropped silently.
    fn snapshot_fetched(&mut self, snapshot: SnapshotMeta);

    /// Asks from when on a read is not stale: the answer comes in [`Ready::barriers`], on any member, leader or not. The
    /// engine repeats the question until a majority can be heard. `context` is the host's own and need not be unique.
    ///
    /// # Errors
    /// If too many wait already.
    fn read_barrier(&mut self, context: u64) -> Result<(), TooManyReads>;

    /// Hands leadership to `to`, or gives up after an election timeout.
    ///
    /// # Errors
    /// If this member does not lead or `to` cannot.
    fn transfer_leadership(&mut self, to: MemberId) -> Result<(), ChangeError>;

    /// Asks for a change of the members; one at a time. Outcome as for [`propose`](Self::propose): the new membership shows in
    /// [`status`](Self::status).
    ///
    /// # Errors
    /// If nothing was proposed.
    fn propose_membership(&mut self, change: MembershipChange) -> Result<(), ChangeError>;

    /// Stands for election now. Ignored by leaders and by members that may not be elected.
    fn campaign(&mut self);

    /// A look at it; not for the hot path.
    fn status(&self) -> Status;

    /// Role, leader and term; cheap.
    fn role(&self) -> Leadership;

    /// Agreed up to here, as far as this member knows; cheap.
    fn commit(&self) -> u64;
}

//! The contract between a replica and the consensus algorithm that orders its log.
//!
//! An engine is passive: it takes events and returns data, and never blocks, fails or calls out.
//! The host calls it from one thread, and after a batch of calls collects the work to do with
//! [`Engine::ready`]:
//!
//! ```text
//!      propose, step, tick …               ┌── messages ────────────► peers, at once
//!  host ──────────────────► engine ─► Ready┼── entries, hard_state ─► disk; then persisted(number)
//!                                          ├── committed ───────────► machine; then applied(index)
//!                                          └── barriers, role … ────► waiting reads, the host
//!
//!   the log of a member:
//!     ░░ dropped ░░│ entries in memory and on disk               │ given out, not flushed │
//!   ──────────┬────┼─────────────┬─────────────┬─────────────────┼────────────────────────┼──►
//!             │ first_index   applied ───► committed ───────► persisted              last_index
//!         snapshot may lie anywhere from first_index - 1 up to applied
//! ```
//!
//! *persisted*: flushed on this member. *committed*: will be at this index for ever on every
//! member. *applied*: in this member's state machine. On the leader `committed` may be ahead of its
//! own `persisted`, but [`Ready::committed`] hands out an entry only once it is both, so a state
//! machine never holds what its own disk could lose.
//!
//! What the host MUST do:
//! - write [`Ready`]s in the order of their numbers, and report [`Engine::persisted`] only after a
//!   flush that covers everything up to that number. Several may be in flight; a later report
//!   covers earlier ones;
//! - stop this member when a flush fails: an engine cannot take back what it gave out;
//! - apply `committed` in order, each index once, and only after an `install_snapshot` of an
//!   earlier `Ready` is loaded;
//! - restart with exactly what was flushed ([`Start`]), and with a `boot_nonce` never used before
//!   by this member;
//! - carry bytes to the member they name, and pass [`Engine::step`] the member that sent them.
//!   Bytes may be lost, delayed, duplicated and reordered, but not altered: the transport checks
//!   them.
//!
//! What an engine MUST do: never commit two different entries at one index; never lose a committed
//! entry while a majority of disks survives; give out each message only once what it promises is
//! flushed; recover from any loss of messages by ticks alone; behave as a pure function of its
//! calls.

use bytes::Bytes;

use crate::entry::{Entry, HardState, MemberId, Position};
use crate::membership::{Membership, MembershipChange, SnapshotMeta};

/// Configuration of one member's engine. All durations are in ticks.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Id of the group; in every message, so that groups can share a connection.
    pub group: u64,
    /// This member.
    pub member: MemberId,
    /// MUST differ at every start of the process, with overwhelming probability. It is part of the
    /// names of reads, so that an answer to a request of an earlier run is never taken for one of
    /// this run.
    pub boot_nonce: u64,
    /// Seed of the election timeouts. May be the same on all members.
    pub seed: u64,
    /// A follower that hears nothing from a leader for one to two times this long stands for
    /// election.
    pub election_ticks: u32,
    /// Interval between a leader's heartbeats; less than `election_ticks`.
    pub heartbeat_ticks: u32,
    /// Most data bytes of entries in one message; a single longer entry is sent alone.
    pub message_bytes_max: u64,
    /// Most unacknowledged messages with entries to one follower.
    pub messages_in_flight_max: usize,
    /// Most data bytes of own proposals not yet committed; above it [`ProposeError::Busy`].
    pub uncommitted_bytes_max: u64,
    /// Most data bytes in one [`Ready::committed`]; a single longer entry is handed out alone.
    pub committed_bytes_max: u64,
    /// Whether the host can apply this data as a command. Data from another member that this
    /// refuses never gets into the log. MUST be the same function on all members of one version.
    pub is_command: fn(&[u8]) -> bool,
}

impl Settings {
    /// Defaults for a tick of about 50 ms on a local network.
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

/// The persisted state a member starts from.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// As last flushed. A `commit` beyond the log is cut to the log's end.
    pub hard_state: HardState,
    /// What the state machine starts from. Entries after it up to the commit are given out again in
    /// [`Ready::committed`].
    pub snapshot: SnapshotMeta,
    /// The log as flushed, contiguous; may begin before the snapshot's end. If it begins after a
    /// gap, or contradicts the snapshot, it is older than the snapshot and ignored.
    pub entries: Vec<Entry>,
}

impl Start {
    /// First start of a founding member. All founders MUST name the same voters, and the host MUST
    /// keep that list until its first snapshot, not read it again from a configuration that may
    /// have been edited.
    #[must_use]
    pub fn bootstrap(voters: &[MemberId]) -> Self {
        let snapshot = SnapshotMeta::bootstrap(voters);
        let hard_state =
            HardState { term: snapshot.position.term, vote: None, commit: snapshot.position.index };
        Self { hard_state, snapshot, entries: Vec::new() }
    }

    /// First start of a member that will be added to a running group. It is passive until a leader
    /// contacts it.
    #[must_use]
    pub fn joining() -> Self {
        Self::default()
    }
}

/// Current role of a member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Follows the leader, if there is one…
    #[default]
    Follower,
    /// …or, having heard from none for too long, asks for votes…
    Candidate,
    /// …and with a majority of them orders the log.
    Leader,
}

/// A member's current role, leader and term. Reported whenever one of them changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    /// Role of this member.
    pub role: Role,
    /// The leader it knows of; itself when it leads.
    pub leader: Option<MemberId>,
    /// The term of `role` and `leader`.
    pub term: u64,
}

/// Bytes for a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The receiver.
    pub to: MemberId,
    /// The argument for the receiver's [`Engine::step`].
    pub bytes: Bytes,
}

/// A read may be answered once everything up to `index` is applied here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadBarrier {
    /// As given to [`Engine::read_barrier`].
    pub context: u64,
    /// At least the group's commit when the read was requested.
    pub index: u64,
}

/// A leader has dropped entries this member lacks, and names the snapshot that replaces them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotOffer {
    /// The member that has it.
    pub from: MemberId,
    /// The lowest position worth fetching; a later snapshot of that member is as good.
    pub meta: SnapshotMeta,
}

/// The work the host has to do now. Reuse one value; [`Engine::ready`] overwrites it.
///
/// Within one `Ready`, the order on disk is: installed snapshot, entries, hard state. The rest has
/// no required order.
#[derive(Debug, Default)]
pub struct Ready {
    /// Never decreases.
    pub number: u64,
    /// Install first: the fetched snapshot becomes the base of the log. The host MUST drop all
    /// entries of the group from its durable log and load the state machine from the snapshot,
    /// before it handles the rest of this `Ready` or a later one.
    pub install_snapshot: Option<SnapshotMeta>,
    /// To persist, in order. If the first index is not above the last one persisted, the entries
    /// replace everything from there on.
    pub entries: Vec<Entry>,
    /// To persist.
    pub hard_state: Option<HardState>,
    /// The host MUST flush and report [`Engine::persisted`]. If false, whatever there is to persist
    /// may be written lazily (with the next flush), and a report is allowed but not needed.
    pub must_sync: bool,
    /// May be sent at once; the engine holds back messages whose promises are not persisted yet.
    pub messages: Vec<Outgoing>,
    /// To apply, in order. Committed, and persisted on this member.
    pub committed: Vec<Entry>,
    /// Reads whose barrier is known.
    pub barriers: Vec<ReadBarrier>,
    /// The current role, if it changed since the last `Ready`.
    pub role: Option<Leadership>,
    /// The host SHOULD fetch that snapshot, make it durable, and then call
    /// [`Engine::snapshot_fetched`]. Repeated until it does; ignore an offer at or below a snapshot
    /// already being fetched.
    pub snapshot_offer: Option<SnapshotOffer>,
    /// A member waits for a snapshot, and no snapshot here lists it as a member: the host SHOULD
    /// take one now and then call [`Engine::compact`]. Repeated until it does.
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

/// Current state of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Role, leader and term.
    pub role: Leadership,
    /// Highest index this member knows to be committed.
    pub commit: u64,
    /// Highest index flushed on this member.
    pub persisted: u64,
    /// First entry still held.
    pub first_index: u64,
    /// Last entry, flushed or not.
    pub last_index: u64,
    /// Data bytes of the entries held in memory: what [`Engine::compact`] would free.
    pub retained_bytes: u64,
    /// The newest snapshot the engine knows of.
    pub snapshot: Position,
    /// The membership in force.
    pub membership: Membership,
    /// The leader's view of its followers and learners; empty on other members.
    pub followers: Vec<Progress>,
}

/// A follower or learner as its leader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Its id.
    pub member: MemberId,
    /// It has flushed a log that matches the leader's up to here.
    pub match_index: u64,
    /// It was offered a snapshot and has not caught up yet.
    pub awaits_snapshot: bool,
}

/// Why a proposal was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// This member does not lead.
    #[error("not the leader; the leader is {leader:?}")]
    NotLeader {
        /// The leader, if known.
        leader: Option<MemberId>,
    },
    /// A leadership transfer is under way; within an election timeout there is another leader, or
    /// this one again.
    #[error("leadership is being transferred")]
    Transferring,
    /// `uncommitted_bytes_max` is reached: retry once something is committed.
    #[error("too many bytes wait to be committed")]
    Busy,
}

/// A refused proposal, with its bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refused {
    /// Why.
    pub reason: ProposeError,
    /// The proposed data.
    pub data: Bytes,
}

/// Why a membership change or leadership transfer was not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// As for a command.
    #[error(transparent)]
    Propose(#[from] ProposeError),
    /// The previous change is not in force yet, or this leadership has not committed anything yet.
    #[error("an earlier change of the members is not in force yet")]
    Pending,
    /// A leader cannot remove or demote itself: it must transfer leadership first.
    #[error("the leader must transfer leadership before it leaves")]
    Leader,
    /// The change would leave no voter, or more members than allowed; or the new leader is not a
    /// voter.
    #[error("no possible membership or leader")]
    Impossible,
}

/// Why bytes from a peer were refused. The host logs it; for the first three the connection is
/// worth closing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// Not a message, or one that no correct member sends.
    #[error("malformed peer message: {0}")]
    Malformed(&'static str),
    /// Written by a version this member cannot read.
    #[error("peer message of unknown version {0}")]
    Version(u8),
    /// Written by another engine: the members are not configured alike.
    #[error("peer message of another consensus engine")]
    OtherEngine,
    /// For another group or member, or from another member than the connection belongs to.
    #[error("peer message for another member or group")]
    Misdirected,
    /// Its term is too far ahead of this member's to be plausible.
    #[error("peer message of term {term}, which no election can have reached")]
    FarTerm {
        /// The term.
        term: u64,
    },
    /// The sender claims to lead and relies on entries this member does not have. If the claim is
    /// true, this member's disk has lost flushed data, and it MUST stop and be replaced under a new
    /// id. One sender alone is no proof.
    #[error("server believed to hold entries up to {index}, which it does not have")]
    LostLog {
        /// The index up to which the sender believes this member holds its log.
        index: u64,
        /// The sender's term.
        term: u64,
    },
}

/// Too many reads wait for a barrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many reads wait for a barrier")]
pub struct TooManyReads;

/// One member of a consensus group. See the module for the contract.
pub trait Engine: Send {
    /// A unit of time passed.
    fn tick(&mut self);

    /// Proposes `data` as the next entry. Only on the leader; never forwarded.
    ///
    /// `Ok` promises an order, not an outcome: proposals accepted in one leadership are committed
    /// in that order, but if leadership is lost they may or may not be. The host learns which when
    /// a [`Leadership`](crate::entry::EntryKind) entry of a later term comes out of `committed`.
    ///
    /// # Errors
    /// The data comes back with the reason; it is then certain never to be in the log.
    ///
    /// # Panics
    /// If `data` is empty.
    fn propose(&mut self, data: Bytes) -> Result<(), Refused>;

    /// Handles a message sent by member `from`. The log keeps slices of `bytes`.
    ///
    /// # Errors
    /// If the message had no effect because it is invalid. Old, duplicate and useless messages are
    /// no error.
    fn step(&mut self, from: MemberId, bytes: Bytes) -> Result<(), StepError>;

    /// Member `from` reports, by other means, that it is alive but cannot take part just now. For
    /// another election timeout it counts as heard from, as the leader or as a follower. This
    /// proves nothing else: no read is answered and nothing is committed by it. A leader that has
    /// asked for votes since is no leader, however often it is reported.
    fn heard_of(&mut self, from: MemberId);

    /// Fills `out` with all pending work, or returns false if nothing is pending. The host SHOULD
    /// call it once per batch of other calls, and again until it returns false: the bytes of one
    /// call are limited.
    fn ready(&mut self, out: &mut Ready) -> bool;

    /// Everything in `Ready`s up to `number` is flushed.
    fn persisted(&mut self, number: u64);

    /// Everything up to `index` is applied. May lag, and may cover many entries at once.
    fn applied(&mut self, index: u64);

    /// The metadata for a snapshot of the state machine at applied `index`; `None` if not known
    /// (not applied yet, older than the newest snapshot, or a membership change there is not yet
    /// flushed: try a later index).
    fn snapshot_meta(&self, index: u64) -> Option<SnapshotMeta>;

    /// The host's newest durable snapshot is `snapshot`; entries below `first_index_kept` may be
    /// dropped.
    ///
    /// Keeping some entries below the snapshot spares slow members from fetching it. The engine may
    /// keep more than asked. A snapshot older than the known one is ignored.
    ///
    /// # Panics
    /// If the snapshot is beyond what was applied.
    fn compact(&mut self, snapshot: &SnapshotMeta, first_index_kept: u64);

    /// The host has made an offered snapshot, or a later one, durable. If it is still useful, a
    /// later `Ready` carries it in `install_snapshot`; otherwise it is dropped silently.
    fn snapshot_fetched(&mut self, snapshot: SnapshotMeta);

    /// Requests a read barrier, the index from which on a read is linearizable. The answer comes in
    /// [`Ready::barriers`], on any member, leader or not. The engine retries until it reaches a
    /// majority. `context` is the host's own and need not be unique.
    ///
    /// # Errors
    /// If too many reads are waiting already.
    fn read_barrier(&mut self, context: u64) -> Result<(), TooManyReads>;

    /// Transfers leadership to `to`, or gives up after an election timeout.
    ///
    /// # Errors
    /// If this member does not lead or `to` cannot.
    fn transfer_leadership(&mut self, to: MemberId) -> Result<(), ChangeError>;

    /// Proposes a membership change; one at a time. Outcome as for [`propose`](Self::propose): the
    /// new membership appears in [`status`](Self::status).
    ///
    /// # Errors
    /// If nothing was proposed.
    fn propose_membership(&mut self, change: MembershipChange) -> Result<(), ChangeError>;

    /// Stands for election now. Ignored by leaders and by members that may not be elected.
    fn campaign(&mut self);

    /// The engine's current state; not for the hot path.
    fn status(&self) -> Status;

    /// Role, leader and term; cheap.
    fn role(&self) -> Leadership;

    /// Highest index this member knows to be committed; cheap.
    fn commit(&self) -> u64;
}

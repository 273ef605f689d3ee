//! What the members of a group say to each other. Each message begins `kind u8 | group u64`.
//!
//! F = follower, L = leader, M = member.
//!
//! ```text
//! engine       64   M → M   member u64 | the engine's bytes
//! forward      65   F → L   term u64 | life u64 | number u64 | command*
//! taken        66   L → F   term u64 | life u64 | next u64
//! not taken    67   L → F   term u64 | life u64 | first u64 | (session i64 | place u64)*
//! refusals     68   F → L   term u64 | life u64 | next u64
//! touched      69   F → L   term u64 | read until i64 | (session i64 | age u32)*
//! leader time  70   L → F   term u64 | ms i64
//! fetch        71   M → M   index u64 | term u64 | zxid i64 | offset u64
//! chunk        72   M → M   index u64 | term u64 | zxid i64 | length u64 | offset u64 | bytes
//! damaged      73   M → M   index u64 | term u64 | zxid i64
//! claim        74   F → L   nothing
//! missing      75   M → all leader u64 | term u64 | index u64
//! upheld       76   M → M   leader u64 | term u64 | index u64
//! wake         77   F → L   nothing
//! ```

use bytes::{Buf, BufMut, Bytes};
use consensus::entry::MemberId;

use super::{BadPeerMessage, check, read_count, read_member, read_position};
use crate::id::GroupId;

/// Most bytes of commands in one message: the largest possible request and what is gathered before
/// it, leaving room for an engine's framing.
pub const FORWARD_BYTES_MAX: usize = 63 << 20;

/// Longest snapshot accepted from another member, in bytes.
pub const SNAPSHOT_BYTES_MAX: u64 = 64 << 30;

/// One message of a member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupMessage {
    /// A message for the engine.
    Engine {
        /// The member whose engine sent it.
        from: MemberId,
        /// The engine's message.
        bytes: Bytes,
    },
    /// The next commands of the sender's clients, in their order.
    Forward {
        /// The term of the leadership they are meant for.
        term: u64,
        /// The sender's start, counted over all disks it has had.
        life: u64,
        /// Counts the messages of one life of a sender to one leadership, from 0.
        number: u64,
        /// Encoded commands, in parts that hold whole commands.
        commands: Vec<Bytes>,
    },
    /// All forwarded messages below `next` have a place in the leader's order.
    Taken {
        /// As in the forwarded messages.
        term: u64,
        /// As in the forwarded messages.
        life: u64,
        /// The first number not taken.
        next: u64,
    },
    /// These commands were taken and then refused: they will never be in the log. Repeated until
    /// the follower acknowledges it.
    NotTaken {
        /// As in the forwarded messages.
        term: u64,
        /// As in the forwarded messages.
        life: u64,
        /// Number of the first, among all refused commands of this stream, from 0.
        first: u64,
        /// The refused commands.
        refused: Vec<RefusedCommand>,
    },
    /// The sender knows of all refusals below `next`.
    RefusalsKnown {
        /// As in the forwarded messages.
        term: u64,
        /// As in the forwarded messages.
        life: u64,
        /// The first unknown number.
        next: u64,
    },
    /// The sessions that the sender has heard from.
    Touched(Touched),
    /// The leader of that term tells its clock's time, for the next report.
    LeaderTime {
        /// The leadership's term.
        term: u64,
        /// Its clock, in ms.
        ms: i64,
    },
    /// Requests a piece of a snapshot.
    Fetch {
        /// The snapshot; index 0 stands for the newest.
        snapshot: SnapshotId,
        /// Offset in the file, in bytes.
        offset: u64,
    },
    /// A piece of a snapshot.
    Chunk {
        /// The snapshot it belongs to. If it is not the requested one, that one is gone and this is
        /// the beginning of a newer one.
        snapshot: SnapshotId,
        /// Length of the whole file in bytes.
        length: u64,
        /// Offset in the file, in bytes.
        offset: u64,
        /// The bytes there; empty if the member has no snapshot to give.
        bytes: Bytes,
    },
    /// The sender was asked to become the leader.
    Claim,
    /// The sender cannot become quiet with its leader, which must send heartbeats again.
    Wake,
    /// The snapshot sent by the receiver is damaged.
    Damaged(SnapshotId),
    /// A member that claims to lead counts on entries the sender does not have. Is the claim right?
    Missing(Claimed),
    /// The sender follows that leader, or is it, and has itself committed entries up to that index.
    Upheld(Claimed),
}

/// What one member believes of another's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The member that believes it.
    pub leader: MemberId,
    /// The term it leads in.
    pub term: u64,
    /// The index up to which it believes the other to hold its log.
    pub index: u64,
}

/// A command that got no place in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefusedCommand {
    /// The session it belonged to.
    pub session: i64,
    /// Its place among the commands of the stream, from 0.
    pub place: u64,
}

/// Identifies a snapshot file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnapshotId {
    /// Index of the last entry in it.
    pub index: u64,
    /// Term of that entry.
    pub term: u64,
    /// zxid of the state.
    pub zxid: i64,
}

const ENGINE: u8 = 64;
const FORWARD: u8 = 65;
const TAKEN: u8 = 66;
const NOT_TAKEN: u8 = 67;
const REFUSALS_KNOWN: u8 = 68;
const TOUCHED: u8 = 69;
const LEADER_TIME: u8 = 70;
const FETCH: u8 = 71;
const CHUNK: u8 = 72;
const DAMAGED: u8 = 73;
const CLAIM: u8 = 74;
const MISSING: u8 = 75;
const UPHELD: u8 = 76;
const WAKE: u8 = 77;

/// Bytes of a chunk besides the piece of the file.
pub const CHUNK_OVERHEAD: usize = 9 + 24 + 16;

impl GroupMessage {
    /// Appends the message without the bytes at its end that it shares with others, and returns
    /// these.
    pub(super) fn put_head(&self, group: GroupId, out: &mut Vec<u8>) -> &[Bytes] {
        let head = |kind: u8, out: &mut Vec<u8>| {
            out.put_u8(kind);
            out.put_u64(group.0);
        };
        match self {
            Self::Engine { from, bytes } => {
                head(ENGINE, out);
                out.put_u64(from.0);
                return std::slice::from_ref(bytes);
            }
            Self::Forward { term, life, number, commands } => {
                head(FORWARD, out);
                [term, life, number].into_iter().for_each(|n| out.put_u64(*n));
                return commands;
            }
            Self::Taken { term, life, next } => {
                head(TAKEN, out);
                [term, life, next].into_iter().for_each(|n| out.put_u64(*n));
            }
            Self::NotTaken { term, life, first, refused } => {
                head(NOT_TAKEN, out);
                [term, life, first].into_iter().for_each(|n| out.put_u64(*n));
                for command in refused {
                    out.put_i64(command.session);
                    out.put_u64(command.place);
                }
            }
            Self::RefusalsKnown { term, life, next } => {
                head(REFUSALS_KNOWN, out);
                [term, life, next].into_iter().for_each(|n| out.put_u64(*n));
            }
            Self::Touched(Touched { term, read_until_ms, sessions }) => {
                head(TOUCHED, out);
                out.put_u64(*term);
                out.put_i64(*read_until_ms);
                for (session, age_ms) in sessions {
                    out.put_i64(*session);
                    out.put_u32(*age_ms);
                }
            }
            Self::LeaderTime { term, ms } => {
                head(LEADER_TIME, out);
                out.put_u64(*term);
                out.put_i64(*ms);
            }
            Self::Fetch { snapshot, offset } => {
                head(FETCH, out);
                snapshot.put(out);
                out.put_u64(*offset);
            }
            Self::Chunk { snapshot, length, offset, bytes } => {
                head(CHUNK, out);
                snapshot.put(out);
                out.put_u64(*length);
                out.put_u64(*offset);
                return std::slice::from_ref(bytes);
            }
            Self::Claim => head(CLAIM, out),
            Self::Wake => head(WAKE, out),
            Self::Damaged(snapshot) => {
                head(DAMAGED, out);
                snapshot.put(out);
            }
            Self::Missing(claimed) => {
                head(MISSING, out);
                claimed.put(out);
            }
            Self::Upheld(claimed) => {
                head(UPHELD, out);
                claimed.put(out);
            }
        }
        &[]
    }

    /// Reads a message of that kind, which must take all of `bytes`.
    pub(super) fn read(kind: u8, mut bytes: Bytes) -> Result<Self, BadPeerMessage> {
        let message = match kind {
            ENGINE => return Ok(Self::Engine { from: read_member(&mut bytes)?, bytes }),
            FORWARD => {
                let (term, life, number) =
                    (read_position(&mut bytes)?, bytes.try_get_u64()?, read_count(&mut bytes)?);
                check((1..=FORWARD_BYTES_MAX).contains(&bytes.len()), "length of commands")?;
                return Ok(Self::Forward { term, life, number, commands: vec![bytes] });
            }
            TAKEN => {
                let (term, life, next) =
                    (read_position(&mut bytes)?, bytes.try_get_u64()?, read_count(&mut bytes)?);
                Self::Taken { term, life, next }
            }
            NOT_TAKEN => {
                let (term, life, first) =
                    (read_position(&mut bytes)?, bytes.try_get_u64()?, read_count(&mut bytes)?);
                Self::NotTaken { term, life, first, refused: read_refused(&mut bytes)? }
            }
            REFUSALS_KNOWN => {
                let (term, life, next) =
                    (read_position(&mut bytes)?, bytes.try_get_u64()?, read_count(&mut bytes)?);
                Self::RefusalsKnown { term, life, next }
            }
            TOUCHED => {
                let (term, read_until_ms) = (read_position(&mut bytes)?, bytes.try_get_i64()?);
                let mut sessions = Vec::with_capacity(bytes.len() / 12);
                while !bytes.is_empty() {
                    sessions.push((bytes.try_get_i64()?, bytes.try_get_u32()?));
                }
                Self::Touched(Touched { term, read_until_ms, sessions })
            }
            LEADER_TIME => Self::LeaderTime { term: read_position(&mut bytes)?, ms: bytes.try_get_i64()? },
            FETCH => {
                let (snapshot, offset) = (SnapshotId::read(&mut bytes)?, bytes.try_get_u64()?);
                check(offset <= SNAPSHOT_BYTES_MAX, "place in a snapshot")?;
                Self::Fetch { snapshot, offset }
            }
            CHUNK => {
                let snapshot = SnapshotId::read(&mut bytes)?;
                let (length, offset) = (bytes.try_get_u64()?, bytes.try_get_u64()?);
                check(length <= SNAPSHOT_BYTES_MAX, "length of a snapshot")?;
                let rest = length.checked_sub(offset);
                check(rest.is_some_and(|rest| bytes.len() as u64 <= rest), "piece of a snapshot")?;
                return Ok(Self::Chunk { snapshot, length, offset, bytes });
            }
            CLAIM => Self::Claim,
            WAKE => Self::Wake,
            DAMAGED => Self::Damaged(SnapshotId::read(&mut bytes)?),
            MISSING => Self::Missing(Claimed::read(&mut bytes)?),
            UPHELD => Self::Upheld(Claimed::read(&mut bytes)?),
            kind => return Err(BadPeerMessage::Kind(kind)),
        };
        if bytes.is_empty() { Ok(message) } else { Err(BadPeerMessage::Length) }
    }
}

/// The sessions of a server's clients that were heard from recently.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// The term of the leadership whose clock `read_until_ms` refers to; 0 if the server does not
    /// know it yet.
    pub term: u64,
    /// The time up to which the server has read what its clients sent, on the leader's clock, in
    /// ms. The true time may be later, never earlier.
    pub read_until_ms: i64,
    /// Sessions, and how long ago each was heard from, in ms.
    pub sessions: Vec<(i64, u32)>,
}

impl SnapshotId {
    fn put(self, out: &mut Vec<u8>) {
        out.put_u64(self.index);
        out.put_u64(self.term);
        out.put_i64(self.zxid);
    }

    fn read(bytes: &mut Bytes) -> Result<Self, BadPeerMessage> {
        Ok(Self { index: read_position(bytes)?, term: read_position(bytes)?, zxid: bytes.try_get_i64()? })
    }
}

impl Claimed {
    fn put(self, out: &mut Vec<u8>) {
        [self.leader.0, self.term, self.index].into_iter().for_each(|n| out.put_u64(n));
    }

    fn read(bytes: &mut Bytes) -> Result<Self, BadPeerMessage> {
        let leader = read_member(bytes)?;
        Ok(Self { leader, term: read_position(bytes)?, index: read_position(bytes)? })
    }
}

fn read_refused(bytes: &mut Bytes) -> Result<Vec<RefusedCommand>, BadPeerMessage> {
    let mut refused = Vec::with_capacity(bytes.len() / 16);
    while !bytes.is_empty() {
        refused.push(RefusedCommand { session: bytes.try_get_i64()?, place: read_count(bytes)? });
    }
    Ok(refused)
}

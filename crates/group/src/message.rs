//! What the replicas of a group say to each other besides what their engines do.
//!
//! ```text
//! message   = kind u8 | group u64 | …
//! engine        1       member u64 | the engine's bytes, which name group and version themselves (no group here)
//! forward       2       term u64 | life u64 | number u64 | command*         follower → leader
//! taken         3       term u64 | life u64 | next u64                      leader → follower
//! not taken     4       term u64 | life u64 | first u64 | (session i64 | place u64)*   leader → follower
//! touched       5       session i64 *                                       follower → leader
//! fetch         6       index u64 | term u64 | zxid i64 | offset u64        member → member
//! chunk         7       index u64 | term u64 | zxid i64 | length u64 | offset u64 | bytes
//! newcomer      8       nonce u64 | heard u64                               member without data → all
//! founders      9       key [32] | (member u64 | nonce u64)*                member → member without data
//! welcome      10       nonce u64 | member u64 | cluster u64 | key [32]     leader → who has asked to be taken in
//! forgotten    11       nonce u64 | member u64                              member that hears of no leader → all
//! pace         12       mean_us u64                                         follower → leader
//! servers      13       version i64 | nonce u64 | the lines `server.N=…`    member → member, when they are connected
//! claim        14       nothing                                             follower → leader
//! damaged      15       index u64 | term u64 | zxid i64                     member → member
//! alive        16       nothing                                             member → all
//! missing      17       leader u64 | term u64 | index u64                   member → all
//! upheld       18       leader u64 | term u64 | index u64                   member → member that has asked
//! refusals     19       term u64 | life u64 | next u64                      follower → leader
//! file         20       (server u32 | observer u8)*                         follower → leader
//! ```
//!
//! All integers are big-endian. Any of them may be lost, doubled or late. Every field has a bound,
//! which is checked where it is read: a member may have gone mad.

use std::fmt;

use bytes::{Buf, BufMut, Bytes};
use consensus::entry::MemberId;
use consensus::membership::MEMBERS_MAX;
use consensus::message::POSITION_LIMIT;
use state::members::{SERVER_ID_MAX, ServerId};

/// Most bytes of commands in one message: the largest request there can be and what is gathered
/// before it, with room for what an engine puts around it.
pub const FORWARD_BYTES_MAX: usize = 63 << 20;

/// Longest snapshot that is taken from another member.
pub const SNAPSHOT_BYTES_MAX: u64 = 64 << 30;

/// Most bytes of the lines that say who the members are.
pub const SERVERS_BYTES_MAX: usize = 256 << 10;

/// Longest time that a member can say a flush has taken, in µs: twelve days.
pub const PACE_US_MAX: u64 = 1 << 40;

/// One message between two members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerMessage {
    /// For the engine.
    Engine {
        /// Whose engine sent it.
        from: MemberId,
        /// What it sent.
        bytes: Bytes,
    },
    /// The next commands of the sender's clients, in their order.
    Forward {
        /// The leadership they are meant for.
        term: u64,
        /// The sender's start, counted over all disks it has had.
        life: u64,
        /// Counts the messages of one life of a sender to one leadership, from 0.
        number: u64,
        /// Encoded commands, one behind the other.
        commands: Bytes,
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
    /// the follower says that it knows.
    NotTaken {
        /// As in the forwarded messages.
        term: u64,
        /// As in the forwarded messages.
        life: u64,
        /// Number of the first, among all that were refused in this stream, from 0.
        first: u64,
        /// Which.
        refused: Vec<RefusedCommand>,
    },
    /// The sender knows of all refusals below `next`.
    RefusalsKnown {
        /// As in the forwarded messages.
        term: u64,
        /// As in the forwarded messages.
        life: u64,
        /// The first number not known.
        next: u64,
    },
    /// Whom the sender has heard of.
    Touched(Touched),
    /// The leader of that term tells what its clock shows, for the next report.
    LeaderTime {
        /// The leadership.
        term: u64,
        /// Its clock, in ms.
        ms: i64,
    },
    /// Asks for a piece of a snapshot.
    Fetch {
        /// The snapshot; one with an index of 0 stands for the newest.
        snapshot: SnapshotId,
        /// Where in the file.
        offset: u64,
    },
    /// A piece of a snapshot.
    Chunk {
        /// Of which one. If it is not the one asked for, that is gone and this is the beginning of a newer one.
        snapshot: SnapshotId,
        /// Length of the whole file in bytes.
        length: u64,
        /// Where in the file.
        offset: u64,
        /// What is there; empty if the member has no snapshot to give.
        bytes: Bytes,
    },
    /// The sender has no data, and names its disk.
    Newcomer {
        /// Drawn for the disk when it was first used.
        nonce: u64,
        /// What the receiver said so of its own; 0 if the sender has not heard it.
        heard: u64,
    },
    /// Who founded the group the sender belongs to, and on which disks.
    Founders {
        /// The key by which members prove that they are members.
        key: PeerKey,
        /// The founders.
        founders: Vec<Founder>,
    },
    /// The receiver belongs to the group from now on.
    Welcome {
        /// The disk this is meant for.
        nonce: u64,
        /// The id it has from now on.
        member: MemberId,
        /// Names the group.
        cluster: u64,
        /// The key by which members prove that they are members.
        key: PeerKey,
    },
    /// The sender has data as that member and no leader speaks to it: if it is no member any more it wants to be one again.
    Forgotten {
        /// The sender's disk.
        nonce: u64,
        /// The id it had.
        member: MemberId,
    },
    /// Who the members are, as the sender knows. One that was away while they changed could not be reached by those it does not know.
    Servers {
        /// zxid of the configuration.
        version: i64,
        /// The disk of the receiver, if it has no data: it believes only who knows that. Otherwise
        /// 0.
        nonce: u64,
        /// Its lines, and those of servers that are on their way.
        text: String,
    },
    /// The sender was asked to lead.
    Claim,
    /// The snapshot that the receiver has sent is damaged.
    Damaged(SnapshotId),
    /// Somebody who says that it leads counts on entries the sender does not have. Is that so?
    Missing(Claimed),
    /// The sender follows that leader, or is it, and has agreed entries up to that index itself.
    Upheld(Claimed),
    /// What the sender's configuration file says of each server: its number, and whether it is an
    /// observer.
    File(Vec<(ServerId, bool)>),
    /// The sender's disk keeps it from doing anything else, but it lives.
    Alive,
    /// What a flush of the sender's log has taken lately.
    FlushLatency {
        /// On average, in µs.
        mean_us: u64,
    },
}

/// What a member believes of another's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// Who believes it.
    pub leader: MemberId,
    /// The term it leads in.
    pub term: u64,
    /// Up to where it believes the other one to hold its log.
    pub index: u64,
}

/// By which members of a group prove to each other that they are members. It appears in no message
/// to operators.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PeerKey([u8; Self::BYTES]);

impl PeerKey {
    /// Its length.
    pub const BYTES: usize = 32;

    /// A key of these bytes.
    pub fn new(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PeerKey(…)")
    }
}

/// A voter of a new group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Founder {
    /// Its id.
    pub member: MemberId,
    /// Names its disk.
    pub nonce: u64,
}

/// A command that got no place in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefusedCommand {
    /// Whose it was.
    pub session: i64,
    /// Its place among the commands of the stream, from 0.
    pub place: u64,
}

/// Names the file of a snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnapshotId {
    /// Index of the last entry in it.
    pub index: u64,
    /// Term of that entry.
    pub term: u64,
    /// zxid of the state.
    pub zxid: i64,
}

/// Why bytes are no message of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPeerMessage {
    /// Too short, or too long.
    #[error("a peer message of a wrong length")]
    Length,
    /// A kind this version does not know.
    #[error("a peer message of unknown kind {0}")]
    Kind(u8),
    /// A group this member has no part in.
    #[error("a peer message for group {0}")]
    Group(u64),
    /// A field that no correct member sends.
    #[error("a peer message with an impossible {0}")]
    Field(&'static str),
}

const ENGINE: u8 = 1;
const FORWARD: u8 = 2;
const TAKEN: u8 = 3;
const NOT_TAKEN: u8 = 4;
const TOUCHED: u8 = 5;
const FETCH: u8 = 6;
const CHUNK: u8 = 7;
const NEWCOMER: u8 = 8;
const FOUNDERS: u8 = 9;
const WELCOME: u8 = 10;
const FORGOTTEN: u8 = 11;
const PACE: u8 = 12;
const SERVERS: u8 = 13;
const CLAIM: u8 = 14;
const DAMAGED: u8 = 15;
const ALIVE: u8 = 16;
const MISSING: u8 = 17;
const UPHELD: u8 = 18;
const REFUSALS_KNOWN: u8 = 19;
const FILE: u8 = 20;
const LEADER_TIME: u8 = 21;

/// Bytes of a chunk besides its piece of the file.
pub const CHUNK_OVERHEAD: usize = 9 + 24 + 16;

impl PeerMessage {
    /// Whether it is part of how servers become members: such messages go to, and come from,
    /// servers that cannot prove yet that they belong to the group.
    pub fn is_of_joining(&self) -> bool {
        matches!(
            self,
            Self::Newcomer { .. } | Self::Founders { .. } | Self::Welcome { .. } | Self::Servers { .. }
        )
    }

    /// Appends the message.
    pub fn put(&self, group: u64, out: &mut Vec<u8>) {
        let head = |kind: u8, out: &mut Vec<u8>| {
            out.put_u8(kind);
            out.put_u64(group);
        };
        match self {
            Self::Engine { from, bytes } => {
                out.put_u8(ENGINE);
                out.put_u64(from.0);
                out.extend_from_slice(bytes);
            }
            Self::Forward { term, life, number, commands } => {
                head(FORWARD, out);
                [term, life, number].into_iter().for_each(|n| out.put_u64(*n));
                out.extend_from_slice(commands);
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
                out.extend_from_slice(bytes);
            }
            Self::Newcomer { nonce, heard } => {
                head(NEWCOMER, out);
                out.put_u64(*nonce);
                out.put_u64(*heard);
            }
            Self::Founders { key, founders } => {
                head(FOUNDERS, out);
                out.extend_from_slice(key.bytes());
                for founder in founders {
                    out.put_u64(founder.member.0);
                    out.put_u64(founder.nonce);
                }
            }
            Self::Welcome { nonce, member, cluster, key } => {
                head(WELCOME, out);
                [*nonce, member.0, *cluster].into_iter().for_each(|n| out.put_u64(n));
                out.extend_from_slice(key.bytes());
            }
            Self::Forgotten { nonce, member } => {
                head(FORGOTTEN, out);
                [*nonce, member.0].into_iter().for_each(|n| out.put_u64(n));
            }
            Self::Servers { version, nonce, text } => {
                head(SERVERS, out);
                out.put_i64(*version);
                out.put_u64(*nonce);
                out.extend_from_slice(text.as_bytes());
            }
            Self::Claim => head(CLAIM, out),
            Self::Alive => head(ALIVE, out),
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
            Self::File(roles) => {
                head(FILE, out);
                for (server, observer) in roles {
                    out.put_u32(*server);
                    out.put_u8(u8::from(*observer));
                }
            }
            Self::FlushLatency { mean_us } => {
                head(PACE, out);
                out.put_u64(*mean_us);
            }
        }
    }

    /// Reads one message of `group`, which is all of `bytes`.
    ///
    /// # Errors
    /// If it is none.
    pub fn read(group: u64, mut bytes: Bytes) -> Result<Self, BadPeerMessage> {
        let kind = bytes.try_get_u8()?;
        if kind == ENGINE {
            return Ok(Self::Engine { from: read_member(&mut bytes)?, bytes });
        }
        let meant_for = bytes.try_get_u64()?;
        if meant_for != group {
            return Err(BadPeerMessage::Group(meant_for));
        }
        let message = match kind {
            FORWARD => {
                let (term, life, number) =
                    (read_position(&mut bytes)?, bytes.try_get_u64()?, read_count(&mut bytes)?);
                check((1..=FORWARD_BYTES_MAX).contains(&bytes.len()), "length of commands")?;
                return Ok(Self::Forward { term, life, number, commands: bytes });
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
            NEWCOMER => Self::Newcomer { nonce: bytes.try_get_u64()?, heard: bytes.try_get_u64()? },
            FOUNDERS => Self::Founders { key: read_key(&mut bytes)?, founders: read_founders(&mut bytes)? },
            WELCOME => {
                let (nonce, member) = (bytes.try_get_u64()?, read_member(&mut bytes)?);
                let cluster = bytes.try_get_u64()?;
                check(cluster != 0, "cluster")?;
                Self::Welcome { nonce, member, cluster, key: read_key(&mut bytes)? }
            }
            FORGOTTEN => Self::Forgotten { nonce: bytes.try_get_u64()?, member: read_member(&mut bytes)? },
            SERVERS => {
                let (version, nonce) = (bytes.try_get_i64()?, bytes.try_get_u64()?);
                check(version > 0, "version of the members")?;
                check(bytes.len() <= SERVERS_BYTES_MAX, "length of the members")?;
                let text = String::from_utf8(bytes.into()).map_err(|_| BadPeerMessage::Length)?;
                return Ok(Self::Servers { version, nonce, text });
            }
            CLAIM => Self::Claim,
            ALIVE => Self::Alive,
            DAMAGED => Self::Damaged(SnapshotId::read(&mut bytes)?),
            MISSING => Self::Missing(Claimed::read(&mut bytes)?),
            UPHELD => Self::Upheld(Claimed::read(&mut bytes)?),
            FILE => Self::File(read_roles(&mut bytes)?),
            PACE => {
                let mean_us = bytes.try_get_u64()?;
                check(mean_us <= PACE_US_MAX, "time of a flush")?;
                Self::FlushLatency { mean_us }
            }
            kind => return Err(BadPeerMessage::Kind(kind)),
        };
        if bytes.is_empty() { Ok(message) } else { Err(BadPeerMessage::Length) }
    }
}

/// The sessions of a server's clients that were heard of lately.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// The leadership whose clock `read_until_ms` is of; 0 if the server does not know it yet.
    pub term: u64,
    /// Until when the server has read what its clients sent, by the leader's clock, in ms. It may
    /// have been later, and never was earlier.
    pub read_until_ms: i64,
    /// Sessions, and how long ago each was heard of, in ms.
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

fn check(is_possible: bool, field: &'static str) -> Result<(), BadPeerMessage> {
    if is_possible { Ok(()) } else { Err(BadPeerMessage::Field(field)) }
}

fn read_member(bytes: &mut Bytes) -> Result<MemberId, BadPeerMessage> {
    let member = bytes.try_get_u64()?;
    check(member != 0, "member")?;
    Ok(MemberId(member))
}

fn read_key(bytes: &mut Bytes) -> Result<PeerKey, BadPeerMessage> {
    let mut key = [0; PeerKey::BYTES];
    bytes.try_copy_to_slice(&mut key)?;
    Ok(PeerKey(key))
}

/// A term or an index.
fn read_position(bytes: &mut Bytes) -> Result<u64, BadPeerMessage> {
    let number = bytes.try_get_u64()?;
    check(number < POSITION_LIMIT, "term or index")?;
    Ok(number)
}

/// Counts messages, commands or refusals.
fn read_count(bytes: &mut Bytes) -> Result<u64, BadPeerMessage> {
    let number = bytes.try_get_u64()?;
    check(number < POSITION_LIMIT, "number of a message")?;
    Ok(number)
}

impl From<bytes::TryGetError> for BadPeerMessage {
    fn from(_: bytes::TryGetError) -> Self {
        Self::Length
    }
}

fn read_roles(bytes: &mut Bytes) -> Result<Vec<(ServerId, bool)>, BadPeerMessage> {
    check(bytes.len() <= 5 * MEMBERS_MAX, "number of servers")?;
    let mut roles = Vec::new();
    while !bytes.is_empty() {
        let (server, observer) = (bytes.try_get_u32()?, bytes.try_get_u8()?);
        check(server <= SERVER_ID_MAX, "number of a server")?;
        check(observer <= 1, "role")?;
        roles.push((server, observer == 1));
    }
    Ok(roles)
}

fn read_refused(bytes: &mut Bytes) -> Result<Vec<RefusedCommand>, BadPeerMessage> {
    let mut refused = Vec::with_capacity(bytes.len() / 16);
    while !bytes.is_empty() {
        refused.push(RefusedCommand { session: bytes.try_get_i64()?, place: read_count(bytes)? });
    }
    Ok(refused)
}

fn read_founders(bytes: &mut Bytes) -> Result<Vec<Founder>, BadPeerMessage> {
    check(bytes.len() / 16 <= MEMBERS_MAX, "number of founders")?;
    let mut founders = Vec::with_capacity(bytes.len() / 16);
    while !bytes.is_empty() {
        founders.push(Founder { member: read_member(bytes)?, nonce: bytes.try_get_u64()? });
    }
    Ok(founders)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: PeerKey = PeerKey([7; 32]);

    fn all() -> Vec<PeerMessage> {
        let snapshot = SnapshotId { index: 1 << 40, term: 3, zxid: -5 };
        vec![
            PeerMessage::Engine { from: MemberId(258), bytes: Bytes::from_static(b"engine") },
            PeerMessage::Forward { term: 1, life: 2, number: 3, commands: Bytes::from_static(b"commands") },
            PeerMessage::Taken { term: 1, life: 2, next: 3 },
            PeerMessage::NotTaken {
                term: 4,
                life: 2,
                first: 9,
                refused: vec![RefusedCommand { session: -1, place: 7 }; 3],
            },
            PeerMessage::RefusalsKnown { term: 4, life: 2, next: 12 },
            PeerMessage::Touched(Touched {
                term: 4,
                read_until_ms: -7,
                sessions: vec![(1, 0), (i64::MIN, u32::MAX), (i64::MAX, 400)],
            }),
            PeerMessage::LeaderTime { term: 4, ms: i64::MIN },
            PeerMessage::Fetch { snapshot, offset: 9 },
            PeerMessage::Chunk { snapshot, length: 100, offset: 9, bytes: Bytes::from_static(b"piece") },
            PeerMessage::Newcomer { nonce: u64::MAX, heard: 5 },
            PeerMessage::Founders { key: KEY, founders: vec![Founder { member: MemberId(3), nonce: 4 }; 2] },
            PeerMessage::Welcome { nonce: 1, member: MemberId(259), cluster: 7, key: KEY },
            PeerMessage::Forgotten { nonce: 1, member: MemberId(3) },
            PeerMessage::FlushLatency { mean_us: 158 },
            PeerMessage::Servers {
                version: 1 << 32,
                nonce: 8,
                text: "server.1=a:1:2:participant\n".to_owned(),
            },
            PeerMessage::Claim,
            PeerMessage::Alive,
            PeerMessage::Damaged(snapshot),
            PeerMessage::Missing(Claimed { leader: MemberId(2), term: 3, index: 4 }),
            PeerMessage::Upheld(Claimed { leader: MemberId(2), term: 3, index: 4 }),
            PeerMessage::File(vec![(0, false), (SERVER_ID_MAX, true)]),
        ]
    }

    #[test]
    fn every_message_reads_back_as_written() {
        for message in all() {
            let mut out = Vec::new();
            message.put(7, &mut out);
            assert_eq!(PeerMessage::read(7, out.into()), Ok(message));
        }
    }

    #[test]
    fn other_groups_kinds_and_cuts_are_refused() {
        for message in &all()[1..] {
            let mut out = Vec::new();
            message.put(7, &mut out);
            assert_eq!(PeerMessage::read(8, out.clone().into()), Err(BadPeerMessage::Group(7)));
            for cut in 0..out.len() {
                // What is left may be a shorter message, but never the same.
                assert_ne!(PeerMessage::read(7, out[..cut].to_vec().into()).as_ref(), Ok(message), "{cut}");
            }
        }
        assert_eq!(
            PeerMessage::read(0, Bytes::from_static(&[99; 9])),
            Err(BadPeerMessage::Group(0x6363_6363_6363_6363))
        );
        assert_eq!(
            PeerMessage::read(0, Bytes::from_static(&[99, 0, 0, 0, 0, 0, 0, 0, 0])),
            Err(BadPeerMessage::Kind(99))
        );
        assert_eq!(PeerMessage::read(0, Bytes::new()), Err(BadPeerMessage::Length));
    }

    #[test]
    fn what_no_correct_member_sends_is_refused() {
        let snapshot = |index, term| SnapshotId { index, term, zxid: 1 };
        let chunk = |length, offset| PeerMessage::Chunk {
            snapshot: snapshot(2, 1),
            length,
            offset,
            bytes: Bytes::from_static(b"piece"),
        };
        let claimed = |leader, term, index| Claimed { leader: MemberId(leader), term, index };
        let commands = |length| Bytes::from(vec![0; length]);
        let forward =
            |term, number, length| PeerMessage::Forward { term, life: 1, number, commands: commands(length) };
        let far = POSITION_LIMIT;
        let founders = |member, count| PeerMessage::Founders {
            key: KEY,
            founders: vec![Founder { member: MemberId(member), nonce: 1 }; count],
        };
        let impossible = [
            PeerMessage::Engine { from: MemberId(0), bytes: Bytes::new() },
            forward(far, 0, 1),
            forward(1, far, 1),
            forward(1, 0, 0),
            forward(1, 0, FORWARD_BYTES_MAX + 1),
            PeerMessage::Taken { term: far, life: 1, next: 1 },
            PeerMessage::Taken { term: 1, life: 1, next: far },
            PeerMessage::NotTaken { term: far, life: 1, first: 0, refused: Vec::new() },
            PeerMessage::NotTaken { term: 1, life: 1, first: far, refused: Vec::new() },
            PeerMessage::RefusalsKnown { term: 1, life: 1, next: far },
            PeerMessage::Fetch { snapshot: snapshot(far, 1), offset: 0 },
            PeerMessage::Fetch { snapshot: snapshot(1, 1), offset: SNAPSHOT_BYTES_MAX + 1 },
            chunk(SNAPSHOT_BYTES_MAX + 1, 0),
            chunk(4, 0),
            chunk(10, 6),
            chunk(10, u64::MAX),
            founders(1, MEMBERS_MAX + 1),
            founders(0, 1),
            PeerMessage::Welcome { nonce: 1, member: MemberId(0), cluster: 1, key: KEY },
            PeerMessage::Welcome { nonce: 1, member: MemberId(1), cluster: 0, key: KEY },
            PeerMessage::Forgotten { nonce: 1, member: MemberId(0) },
            PeerMessage::Servers { version: 0, nonce: 0, text: String::new() },
            PeerMessage::Servers { version: 1, nonce: 0, text: "x".repeat(SERVERS_BYTES_MAX + 1) },
            PeerMessage::Damaged(snapshot(1, far)),
            PeerMessage::Missing(claimed(0, 1, 1)),
            PeerMessage::Missing(claimed(1, far, 1)),
            PeerMessage::Upheld(claimed(1, 1, far)),
            PeerMessage::FlushLatency { mean_us: PACE_US_MAX + 1 },
        ];
        for message in impossible {
            let mut out = Vec::new();
            message.put(7, &mut out);
            let read = PeerMessage::read(7, out.into());
            assert!(matches!(read, Err(BadPeerMessage::Field(_))), "{read:?}");
        }
    }

    #[test]
    fn a_chunk_is_as_long_as_said() {
        let mut out = Vec::new();
        let snapshot = SnapshotId::default();
        PeerMessage::Chunk { snapshot, length: 0, offset: 0, bytes: Bytes::new() }.put(0, &mut out);
        assert_eq!(out.len(), CHUNK_OVERHEAD);
    }
}

//! What servers say to each other about themselves. Each message begins `kind u8`.
//!
//! ```text
//! newcomer       1   nonce u64 | heard u64                            server without data → all
//! founders       2   key [32] | (member u64 | nonce u64)*             server → server without data
//! welcome        3   nonce u64 | member u64 | cluster u64 | key [32]  leader → server that joins
//! forgotten      4   nonce u64 | member u64                           server without leader → all
//! servers        5   version i64 | nonce u64 | lines `server.N=…`     server → server, on connect
//! file           6   (server u32 | observer u8)*                      follower → leader
//! alive          7   nothing                                          server → all
//! flush latency  8   mean_us u64                                      follower → leader
//! quiet groups   9   (group u64 | term u64 | index u64)*              server → all
//! ```

use std::fmt;

use bytes::{Buf, BufMut, Bytes};
use consensus::entry::MemberId;
use consensus::membership::MEMBERS_MAX;
use state::members::{SERVER_ID_MAX, ServerId};

use super::{BadPeerMessage, check, read_member, read_position};
use crate::id::{GROUPS_MAX, GroupId};

/// Most bytes of the lines that list the members.
pub const SERVERS_BYTES_MAX: usize = 256 << 10;

/// Longest flush that a member can report, in µs: twelve days.
pub const FLUSH_US_MAX: u64 = 1 << 40;

/// One message of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerMessage {
    /// The sender has no data and names its disk.
    Newcomer {
        /// The nonce drawn when the disk was first used.
        nonce: u64,
        /// The nonce that the receiver announced for its own disk; 0 if the sender has not heard
        /// it.
        heard: u64,
    },
    /// The founders of the sender's cluster, and their disks.
    Founders {
        /// The key by which members prove their membership.
        key: PeerKey,
        /// The founders.
        founders: Vec<Founder>,
    },
    /// The receiver belongs to the cluster from now on.
    Welcome {
        /// The nonce of the disk this is meant for.
        nonce: u64,
        /// The receiver's member id from now on.
        member: MemberId,
        /// Identifies the cluster.
        cluster: u64,
        /// The key by which members prove their membership.
        key: PeerKey,
    },
    /// The sender has data as that member and no leader contacts it: if it is no longer a member,
    /// it asks to rejoin.
    Forgotten {
        /// The nonce of the sender's disk.
        nonce: u64,
        /// The member id it had.
        member: MemberId,
    },
    /// The members, as far as the sender knows. A member that was away while they changed cannot be
    /// reached by those it does not know.
    Servers {
        /// zxid of the configuration.
        version: i64,
        /// The nonce of the receiver's disk, if it has no data: it believes only a sender that
        /// knows it. Otherwise 0.
        nonce: u64,
        /// The configuration's lines, and those of servers that are joining.
        text: String,
    },
    /// The sender's configuration file: each server's number, and whether it is an observer.
    File(Vec<(ServerId, bool)>),
    /// The sender's disk blocks everything else, but the sender is alive.
    Alive,
    /// Recent duration of the sender's log flushes.
    FlushLatency {
        /// The mean, in µs.
        mean_us: u64,
    },
    /// The sender is alive, and these are the quiet groups that it leads.
    QuietGroups(Vec<QuietGroup>),
}

/// A group whose leader stopped its engine's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuietGroup {
    /// The group.
    pub group: GroupId,
    /// The leadership's term.
    pub term: u64,
    /// The last entry of the leader's log, which is committed.
    pub index: u64,
}

/// Bytes of a quiet group in a message.
const QUIET_GROUP_BYTES: usize = 24;

/// The key by which members of a cluster prove their membership to each other. No message to
/// operators contains it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PeerKey(pub(super) [u8; Self::BYTES]);

impl PeerKey {
    /// Its length in bytes.
    pub const BYTES: usize = 32;

    /// The key with these bytes.
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

/// A voter of a new cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Founder {
    /// Its member id.
    pub member: MemberId,
    /// The nonce of its disk.
    pub nonce: u64,
}

const NEWCOMER: u8 = 1;
const FOUNDERS: u8 = 2;
const WELCOME: u8 = 3;
const FORGOTTEN: u8 = 4;
const SERVERS: u8 = 5;
const FILE: u8 = 6;
const ALIVE: u8 = 7;
const FLUSH_LATENCY: u8 = 8;
const QUIET_GROUPS: u8 = 9;

impl ServerMessage {
    /// Whether it belongs to the join protocol.
    pub(super) fn is_of_joining(&self) -> bool {
        matches!(
            self,
            Self::Newcomer { .. } | Self::Founders { .. } | Self::Welcome { .. } | Self::Servers { .. }
        )
    }

    /// Appends the message.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Newcomer { nonce, heard } => {
                out.put_u8(NEWCOMER);
                out.put_u64(*nonce);
                out.put_u64(*heard);
            }
            Self::Founders { key, founders } => {
                out.put_u8(FOUNDERS);
                out.extend_from_slice(key.bytes());
                for founder in founders {
                    out.put_u64(founder.member.0);
                    out.put_u64(founder.nonce);
                }
            }
            Self::Welcome { nonce, member, cluster, key } => {
                out.put_u8(WELCOME);
                [*nonce, member.0, *cluster].into_iter().for_each(|n| out.put_u64(n));
                out.extend_from_slice(key.bytes());
            }
            Self::Forgotten { nonce, member } => {
                out.put_u8(FORGOTTEN);
                [*nonce, member.0].into_iter().for_each(|n| out.put_u64(n));
            }
            Self::Servers { version, nonce, text } => {
                out.put_u8(SERVERS);
                out.put_i64(*version);
                out.put_u64(*nonce);
                out.extend_from_slice(text.as_bytes());
            }
            Self::Alive => out.put_u8(ALIVE),
            Self::File(roles) => {
                out.put_u8(FILE);
                for (server, observer) in roles {
                    out.put_u32(*server);
                    out.put_u8(u8::from(*observer));
                }
            }
            Self::FlushLatency { mean_us } => {
                out.put_u8(FLUSH_LATENCY);
                out.put_u64(*mean_us);
            }
            Self::QuietGroups(groups) => {
                out.put_u8(QUIET_GROUPS);
                for QuietGroup { group, term, index } in groups {
                    [group.0, *term, *index].into_iter().for_each(|n| out.put_u64(n));
                }
            }
        }
    }

    /// Reads a message of that kind, which must take all of `bytes`.
    pub(super) fn read(kind: u8, mut bytes: Bytes) -> Result<Self, BadPeerMessage> {
        let message = match kind {
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
            ALIVE => Self::Alive,
            FILE => Self::File(read_roles(&mut bytes)?),
            FLUSH_LATENCY => {
                let mean_us = bytes.try_get_u64()?;
                check(mean_us <= FLUSH_US_MAX, "time of a flush")?;
                Self::FlushLatency { mean_us }
            }
            QUIET_GROUPS => Self::QuietGroups(read_quiet_groups(&mut bytes)?),
            kind => return Err(BadPeerMessage::Kind(kind)),
        };
        if bytes.is_empty() { Ok(message) } else { Err(BadPeerMessage::Length) }
    }
}

fn read_key(bytes: &mut Bytes) -> Result<PeerKey, BadPeerMessage> {
    let mut key = [0; PeerKey::BYTES];
    bytes.try_copy_to_slice(&mut key)?;
    Ok(PeerKey::new(key))
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

fn read_quiet_groups(bytes: &mut Bytes) -> Result<Vec<QuietGroup>, BadPeerMessage> {
    check(bytes.len() / QUIET_GROUP_BYTES <= GROUPS_MAX, "number of groups")?;
    let mut groups = Vec::with_capacity(bytes.len() / QUIET_GROUP_BYTES);
    while !bytes.is_empty() {
        let group = GroupId(bytes.try_get_u64()?);
        check(group.0 < GROUPS_MAX as u64, "group")?;
        groups.push(QuietGroup { group, term: read_position(bytes)?, index: read_position(bytes)? });
    }
    Ok(groups)
}

fn read_founders(bytes: &mut Bytes) -> Result<Vec<Founder>, BadPeerMessage> {
    check(bytes.len() / 16 <= MEMBERS_MAX, "number of founders")?;
    let mut founders = Vec::with_capacity(bytes.len() / 16);
    while !bytes.is_empty() {
        founders.push(Founder { member: read_member(bytes)?, nonce: bytes.try_get_u64()? });
    }
    Ok(founders)
}

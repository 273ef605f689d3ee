//! The content of a log entry: a batch of commands under one stamp of the leader.
//!
//! ```text
//! entry    = header command*
//! header   = version u8 (1 or 2) | time_ms i64 | zxid_floor i64 | features u32      (21 bytes)
//! command  = length u32 (of what follows) | session i64 | cxid i32 | opcode i32
//!          | identities_len u32 | identities | body
//!
//! body     = a client's frame after its header, unchanged, for opcodes of the protocol;
//!            for internal ones:
//!   createSession   -10        timeout_ms i32 | home u32      (the id is the command's session)
//!   closeSession    -11        nothing
//!   deleteContainer  20        path ustring | czxid i64 | mzxid i64
//!   initialize  INITIALIZE     cluster key, 32 bytes
//!   moveSession MOVE_SESSION   timeout_ms i32 | home u32
//!   setMembers  SET_MEMBERS    text ustring       (the lines `server.N=…` of `/zookeeper/config`)
//!   proposeConfig PROPOSE_CONFIG  session i64 | cxid i32 | text ustring, or nothing to withdraw
//! ```
//!
//! All integers are big-endian, as everywhere in the protocol. These numbers are on disk: they
//! never change their meaning, and a new layout gets a new version. Clients cannot send the
//! internal opcodes; the server refuses them before they reach a command.
//!
//! Version 2 has the layout of version 1. It says that a feature is on without which a member
//! computes other results: a program that knows version 1 only must not go on, and does not.

use crate::members::ServerId;
use wire::jute::{Malformed, Put, Reader};

/// Version of the layout, the first byte of an entry.
pub const VERSION: u8 = 1;

/// Version of entries with a feature that a program of [`VERSION`] does not know.
pub const VERSION_WITH_GRANTS: u8 = 2;

/// Opcode of the command that sets the cluster key. Far from all numbers of the protocol.
pub const INITIALIZE: i32 = -1000;

/// Opcode of the command that moves a session to another server. It consumes no zxid: ZooKeeper
/// keeps such moves out of its log.
pub const MOVE_SESSION: i32 = -1001;

/// Opcode of the command by which the leader itself sets the ensemble's configuration.
pub const SET_MEMBERS: i32 = -1002;

/// Opcode of the command that records the configuration the leader works towards. It consumes no
/// zxid, since clients cannot see it.
pub const PROPOSE_CONFIG: i32 = -1003;

/// Length of the cluster key in bytes.
pub const CLUSTER_KEY_BYTES: usize = 32;

/// The leader's settings that affect the outcome of commands. Each batch carries them, since
/// members with different settings must compute the same results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features(u32);

impl Features {
    /// No features.
    pub const NONE: Self = Self(0);
    /// TTL nodes may be created (`zookeeper.extendedTypesEnabled`).
    pub const EXTENDED_TYPES: Self = Self(1);
    /// Hard quotas refuse writes (`zookeeper.enforceQuota`).
    pub const ENFORCE_QUOTA: Self = Self(1 << 1);
    /// ACLs are stored but not checked (`zookeeper.skipACL`).
    pub const SKIP_ACL: Self = Self(1 << 2);
    /// Operations 500–507 and the nodes that announce them.
    pub const KEEPER_EXTENSIONS: Self = Self(1 << 3);
    /// `reconfig` can change the members (`reconfigEnabled`).
    pub const RECONFIG: Self = Self(1 << 4);
    /// `reconfig` can leave a single voter (`standaloneEnabled=false`).
    pub const LONE_VOTER: Self = Self(1 << 5);

    /// The scheme `digest` is disabled (`zookeeper.DigestAuthenticationProvider.enabled=false`).
    pub const NO_DIGEST: Self = Self(1 << 6);
    /// The scheme `key` is enabled (`zookeeper.authProvider.N`).
    pub const KEY_SCHEME: Self = Self(1 << 7);
    /// The scheme `sasl` is enabled (`zookeeper.authProvider.N`).
    pub const SASL_SCHEME: Self = Self(1 << 8);
    /// The scheme `x509` is enabled (`secureClientPort`).
    pub const X509_SCHEME: Self = Self(1 << 9);

    /// The super user can put grants in force (`ostler.grants`). Only in entries of
    /// [`VERSION_WITH_GRANTS`].
    pub const GRANTS: Self = Self(1 << 10);

    /// The features with these bits. Unknown bits are kept, so that an older member passes them on.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The bits as stored.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The union of both sets.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These without `other`.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether all of `other` are set.
    #[inline]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Why the bytes of an entry are not a batch of commands. Entries are checksummed and committed, so
/// this means another version or a bug; the member must stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadEntry {
    /// An entry with another layout.
    #[error("the entry has layout version {0}, this server knows {VERSION_WITH_GRANTS}")]
    Version(u8),
    /// The bytes are truncated or contain a wrong length.
    #[error("the entry is truncated or has wrong lengths")]
    Truncated,
}

impl From<Malformed> for BadEntry {
    fn from(_: Malformed) -> Self {
        Self::Truncated
    }
}

/// The leader's stamp on a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchHeader {
    /// The leader's wall clock, in milliseconds since 1970. The only time that `apply` uses.
    pub time_ms: i64,
    /// The zxid of each command is above this. 0 while there is only one group.
    pub zxid_floor: i64,
    /// The settings that apply to the commands.
    pub features: Features,
}

impl BatchHeader {
    /// Bytes of an encoded header.
    pub const ENCODED_LEN: usize = 21;

    /// Appends the header; it must be the first part of an entry.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.put_u8(if self.features.has(Features::GRANTS) { VERSION_WITH_GRANTS } else { VERSION });
        out.put_i64(self.time_ms);
        out.put_i64(self.zxid_floor);
        out.extend_from_slice(&self.features.0.to_be_bytes());
    }

    /// The header of an entry and the bytes after it, for [`commands`].
    pub fn read(entry: &[u8]) -> Result<(Self, &[u8]), BadEntry> {
        let mut input = Reader::new(entry);
        let version = input.u8()?;
        if !(VERSION..=VERSION_WITH_GRANTS).contains(&version) {
            return Err(BadEntry::Version(version));
        }
        let (time_ms, zxid_floor) = (input.i64()?, input.i64()?);
        let bits = Features(u32_from(&mut input)?);
        // In an entry of version 1 the bit has no meaning.
        let features = if version == VERSION { bits.without(Features::GRANTS) } else { bits };
        Ok((Self { time_ms, zxid_floor, features }, input.rest()))
    }
}

/// A committed request of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command<'a> {
    /// The session that makes the request, or that begins or ends.
    pub session: i64,
    /// The client's xid of the request. With the session it identifies the request that waits for
    /// this command.
    pub cxid: i32,
    /// A write operation of the protocol or an internal one.
    pub opcode: i32,
    /// Encoded [`Identities`](crate::auth::Identities) of the connection at the time of the
    /// request.
    pub identities: &'a [u8],
    /// The record of the operation.
    pub body: &'a [u8],
}

impl<'a> Command<'a> {
    /// Length of a command without its identities and body.
    pub const OVERHEAD: usize = 24;

    /// Appends the command to an entry.
    ///
    /// # Panics
    /// If it has 2^32 bytes or more; the limits on frames are far below.
    pub fn put(&self, out: &mut Vec<u8>) {
        let length = Self::OVERHEAD - 4 + self.identities.len() + self.body.len();
        out.reserve(4 + length);
        put_u32(length, out);
        out.put_i64(self.session);
        out.put_i32(self.cxid);
        out.put_i32(self.opcode);
        put_u32(self.identities.len(), out);
        out.extend_from_slice(self.identities);
        out.extend_from_slice(self.body);
    }

    fn read(bytes: &'a [u8]) -> Result<Self, BadEntry> {
        let mut input = Reader::new(bytes);
        let (session, cxid, opcode) = (input.i64()?, input.i32()?, input.i32()?);
        let identities_len = u32_from(&mut input)? as usize;
        let identities = input.take(identities_len)?;
        Ok(Self { session, cxid, opcode, identities, body: input.rest() })
    }
}

/// The commands of an entry, from the bytes after its header. The iteration ends after an error.
pub fn commands(batch: &[u8]) -> impl Iterator<Item = Result<Command<'_>, BadEntry>> {
    let mut rest = batch;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut input = Reader::new(std::mem::take(&mut rest));
        let command =
            u32_from(&mut input).and_then(|length| Ok(input.take(length as usize)?)).and_then(Command::read);
        if command.is_ok() {
            rest = input.rest();
        }
        Some(command)
    })
}

/// Whether the bytes are a complete entry: a header followed only by commands.
pub fn is_batch(entry: &[u8]) -> bool {
    BatchHeader::read(entry).is_ok_and(|(_, rest)| commands(rest).all(|command| command.is_ok()))
}

/// The body of `createSession` and `moveSession`: the session's terms at its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionTerms {
    /// The negotiated timeout.
    pub timeout_ms: i32,
    /// The server to which the session's client is connected. Writes of the session from any other
    /// server are late and refused.
    pub home: ServerId,
}

impl SessionTerms {
    /// Appends the body.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.put_i32(self.timeout_ms);
        out.put_i32(self.home.cast_signed());
    }

    /// Reads the body.
    ///
    /// # Errors
    /// If the body is too short.
    pub fn read(body: &[u8]) -> Result<Self, Malformed> {
        Self::take(&mut Reader::new(body))
    }

    pub(crate) fn take(input: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { timeout_ms: input.i32()?, home: input.i32()?.cast_unsigned() })
    }
}

/// The node that an internal `deleteContainer` means. A node that was deleted and recreated has
/// another `czxid`; one whose data were set in the meantime has another `mzxid`, and a TTL node's
/// TTL has restarted. In both cases the command does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeleteContainer<'a> {
    /// Path of the container or TTL node.
    pub path: &'a str,
    /// `czxid` of the node when it was found removable.
    pub czxid: i64,
    /// `mzxid` of the node when it was found removable.
    pub mzxid: i64,
}

impl<'a> DeleteContainer<'a> {
    /// Appends the body.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.put_str(self.path);
        out.put_i64(self.czxid);
        out.put_i64(self.mzxid);
    }

    pub(crate) fn read(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut input = Reader::new(body);
        Ok(Self { path: input.str()?, czxid: input.i64()?, mzxid: input.i64()? })
    }
}

fn put_u32(value: usize, out: &mut Vec<u8>) {
    let value = u32::try_from(value).expect("a command is below 4 GiB");
    out.extend_from_slice(&value.to_be_bytes());
}

fn u32_from(input: &mut Reader<'_>) -> Result<u32, BadEntry> {
    Ok(input.i32()?.cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_round_trips() {
        let header =
            BatchHeader { time_ms: 1_700_000_000_000, zxid_floor: 7, features: Features::ENFORCE_QUOTA };
        let first = Command { session: 1 << 56, cxid: 3, opcode: 1, identities: b"who", body: b"what" };
        let second = Command { session: 5, cxid: -1, opcode: -11, identities: b"", body: b"" };
        let mut entry = Vec::new();
        header.put(&mut entry);
        assert_eq!(entry.len(), BatchHeader::ENCODED_LEN);
        first.put(&mut entry);
        assert_eq!(entry.len(), BatchHeader::ENCODED_LEN + Command::OVERHEAD + 7);
        second.put(&mut entry);
        let (read, rest) = BatchHeader::read(&entry).unwrap();
        assert_eq!(read, header);
        assert_eq!(commands(rest).collect::<Result<Vec<_>, _>>().unwrap(), [first, second]);
    }

    #[test]
    fn golden_bytes_of_version_1() {
        let mut entry = Vec::new();
        BatchHeader { time_ms: 258, zxid_floor: 1, features: Features::SKIP_ACL }.put(&mut entry);
        Command { session: 9, cxid: 2, opcode: INITIALIZE, identities: b"i", body: b"bb" }.put(&mut entry);
        let golden = b"\x01\0\0\0\0\0\0\x01\x02\0\0\0\0\0\0\0\x01\0\0\0\x04\
            \0\0\0\x17\0\0\0\0\0\0\0\x09\0\0\0\x02\xFF\xFF\xFC\x18\0\0\0\x01ibb";
        assert_eq!(entry, golden);
    }

    #[test]
    fn golden_bytes_of_version_2() {
        let mut entry = Vec::new();
        let header = BatchHeader { time_ms: 258, zxid_floor: 1, features: Features::GRANTS };
        header.put(&mut entry);
        let golden = b"\x02\0\0\0\0\0\0\x01\x02\0\0\0\0\0\0\0\x01\0\0\x04\0";
        assert_eq!(entry, golden);
        assert_eq!(BatchHeader::read(&entry).unwrap(), (header, &[][..]));
        entry[0] = VERSION;
        assert_eq!(BatchHeader::read(&entry).unwrap().0.features, Features::NONE);
    }

    #[test]
    fn every_truncated_entry_is_refused_or_shorter() {
        let mut entry = Vec::new();
        BatchHeader::default().put(&mut entry);
        Command { session: 9, cxid: 2, opcode: 1, identities: b"id", body: b"body" }.put(&mut entry);
        for cut in 0..entry.len() {
            match BatchHeader::read(&entry[..cut]) {
                Err(error) => assert_eq!(error, BadEntry::Truncated),
                Ok((_, rest)) => assert!(commands(rest).all(|command| command.is_err())),
            }
        }
        assert_eq!(BatchHeader::read(&[3; 30]), Err(BadEntry::Version(3)));
    }
}

//! The messages between servers, and between the members of a group.
//!
//! ```text
//! frame            = kind u8 | body                         of a server, kinds below 64
//!                  | kind u8 | group u64 | body             of one of its groups, kinds from 64 on
//! ```
//!
//! `server.rs` and `group.rs` draw the bodies. All integers are big-endian. Any message may be
//! lost, duplicated or delayed. Every field has a bound, which is checked where it is read: the
//! sender may be faulty or hostile.

mod group;
mod server;
#[cfg(test)]
mod tests;

use bytes::{Buf, Bytes};
use consensus::entry::MemberId;
use consensus::message::POSITION_LIMIT;

pub use self::group::{
    CHUNK_OVERHEAD, Claimed, FORWARD_BYTES_MAX, GroupMessage, RefusedCommand, SNAPSHOT_BYTES_MAX, SnapshotId,
    Touched,
};
pub use self::server::{FLUSH_US_MAX, Founder, PeerKey, QuietGroup, SERVERS_BYTES_MAX, ServerMessage};
use crate::id::GroupId;

/// The first message kind of groups.
const FIRST_OF_GROUPS: u8 = 64;

/// One message from one server to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerMessage {
    /// It concerns the server.
    Server(ServerMessage),
    /// It concerns one of its groups.
    Group(GroupId, GroupMessage),
}

impl From<ServerMessage> for PeerMessage {
    fn from(message: ServerMessage) -> Self {
        Self::Server(message)
    }
}

impl PeerMessage {
    /// Whether it belongs to the join protocol: such messages go to, and come from, servers that
    /// cannot prove yet that they belong to the ensemble.
    pub fn is_of_joining(&self) -> bool {
        matches!(self, Self::Server(message) if message.is_of_joining())
    }

    /// Appends the message.
    pub fn put(&self, out: &mut Vec<u8>) {
        let end = self.put_head(out);
        end.iter().for_each(|part| out.extend_from_slice(part));
    }

    /// Appends the message without the bytes at its end that it shares with others, and returns
    /// these, so that they need not be copied here.
    pub fn put_head(&self, out: &mut Vec<u8>) -> &[Bytes] {
        match self {
            Self::Server(message) => {
                message.put(out);
                &[]
            }
            Self::Group(group, message) => message.put_head(*group, out),
        }
    }

    /// Reads one message, which must take all of `bytes`.
    ///
    /// # Errors
    ///
    /// The bytes are not a valid message.
    pub fn read(mut bytes: Bytes) -> Result<Self, BadPeerMessage> {
        let kind = bytes.try_get_u8()?;
        if kind < FIRST_OF_GROUPS {
            return ServerMessage::read(kind, bytes).map(Self::Server);
        }
        let group = GroupId(bytes.try_get_u64()?);
        Ok(Self::Group(group, GroupMessage::read(kind, bytes)?))
    }
}

/// Why bytes are not a message of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPeerMessage {
    /// Too short, or too long.
    #[error("a peer message of a wrong length")]
    Length,
    /// A kind this version does not know.
    #[error("a peer message of unknown kind {0}")]
    Kind(u8),
    /// A field with a value that no correct member sends.
    #[error("a peer message with an impossible {0}")]
    Field(&'static str),
}

pub(super) fn check(is_possible: bool, field: &'static str) -> Result<(), BadPeerMessage> {
    if is_possible { Ok(()) } else { Err(BadPeerMessage::Field(field)) }
}

pub(super) fn read_member(bytes: &mut Bytes) -> Result<MemberId, BadPeerMessage> {
    let member = bytes.try_get_u64()?;
    check(member != 0, "member")?;
    Ok(MemberId(member))
}

/// A term or an index.
pub(super) fn read_position(bytes: &mut Bytes) -> Result<u64, BadPeerMessage> {
    let number = bytes.try_get_u64()?;
    check(number < POSITION_LIMIT, "term or index")?;
    Ok(number)
}

/// Counts messages, commands or refusals.
pub(super) fn read_count(bytes: &mut Bytes) -> Result<u64, BadPeerMessage> {
    let number = bytes.try_get_u64()?;
    check(number < POSITION_LIMIT, "number of a message")?;
    Ok(number)
}

impl From<bytes::TryGetError> for BadPeerMessage {
    fn from(_: bytes::TryGetError) -> Self {
        Self::Length
    }
}

//! Every reply of the protocol.

use super::{
    Create2Reply, CreateReply, ErrorReply, ExistsReply, FilteredListWithStatsAndDataReply, GetAclReply,
    GetAllChildrenNumberReply, GetChildren2Reply, GetChildrenReply, GetDataReply, GetEphemeralsReply,
    ListRecursiveReply, MultiReply, SaslReply, SetAclReply, SetDataReply, SyncReply, WhoAmIReply,
};
use crate::jute::{Malformed, Reader};
use crate::opcode::Opcode;

/// The body of a successful reply, borrowed from its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// No body: the header is the whole reply.
    Empty,
    /// Of `create` and `createIfNotExists`.
    Create(CreateReply<'a>),
    /// Of `create2`, `createContainer` and `createTTL`.
    Create2(Create2Reply<'a>),
    /// Of `exists`.
    Exists(ExistsReply),
    /// Of `getData` and `reconfig`.
    GetData(GetDataReply<'a>),
    /// Of `setData`.
    SetData(SetDataReply),
    /// Of `getACL`.
    GetAcl(GetAclReply<'a>),
    /// Of `setACL`.
    SetAcl(SetAclReply),
    /// Of `getChildren`.
    GetChildren(GetChildrenReply<'a>),
    /// Of `getChildren2` and `filteredList`.
    GetChildren2(GetChildren2Reply<'a>),
    /// Of `sync`.
    Sync(SyncReply<'a>),
    /// Of `multi` and `multiRead`.
    Multi(MultiReply<'a>),
    /// Of `sasl`.
    Sasl(SaslReply<'a>),
    /// Of `getEphemerals`.
    GetEphemerals(GetEphemeralsReply<'a>),
    /// Of `getAllChildrenNumber`.
    GetAllChildrenNumber(GetAllChildrenNumberReply),
    /// Of `addWatch`.
    AddWatch(ErrorReply),
    /// Of `whoAmI`.
    WhoAmI(WhoAmIReply<'a>),
    /// Of `filteredListWithStatsAndData`.
    FilteredListWithStatsAndData(FilteredListWithStatsAndDataReply<'a>),
    /// Of `listRecursive`.
    ListRecursive(ListRecursiveReply<'a>),
}

impl<'a> Reply<'a> {
    /// Decodes the body of the reply to a request for `op`. Trailing bytes are ignored.
    ///
    /// # Errors
    /// [`Malformed::Operation`] for the three opcodes that are not requests (notification,
    /// createSession, error); otherwise what is wrong with the record.
    pub fn decode(op: Opcode, body: &'a [u8]) -> Result<Self, Malformed> {
        let input = &mut Reader::new(body);
        Ok(match op {
            Opcode::Create | Opcode::CreateIfNotExists => Self::Create(CreateReply::decode(input)?),
            Opcode::Create2 | Opcode::CreateContainer | Opcode::CreateTtl => {
                Self::Create2(Create2Reply::decode(input)?)
            }
            Opcode::Exists => Self::Exists(ExistsReply::decode(input)?),
            Opcode::GetData | Opcode::Reconfig => Self::GetData(GetDataReply::decode(input)?),
            Opcode::SetData => Self::SetData(SetDataReply::decode(input)?),
            Opcode::GetAcl => Self::GetAcl(GetAclReply::decode(input)?),
            Opcode::SetAcl => Self::SetAcl(SetAclReply::decode(input)?),
            Opcode::GetChildren => Self::GetChildren(GetChildrenReply::decode(input)?),
            Opcode::GetChildren2 | Opcode::FilteredList => {
                Self::GetChildren2(GetChildren2Reply::decode(input)?)
            }
            Opcode::Sync => Self::Sync(SyncReply::decode(input)?),
            Opcode::Multi | Opcode::MultiRead => Self::Multi(MultiReply::decode(input)?),
            Opcode::Sasl => Self::Sasl(SaslReply::decode(input)?),
            Opcode::GetEphemerals => Self::GetEphemerals(GetEphemeralsReply::decode(input)?),
            Opcode::GetAllChildrenNumber => {
                Self::GetAllChildrenNumber(GetAllChildrenNumberReply::decode(input)?)
            }
            Opcode::AddWatch => Self::AddWatch(ErrorReply::decode(input)?),
            Opcode::WhoAmI => Self::WhoAmI(WhoAmIReply::decode(input)?),
            Opcode::FilteredListWithStatsAndData => {
                Self::FilteredListWithStatsAndData(FilteredListWithStatsAndDataReply::decode(input)?)
            }
            Opcode::ListRecursive => Self::ListRecursive(ListRecursiveReply::decode(input)?),
            Opcode::Delete
            | Opcode::Ping
            | Opcode::Check
            | Opcode::CheckWatches
            | Opcode::RemoveWatches
            | Opcode::DeleteContainer
            | Opcode::Auth
            | Opcode::SetWatches
            | Opcode::SetWatches2
            | Opcode::CloseSession
            | Opcode::CheckNotExists
            | Opcode::RemoveRecursive
            | Opcode::CheckStat
            | Opcode::TryRemove => Self::Empty,
            Opcode::Notification | Opcode::CreateSession | Opcode::Error => {
                return Err(Malformed::Operation(op as i32));
            }
        })
    }

    /// Appends the body of the reply.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Empty => {}
            Self::Create(body) => body.encode(out),
            Self::Create2(body) => body.encode(out),
            Self::Exists(body) => body.encode(out),
            Self::GetData(body) => body.encode(out),
            Self::SetData(body) => body.encode(out),
            Self::GetAcl(body) => body.encode(out),
            Self::SetAcl(body) => body.encode(out),
            Self::GetChildren(body) => body.encode(out),
            Self::GetChildren2(body) => body.encode(out),
            Self::Sync(body) => body.encode(out),
            Self::Multi(body) => body.encode(out),
            Self::Sasl(body) => body.encode(out),
            Self::GetEphemerals(body) => body.encode(out),
            Self::GetAllChildrenNumber(body) => body.encode(out),
            Self::AddWatch(body) => body.encode(out),
            Self::WhoAmI(body) => body.encode(out),
            Self::FilteredListWithStatsAndData(body) => body.encode(out),
            Self::ListRecursive(body) => body.encode(out),
        }
    }
}

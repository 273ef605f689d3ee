//! Every request of the protocol.

use super::{
    AddWatch, Auth, Check, CheckNotExists, CheckStat, CheckWatches, Create, Delete, DeleteContainer, Exists,
    FilteredList, FilteredListWithStatsAndData, GetAcl, GetAllChildrenNumber, GetChildren, GetChildren2,
    GetData, GetEphemerals, ListRecursive, Multi, Reconfig, RemoveRecursive, RemoveWatches, Sasl, SetAcl,
    SetData, SetWatches, Sync, TryRemove,
};
use crate::jute::{Malformed, Reader};
use crate::opcode::Opcode;

/// A request, borrowed from its frame. Decoding found every structural error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// `create`, `create2`, `createContainer`, `createTTL` or `createIfNotExists`.
    Create(Create<'a>),
    /// `delete`.
    Delete(Delete<'a>),
    /// `exists`.
    Exists(Exists<'a>),
    /// `getData`.
    GetData(GetData<'a>),
    /// `setData`.
    SetData(SetData<'a>),
    /// `getACL`.
    GetAcl(GetAcl<'a>),
    /// `setACL`.
    SetAcl(SetAcl<'a>),
    /// `getChildren`.
    GetChildren(GetChildren<'a>),
    /// `sync`.
    Sync(Sync<'a>),
    /// `getChildren2`.
    GetChildren2(GetChildren2<'a>),
    /// `check`.
    Check(Check<'a>),
    /// `reconfig`.
    Reconfig(Reconfig<'a>),
    /// `checkWatches`.
    CheckWatches(CheckWatches<'a>),
    /// `removeWatches`.
    RemoveWatches(RemoveWatches<'a>),
    /// `deleteContainer`.
    DeleteContainer(DeleteContainer<'a>),
    /// `auth`.
    Auth(Auth<'a>),
    /// `sasl`.
    Sasl(Sasl<'a>),
    /// `getEphemerals`.
    GetEphemerals(GetEphemerals<'a>),
    /// `getAllChildrenNumber`.
    GetAllChildrenNumber(GetAllChildrenNumber<'a>),
    /// `addWatch`.
    AddWatch(AddWatch<'a>),
    /// `filteredList`.
    FilteredList(FilteredList<'a>),
    /// `checkNotExists`.
    CheckNotExists(CheckNotExists<'a>),
    /// `removeRecursive`.
    RemoveRecursive(RemoveRecursive<'a>),
    /// `checkStat`.
    CheckStat(CheckStat<'a>),
    /// `tryRemove`.
    TryRemove(TryRemove<'a>),
    /// `filteredListWithStatsAndData`.
    FilteredListWithStatsAndData(FilteredListWithStatsAndData<'a>),
    /// `listRecursive`.
    ListRecursive(ListRecursive<'a>),
    /// `multi`.
    Multi(Multi<'a>),
    /// `multiRead`.
    MultiRead(Multi<'a>),
    /// `setWatches` or `setWatches2`.
    SetWatches(SetWatches<'a>),
    /// `ping`.
    Ping,
    /// `whoAmI`.
    WhoAmI,
    /// `closeSession`.
    CloseSession,
}

impl<'a> Request<'a> {
    /// Decodes the body of a request for `op`. Trailing bytes are ignored, as in ZooKeeper.
    ///
    /// # Errors
    /// [`Malformed::Operation`] for the three opcodes that are not requests (notification,
    /// createSession, error); otherwise what is wrong with the record.
    #[inline]
    pub fn decode(op: Opcode, body: &'a [u8]) -> Result<Self, Malformed> {
        Self::decode_from(op, &mut Reader::new(body))
    }

    /// Takes the record of `op` off `input` and leaves the rest.
    pub(super) fn decode_from(op: Opcode, input: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(match op {
            Opcode::Create
            | Opcode::Create2
            | Opcode::CreateContainer
            | Opcode::CreateTtl
            | Opcode::CreateIfNotExists => Self::Create(Create::decode(op, input)?),
            Opcode::Delete => Self::Delete(Delete::decode(input)?),
            Opcode::Exists => Self::Exists(Exists::decode(input)?),
            Opcode::GetData => Self::GetData(GetData::decode(input)?),
            Opcode::SetData => Self::SetData(SetData::decode(input)?),
            Opcode::GetAcl => Self::GetAcl(GetAcl::decode(input)?),
            Opcode::SetAcl => Self::SetAcl(SetAcl::decode(input)?),
            Opcode::GetChildren => Self::GetChildren(GetChildren::decode(input)?),
            Opcode::Sync => Self::Sync(Sync::decode(input)?),
            Opcode::GetChildren2 => Self::GetChildren2(GetChildren2::decode(input)?),
            Opcode::Check => Self::Check(Check::decode(input)?),
            Opcode::Reconfig => Self::Reconfig(Reconfig::decode(input)?),
            Opcode::CheckWatches => Self::CheckWatches(CheckWatches::decode(input)?),
            Opcode::RemoveWatches => Self::RemoveWatches(RemoveWatches::decode(input)?),
            Opcode::DeleteContainer => Self::DeleteContainer(DeleteContainer::decode(input)?),
            Opcode::Auth => Self::Auth(Auth::decode(input)?),
            Opcode::Sasl => Self::Sasl(Sasl::decode(input)?),
            Opcode::GetEphemerals => Self::GetEphemerals(GetEphemerals::decode(input)?),
            Opcode::GetAllChildrenNumber => Self::GetAllChildrenNumber(GetAllChildrenNumber::decode(input)?),
            Opcode::AddWatch => Self::AddWatch(AddWatch::decode(input)?),
            Opcode::FilteredList => Self::FilteredList(FilteredList::decode(input)?),
            Opcode::CheckNotExists => Self::CheckNotExists(CheckNotExists::decode(input)?),
            Opcode::RemoveRecursive => Self::RemoveRecursive(RemoveRecursive::decode(input)?),
            Opcode::CheckStat => Self::CheckStat(CheckStat::decode(input)?),
            Opcode::TryRemove => Self::TryRemove(TryRemove::decode(input)?),
            Opcode::FilteredListWithStatsAndData => {
                Self::FilteredListWithStatsAndData(FilteredListWithStatsAndData::decode(input)?)
            }
            Opcode::ListRecursive => Self::ListRecursive(ListRecursive::decode(input)?),
            Opcode::Multi => Self::Multi(Multi::decode(input)?),
            Opcode::MultiRead => Self::MultiRead(Multi::decode(input)?),
            Opcode::SetWatches | Opcode::SetWatches2 => Self::SetWatches(SetWatches::decode(op, input)?),
            Opcode::Ping => Self::Ping,
            Opcode::WhoAmI => Self::WhoAmI,
            Opcode::CloseSession => Self::CloseSession,
            Opcode::Notification | Opcode::CreateSession | Opcode::Error => {
                return Err(Malformed::Operation(op as i32));
            }
        })
    }

    /// Appends the body of the request.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Create(record) => record.encode(out),
            Self::Delete(record) => record.encode(out),
            Self::Exists(record) => record.encode(out),
            Self::GetData(record) => record.encode(out),
            Self::SetData(record) => record.encode(out),
            Self::GetAcl(record) => record.encode(out),
            Self::SetAcl(record) => record.encode(out),
            Self::GetChildren(record) => record.encode(out),
            Self::Sync(record) => record.encode(out),
            Self::GetChildren2(record) => record.encode(out),
            Self::Check(record) => record.encode(out),
            Self::Reconfig(record) => record.encode(out),
            Self::CheckWatches(record) => record.encode(out),
            Self::RemoveWatches(record) => record.encode(out),
            Self::DeleteContainer(record) => record.encode(out),
            Self::Auth(record) => record.encode(out),
            Self::Sasl(record) => record.encode(out),
            Self::GetEphemerals(record) => record.encode(out),
            Self::GetAllChildrenNumber(record) => record.encode(out),
            Self::AddWatch(record) => record.encode(out),
            Self::FilteredList(record) => record.encode(out),
            Self::CheckNotExists(record) => record.encode(out),
            Self::RemoveRecursive(record) => record.encode(out),
            Self::CheckStat(record) => record.encode(out),
            Self::TryRemove(record) => record.encode(out),
            Self::FilteredListWithStatsAndData(record) => record.encode(out),
            Self::ListRecursive(record) => record.encode(out),
            Self::Multi(record) | Self::MultiRead(record) => record.encode(out),
            Self::SetWatches(record) => record.encode(out),
            Self::Ping | Self::WhoAmI | Self::CloseSession => {}
        }
    }

    /// The operation the request asks for.
    pub fn opcode(&self) -> Opcode {
        match self {
            Self::Create(record) => record.kind,
            Self::SetWatches(record) => record.kind,
            Self::Delete(_) => Opcode::Delete,
            Self::Exists(_) => Opcode::Exists,
            Self::GetData(_) => Opcode::GetData,
            Self::SetData(_) => Opcode::SetData,
            Self::GetAcl(_) => Opcode::GetAcl,
            Self::SetAcl(_) => Opcode::SetAcl,
            Self::GetChildren(_) => Opcode::GetChildren,
            Self::Sync(_) => Opcode::Sync,
            Self::GetChildren2(_) => Opcode::GetChildren2,
            Self::Check(_) => Opcode::Check,
            Self::Reconfig(_) => Opcode::Reconfig,
            Self::CheckWatches(_) => Opcode::CheckWatches,
            Self::RemoveWatches(_) => Opcode::RemoveWatches,
            Self::DeleteContainer(_) => Opcode::DeleteContainer,
            Self::Auth(_) => Opcode::Auth,
            Self::Sasl(_) => Opcode::Sasl,
            Self::GetEphemerals(_) => Opcode::GetEphemerals,
            Self::GetAllChildrenNumber(_) => Opcode::GetAllChildrenNumber,
            Self::AddWatch(_) => Opcode::AddWatch,
            Self::FilteredList(_) => Opcode::FilteredList,
            Self::CheckNotExists(_) => Opcode::CheckNotExists,
            Self::RemoveRecursive(_) => Opcode::RemoveRecursive,
            Self::CheckStat(_) => Opcode::CheckStat,
            Self::TryRemove(_) => Opcode::TryRemove,
            Self::FilteredListWithStatsAndData(_) => Opcode::FilteredListWithStatsAndData,
            Self::ListRecursive(_) => Opcode::ListRecursive,
            Self::Multi(_) => Opcode::Multi,
            Self::MultiRead(_) => Opcode::MultiRead,
            Self::Ping => Opcode::Ping,
            Self::WhoAmI => Opcode::WhoAmI,
            Self::CloseSession => Opcode::CloseSession,
        }
    }

    /// The path the request is about, if it is about exactly one.
    pub fn path(&self) -> Option<&'a str> {
        match self {
            Self::Create(record) => Some(record.path),
            Self::Delete(record) => Some(record.path),
            Self::Exists(record) => Some(record.path),
            Self::GetData(record) => Some(record.path),
            Self::SetData(record) => Some(record.path),
            Self::GetAcl(record) => Some(record.path),
            Self::SetAcl(record) => Some(record.path),
            Self::GetChildren(record) => Some(record.path),
            Self::Sync(record) => Some(record.path),
            Self::GetChildren2(record) => Some(record.path),
            Self::Check(record) => Some(record.path),
            Self::CheckWatches(record) => Some(record.path),
            Self::RemoveWatches(record) => Some(record.path),
            Self::DeleteContainer(record) => Some(record.path),
            Self::GetAllChildrenNumber(record) => Some(record.path),
            Self::AddWatch(record) => Some(record.path),
            Self::FilteredList(record) => Some(record.path),
            Self::CheckNotExists(record) => Some(record.path),
            Self::RemoveRecursive(record) => Some(record.path),
            Self::CheckStat(record) => Some(record.path),
            Self::TryRemove(record) => Some(record.path),
            Self::FilteredListWithStatsAndData(record) => Some(record.path),
            Self::ListRecursive(record) => Some(record.path),
            Self::GetEphemerals(_)
            | Self::Reconfig(_)
            | Self::Auth(_)
            | Self::Sasl(_)
            | Self::Multi(_)
            | Self::MultiRead(_)
            | Self::SetWatches(_)
            | Self::Ping
            | Self::WhoAmI
            | Self::CloseSession => None,
        }
    }
}

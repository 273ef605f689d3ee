//! Records about one znode.

use super::{Record, records};
use crate::acl::AclList;
use crate::jute::{Malformed, Put, Reader};
use crate::opcode::Opcode;
use crate::stat::Stat;

/// Creation of one znode by any of the five create operations ([`Opcode::is_create`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Create<'a> {
    /// Path of the znode; a sequence number may be appended to it.
    pub path: &'a str,
    /// Its data; null differs from empty.
    pub data: Option<&'a [u8]>,
    /// Its ACL.
    pub acl: AclList<'a>,
    /// The create mode as sent; it may be invalid.
    pub flags: i32,
    /// Time to live in milliseconds. Invariant: `Some` exactly when `kind` is
    /// [`Opcode::CreateTtl`].
    pub ttl: Option<i64>,
    /// The operation requested.
    pub kind: Opcode,
}

impl<'a> Create<'a> {
    /// Takes the record of operation `kind` off `input`.
    #[inline]
    pub fn decode(kind: Opcode, input: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Self {
            path: input.str()?,
            data: input.buffer()?,
            acl: AclList::decode(input)?,
            flags: input.i32()?,
            ttl: if kind == Opcode::CreateTtl { Some(input.i64()?) } else { None },
            kind,
        })
    }

    /// Appends the record.
    ///
    /// # Panics
    /// If the invariant of `ttl` does not hold.
    pub fn encode(&self, out: &mut Vec<u8>) {
        assert_eq!(self.ttl.is_some(), self.kind == Opcode::CreateTtl, "only createTTL has a ttl");
        out.put_str(self.path);
        out.put_buffer(self.data);
        self.acl.encode(out);
        out.put_i32(self.flags);
        if let Some(ttl) = self.ttl {
            out.put_i64(ttl);
        }
    }
}

records! {
    /// Request of `delete`.
    Delete<'a> {
        /// Which znode.
        path: &'a str,
        /// The version it must have, or -1 for any.
        version: i32,
    }

    /// Request of `exists`.
    Exists<'a> {
        /// Which znode.
        path: &'a str,
        /// Whether to watch the path; the znode need not exist.
        watch: bool,
    }

    /// Request of `getData`.
    GetData<'a> {
        /// Which znode.
        path: &'a str,
        /// Whether to watch its data.
        watch: bool,
    }

    /// Request of `setData`.
    SetData<'a> {
        /// Which znode.
        path: &'a str,
        /// Its new data; null differs from empty.
        data: Option<&'a [u8]>,
        /// The version it must have, or -1 for any.
        version: i32,
    }

    /// Request of `getACL`.
    GetAcl<'a> {
        /// Which znode.
        path: &'a str,
    }

    /// Request of `setACL`.
    SetAcl<'a> {
        /// Which znode.
        path: &'a str,
        /// Its new ACL.
        acl: AclList<'a>,
        /// The `aversion` it must have, or -1 for any.
        version: i32,
    }

    /// Request of `sync`.
    Sync<'a> {
        /// Any path; the znode need not exist.
        path: &'a str,
    }

    /// Request of `check`, inside a multi.
    Check<'a> {
        /// Which znode.
        path: &'a str,
        /// The version it must have, or -1 for any.
        version: i32,
    }

    /// Request of `deleteContainer`.
    DeleteContainer<'a> {
        /// Which znode.
        path: &'a str,
    }

    /// Request of `checkNotExists`.
    CheckNotExists<'a> {
        /// The path that must have no znode,
        path: &'a str,
        /// or none with this version, unless it is -1.
        version: i32,
    }

    /// Request of `removeRecursive`.
    RemoveRecursive<'a> {
        /// The top znode.
        path: &'a str,
        /// If there are more znodes than this, including the top one, none is deleted.
        limit: u32,
    }

    /// Request of `checkStat`.
    CheckStat<'a> {
        /// Which znode.
        path: &'a str,
        /// The version it must have, or -1 for any.
        version: i32,
        /// The fields it must have; a field of -1 is not compared.
        stat: Stat,
    }

    /// Request of `tryRemove`.
    TryRemove<'a> {
        /// Which znode.
        path: &'a str,
        /// The version it must have to be deleted, or -1 for any.
        version: i32,
    }

    /// Reply of `create` and `createIfNotExists`.
    CreateReply<'a> {
        /// The path with its sequence number.
        path: &'a str,
    }

    /// Reply of `create2`, `createContainer` and `createTTL`.
    Create2Reply<'a> {
        /// The path with its sequence number.
        path: &'a str,
        /// The `Stat` after the operation.
        stat: Stat,
    }

    /// Reply of `exists`.
    ExistsReply {
        /// The current `Stat`.
        stat: Stat,
    }

    /// Reply of `getData`, and of `reconfig`, where the data are the members.
    GetDataReply<'a> {
        /// Its data.
        data: Option<&'a [u8]>,
        /// The current `Stat`.
        stat: Stat,
    }

    /// Reply of `setData`.
    SetDataReply {
        /// The `Stat` after the operation.
        stat: Stat,
    }

    /// Reply of `getACL`.
    GetAclReply<'a> {
        /// Its ACL.
        acl: AclList<'a>,
        /// The current `Stat`.
        stat: Stat,
    }

    /// Reply of `setACL`.
    SetAclReply {
        /// The `Stat` after the operation.
        stat: Stat,
    }

    /// Reply of `sync`.
    SyncReply<'a> {
        /// The path of the request.
        path: &'a str,
    }
}

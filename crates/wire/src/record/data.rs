//! Records about one znode.

use super::{Record, records};
use crate::acl::AclList;
use crate::jute::{Malformed, Put, Reader};
use crate::opcode::Opcode;
use crate::stat::Stat;

/// Creation of one znode, by any of the five operations that do it ([`Opcode::is_create`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Create<'a> {
    /// Where; a sequence number may be appended to it.
    pub path: &'a str,
    /// Its data; null is not the same as no bytes.
    pub data: Option<&'a [u8]>,
    /// Its ACL.
    pub acl: AclList<'a>,
    /// The create mode as sent: it may be one that does not exist.
    pub flags: i32,
    /// Time to live in milliseconds. Invariant: there is one exactly when `kind` is [`Opcode::CreateTtl`].
    pub ttl: Option<i64>,
    /// The operation asked for.
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
        assert_eq!(self.ttl.is_some(), self.kind == Opcode::CreateTtl, "a ttl goes with createTTL only");
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
        /// Whether to watch it, or the place where it may appear.
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
        /// Its new data; null is not the same as no bytes.
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
        /// Any path; there need not be a znode.
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
        /// Where there must be no znode,
        path: &'a str,
        /// or at least none of this version, if it is not -1.
        version: i32,
    }

    /// Request of `removeRecursive`.
    RemoveRecursive<'a> {
        /// The top znode.
        path: &'a str,
        /// With more znodes than this, the top one included, none is deleted.
        limit: u32,
    }

    /// Request of `checkStat`.
    CheckStat<'a> {
        /// Which znode.
        path: &'a str,
        /// The version it must have, or -1 for any.
        version: i32,
        /// The fields it must have; those of -1 are not compared.
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
        /// The znode as it is now.
        stat: Stat,
    }

    /// Reply of `exists`.
    ExistsReply {
        /// The znode as it is.
        stat: Stat,
    }

    /// Reply of `getData`, and of `reconfig` with the members in it.
    GetDataReply<'a> {
        /// Its data.
        data: Option<&'a [u8]>,
        /// The znode as it is.
        stat: Stat,
    }

    /// Reply of `setData`.
    SetDataReply {
        /// The znode as it is now.
        stat: Stat,
    }

    /// Reply of `getACL`.
    GetAclReply<'a> {
        /// Its ACL.
        acl: AclList<'a>,
        /// The znode as it is.
        stat: Stat,
    }

    /// Reply of `setACL`.
    SetAclReply {
        /// The znode as it is now.
        stat: Stat,
    }

    /// Reply of `sync`.
    SyncReply<'a> {
        /// The path of the request.
        path: &'a str,
    }
}

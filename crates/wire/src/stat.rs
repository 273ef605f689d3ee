//! `Stat`: the metadata of a znode that clients see.

use crate::jute::{Malformed, Put, Reader};

/// The eleven fields of a znode's metadata.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Stat {
    /// zxid of the change that created the znode.
    pub czxid: i64,
    /// zxid of the last change of its data.
    pub mzxid: i64,
    /// Creation time, milliseconds since 1970.
    pub ctime: i64,
    /// Time of the last change of its data, milliseconds since 1970.
    pub mtime: i64,
    /// Number of changes of its data.
    pub version: i32,
    /// Number of changes of its list of children: creations and deletions.
    pub cversion: i32,
    /// Number of changes of its ACL.
    pub aversion: i32,
    /// Session whose end deletes the znode, or 0. Clients see 0 for container and TTL nodes too.
    pub ephemeral_owner: i64,
    /// Length of its data in bytes; 0 for null data too.
    pub data_length: i32,
    /// Number of children.
    pub num_children: i32,
    /// zxid of the last creation or deletion of a child.
    pub pzxid: i64,
}

impl Stat {
    /// Bytes of an encoded `Stat`.
    pub const ENCODED_LEN: usize = 68;

    /// Gives no field, so every `Stat` meets it.
    pub const ANY: Self = Self {
        czxid: -1,
        mzxid: -1,
        ctime: -1,
        mtime: -1,
        version: -1,
        cversion: -1,
        aversion: -1,
        ephemeral_owner: -1,
        data_length: -1,
        num_children: -1,
        pzxid: -1,
    };

    /// Whether `stat` has the values of all fields that are given here. -1 gives none.
    pub fn is_met_by(&self, stat: &Self) -> bool {
        let long = |given: i64, value: i64| given == -1 || given == value;
        let int = |given: i32, value: i32| given == -1 || given == value;
        long(self.czxid, stat.czxid)
            && long(self.mzxid, stat.mzxid)
            && long(self.ctime, stat.ctime)
            && long(self.mtime, stat.mtime)
            && int(self.version, stat.version)
            && int(self.cversion, stat.cversion)
            && int(self.aversion, stat.aversion)
            && long(self.ephemeral_owner, stat.ephemeral_owner)
            && int(self.data_length, stat.data_length)
            && int(self.num_children, stat.num_children)
            && long(self.pzxid, stat.pzxid)
    }

    /// Appends the `Stat`.
    #[inline]
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.reserve(Self::ENCODED_LEN);
        out.put_i64(self.czxid);
        out.put_i64(self.mzxid);
        out.put_i64(self.ctime);
        out.put_i64(self.mtime);
        out.put_i32(self.version);
        out.put_i32(self.cversion);
        out.put_i32(self.aversion);
        out.put_i64(self.ephemeral_owner);
        out.put_i32(self.data_length);
        out.put_i32(self.num_children);
        out.put_i64(self.pzxid);
    }

    /// Takes a `Stat` off `input`.
    #[inline]
    pub fn decode(input: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            czxid: input.i64()?,
            mzxid: input.i64()?,
            ctime: input.i64()?,
            mtime: input.i64()?,
            version: input.i32()?,
            cversion: input.i32()?,
            aversion: input.i32()?,
            ephemeral_owner: input.i64()?,
            data_length: input.i32()?,
            num_children: input.i32()?,
            pzxid: input.i64()?,
        })
    }
}

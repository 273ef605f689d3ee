//! The encoding of a znode in a snapshot.

use super::NodeId;
use crate::acl_table::AclId;

/// Everything stored of a znode, except its children, which name it as their parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeImage<'a> {
    /// Its id, larger than the parent's, except for the root.
    pub id: NodeId,
    /// Id of the parent; the root's own for the root.
    pub parent: NodeId,
    /// Last segment of the path; empty for the root.
    pub name: &'a str,
    /// `None` is null data.
    pub data: Option<&'a [u8]>,
    /// Id in the ACL table of the same snapshot.
    pub acl: AclId,
    /// Stored form, see [`Owner`](super::Owner).
    pub owner: i64,
    /// The zxid of the creation.
    pub czxid: i64,
    /// The zxid of the last change of its data.
    pub mzxid: i64,
    /// The zxid of the last creation or deletion of a child.
    pub pzxid: i64,
    /// Time of the creation, in milliseconds since 1970.
    pub ctime: i64,
    /// Time of the last change of its data, in milliseconds since 1970.
    pub mtime: i64,
    /// Number of changes of its data.
    pub version: i32,
    /// Number of children ever created; clients see another number.
    pub cversion: i32,
    /// Number of changes of its ACL.
    pub aversion: i32,
}

/// Why bytes are not the image of a znode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// The image is truncated.
    #[error("the image is truncated")]
    Truncated,
    /// A number exceeds its type.
    #[error("a number is out of range")]
    Range,
    /// A flag unknown to this version.
    #[error("unknown flags {0:#04x}")]
    UnknownFlags(u8),
    /// A name that is not UTF-8.
    #[error("the name is not UTF-8")]
    NotUtf8,
}

/// The data are present (perhaps empty), not null.
const DATA: u8 = 1 << 0;
/// mzxid, mtime, version and aversion follow; otherwise they are as after the creation.
const CHANGED: u8 = 1 << 1;
/// pzxid and cversion follow; otherwise they are as after the creation.
const DIRECTORY: u8 = 1 << 2;
/// The owner follows, as 8 bytes; otherwise it is 0.
const OWNER: u8 = 1 << 3;
/// The ACL follows; otherwise it is `AclId::OPEN`.
const ACL: u8 = 1 << 4;
const KNOWN: u8 = DATA | CHANGED | DIRECTORY | OWNER | ACL;

/// ```text
/// flags u8 │ id - parent │ parent │ czxid │ ctime │ [acl] │ [owner, 8 bytes big-endian]
///          │ [mzxid - czxid │ mtime - ctime │ version │ aversion] │ [pzxid - czxid │ cversion]
///          │ length, name │ [length, data]
/// ```
/// Numbers are LEB128; those that can be negative use zigzag encoding (0, -1, 1, -2 … become 0, 1,
/// 2, 3 …).
impl<'a> NodeImage<'a> {
    /// The image without name and data, hence without a lifetime.
    pub(super) fn without_text(self) -> NodeImage<'static> {
        NodeImage { name: "", data: None, ..self }
    }

    /// Appends the image to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let changed = (self.mzxid, self.mtime, self.version, self.aversion) != (self.czxid, self.ctime, 0, 0);
        let directory = (self.pzxid, self.cversion) != (self.czxid, 0);
        let flag = |flag: u8, is_set: bool| if is_set { flag } else { 0 };
        out.push(
            flag(DATA, self.data.is_some())
                | flag(CHANGED, changed)
                | flag(DIRECTORY, directory)
                | flag(OWNER, self.owner != 0)
                | flag(ACL, self.acl != AclId::OPEN),
        );
        put_number(out, u64::from(self.id.0.wrapping_sub(self.parent.0)));
        put_number(out, u64::from(self.parent.0));
        put_signed(out, self.czxid);
        put_signed(out, self.ctime);
        if self.acl != AclId::OPEN {
            put_number(out, u64::from(self.acl.as_u32()));
        }
        if self.owner != 0 {
            out.extend_from_slice(&self.owner.to_be_bytes());
        }
        if changed {
            put_signed(out, self.mzxid.wrapping_sub(self.czxid));
            put_signed(out, self.mtime.wrapping_sub(self.ctime));
            put_signed(out, i64::from(self.version));
            put_signed(out, i64::from(self.aversion));
        }
        if directory {
            put_signed(out, self.pzxid.wrapping_sub(self.czxid));
            put_signed(out, i64::from(self.cversion));
        }
        put_bytes(out, self.name.as_bytes());
        if let Some(data) = self.data {
            put_bytes(out, data);
        }
    }

    /// Takes one image off the front of `input`. Accepts any bytes;
    /// [`Tree::load`](super::Tree::load) checks whether the image fits a tree.
    pub fn decode(input: &mut &'a [u8]) -> Result<NodeImage<'a>, ImageError> {
        let flags = take(input, 1)?[0];
        if flags & !KNOWN != 0 {
            return Err(ImageError::UnknownFlags(flags));
        }
        let above = narrow(take_number(input)?)?;
        let parent = narrow(take_number(input)?)?;
        let id = parent.checked_add(above).ok_or(ImageError::Range)?;
        let czxid = take_signed(input)?;
        let ctime = take_signed(input)?;
        let acl = if flags & ACL != 0 { AclId::from_u32(narrow(take_number(input)?)?) } else { AclId::OPEN };
        let owner = if flags & OWNER != 0 { take_owner(input)? } else { 0 };
        let (mut mzxid, mut mtime, mut version, mut aversion) = (czxid, ctime, 0, 0);
        if flags & CHANGED != 0 {
            mzxid = czxid.wrapping_add(take_signed(input)?);
            mtime = ctime.wrapping_add(take_signed(input)?);
            version = take_i32(input)?;
            aversion = take_i32(input)?;
        }
        let (mut pzxid, mut cversion) = (czxid, 0);
        if flags & DIRECTORY != 0 {
            pzxid = czxid.wrapping_add(take_signed(input)?);
            cversion = take_i32(input)?;
        }
        let name = std::str::from_utf8(take_bytes(input)?).map_err(|_| ImageError::NotUtf8)?;
        let data = if flags & DATA != 0 { Some(take_bytes(input)?) } else { None };
        let (id, parent) = (NodeId(id), NodeId(parent));
        Ok(NodeImage {
            id,
            parent,
            name,
            data,
            acl,
            owner,
            czxid,
            mzxid,
            pzxid,
            ctime,
            mtime,
            version,
            cversion,
            aversion,
        })
    }
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_signed(out: &mut Vec<u8>, number: i64) {
    put_number(out, ((number << 1) ^ (number >> 63)) as u64);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn take<'a>(input: &mut &'a [u8], len: usize) -> Result<&'a [u8], ImageError> {
    let (front, rest) = input.split_at_checked(len).ok_or(ImageError::Truncated)?;
    *input = rest;
    Ok(front)
}

fn take_number(input: &mut &[u8]) -> Result<u64, ImageError> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(input, 1)?[0];
        if shift == 63 && byte > 1 {
            return Err(ImageError::Range);
        }
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err(ImageError::Range)
}

fn take_signed(input: &mut &[u8]) -> Result<i64, ImageError> {
    let folded = take_number(input)?;
    Ok((folded >> 1) as i64 ^ -((folded & 1) as i64))
}

fn take_i32(input: &mut &[u8]) -> Result<i32, ImageError> {
    i32::try_from(take_signed(input)?).map_err(|_| ImageError::Range)
}

fn take_owner(input: &mut &[u8]) -> Result<i64, ImageError> {
    Ok(i64::from_be_bytes(take(input, 8)?.try_into().expect("eight bytes")))
}

fn take_bytes<'a>(input: &mut &'a [u8]) -> Result<&'a [u8], ImageError> {
    let len = usize::try_from(take_number(input)?).map_err(|_| ImageError::Range)?;
    take(input, len)
}

fn narrow(number: u64) -> Result<u32, ImageError> {
    u32::try_from(number).map_err(|_| ImageError::Range)
}

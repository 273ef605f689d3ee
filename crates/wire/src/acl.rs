//! Access control lists: which client may do what with a znode.

use crate::jute::{Malformed, Put, Reader};

/// Permissions of an ACL entry, which holds the sum of those it grants.
pub mod perms {
    /// Reading data, `Stat` and children.
    pub const READ: i32 = 1;
    /// Setting data.
    pub const WRITE: i32 = 2;
    /// Creating children.
    pub const CREATE: i32 = 4;
    /// Deleting children.
    pub const DELETE: i32 = 8;
    /// Setting the ACL.
    pub const ADMIN: i32 = 16;
    /// All of them.
    pub const ALL: i32 = 31;
}

/// A client's identity under one authentication scheme.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// The scheme: `world`, `digest`, `ip` …
    pub scheme: String,
    /// The identity in the scheme's own format.
    pub id: String,
}

/// One entry of an ACL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Acl {
    /// Sum of [`perms`].
    pub perms: i32,
    /// The identity that gets the permissions.
    pub id: Id,
}

impl Acl {
    /// An entry of owned strings.
    pub fn new(perms: i32, scheme: impl Into<String>, id: impl Into<String>) -> Self {
        Self { perms, id: Id { scheme: scheme.into(), id: id.into() } }
    }
}

/// The ACL that grants every permission to every client.
pub fn open_acl() -> Vec<Acl> {
    vec![Acl::new(perms::ALL, "world", "anyone")]
}

/// Appends the count that comes before the entries of a list.
pub fn encode_count(count: usize, out: &mut Vec<u8>) {
    out.put_len(count);
}

/// Appends one entry.
pub fn encode_entry(perms: i32, scheme: &str, id: &str, out: &mut Vec<u8>) {
    out.put_i32(perms);
    out.put_str(scheme);
    out.put_str(id);
}

/// Appends a whole list.
pub fn encode_list(list: &[Acl], out: &mut Vec<u8>) {
    encode_count(list.len(), out);
    for acl in list {
        encode_entry(acl.perms, &acl.id.scheme, &acl.id.id, out);
    }
}

const OPEN: &[u8] = b"\0\0\0\x01\0\0\0\x1F\0\0\0\x05world\0\0\0\x06anyone";

/// A jute `vector<ACL>` in its encoded form, validated once. Two lists are equal when their bytes
/// are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AclList<'a> {
    /// Invariant: exactly one well-formed `vector<ACL>`.
    raw: &'a [u8],
}

impl<'a> AclList<'a> {
    /// The null list; a server refuses it, as it does an empty list.
    pub const NULL: AclList<'static> = AclList { raw: &[0xFF; 4] };
    /// [`open_acl`] in encoded form.
    pub const OPEN: AclList<'static> = AclList { raw: OPEN };

    /// Takes a list off `input` and validates all of it.
    #[inline]
    pub fn decode(input: &mut Reader<'a>) -> Result<Self, Malformed> {
        let raw = input.span(|input| {
            for _ in 0..input.vector_len()?.unwrap_or(0) {
                decode_entry(input)?;
            }
            Ok(())
        })?;
        Ok(Self { raw })
    }

    /// Checks bytes that must be exactly one list.
    pub fn from_raw(raw: &'a [u8]) -> Result<Self, Malformed> {
        let mut input = Reader::new(raw);
        let list = Self::decode(&mut input)?;
        input.finish()?;
        Ok(list)
    }

    /// Encodes `list` into `buffer`, replacing its content.
    pub fn encode_into(list: &[Acl], buffer: &'a mut Vec<u8>) -> Self {
        buffer.clear();
        encode_list(list, buffer);
        Self { raw: buffer }
    }

    /// Appends the list.
    #[inline]
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.raw);
    }

    /// The encoded list with its count.
    #[inline]
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// Whether the list is null, as opposed to empty.
    pub fn is_null(&self) -> bool {
        self.raw == Self::NULL.raw
    }

    /// Number of entries; 0 for null.
    pub fn len(&self) -> usize {
        self.iter().remaining
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entries as (perms, scheme, id); a null scheme or id becomes "".
    pub fn iter(&self) -> Entries<'a> {
        let mut input = Reader::new(self.raw);
        let remaining = input.vector_len().ok().flatten().unwrap_or(0);
        Entries { input, remaining }
    }

    /// The entries as sent, with null distinguished from "".
    pub fn nullable(&self) -> impl Iterator<Item = NullableEntry<'a>> + use<'a> {
        let mut entries = self.iter();
        std::iter::from_fn(move || entries.next_nullable())
    }

    /// The entries as owned values.
    pub fn to_vec(&self) -> Vec<Acl> {
        self.iter().map(|(perms, scheme, id)| Acl::new(perms, scheme, id)).collect()
    }
}

/// An entry of an ACL in which scheme and id may be null.
pub type NullableEntry<'a> = (i32, Option<&'a str>, Option<&'a str>);

fn decode_entry<'a>(input: &mut Reader<'a>) -> Result<NullableEntry<'a>, Malformed> {
    Ok((input.i32()?, input.ustring()?, input.ustring()?))
}

impl<'a> IntoIterator for AclList<'a> {
    type Item = (i32, &'a str, &'a str);
    type IntoIter = Entries<'a>;

    fn into_iter(self) -> Entries<'a> {
        self.iter()
    }
}

/// The entries of an [`AclList`].
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    input: Reader<'a>,
    remaining: usize,
}

impl<'a> Entries<'a> {
    fn next_nullable(&mut self) -> Option<NullableEntry<'a>> {
        self.remaining = self.remaining.checked_sub(1)?;
        Some(decode_entry(&mut self.input).expect("decoding validated the list"))
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = (i32, &'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let (perms, scheme, id) = self.next_nullable()?;
        Some((perms, scheme.unwrap_or_default(), id.unwrap_or_default()))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.remaining, Some(self.remaining))
    }
}

impl ExactSizeIterator for Entries<'_> {}

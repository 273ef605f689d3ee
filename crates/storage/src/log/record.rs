//! The encoding of log records.
//!
//! ```text
//!  0         4           8                  16    17         21
//!  +---------+-----------+------------------+-----+----------+------------------+
//!  | length  | body crc  | synced to        | tag | head crc | body             |
//!  | u32     | u32       | u64              | u8  | u32      | `length` bytes   |
//!  +---------+-----------+------------------+-----+----------+------------------+
//!
//!  tag  record      body
//!   1   Entry       group u64, index u64, term u64, kind u8, data (the rest)
//!   2   HardState   group u64, term u64, vote u64, commit u64
//!   3   Seal        none: the segment ends here, the log continues in the next one
//!   4   Mark        none: says by its `synced to` that all before it is on disk
//!   5   Reset       group u64, index u64, term u64
//! ```
//!
//! Numbers are little-endian. A tag's number never changes its meaning, and tag 0 is never used, so
//! zeros are never a record. Both checksums are crc32c, seeded with the segment's salt, so bytes
//! left from an earlier use of the file never validate. The head's checksum includes the record's
//! offset in the file, so a copy of a record elsewhere, such as in the data of a znode, never
//! validates either.
//!
//! `synced to` is the position up to which the whole log was on disk when the record was written.
//! It distinguishes a torn tail from damage: an invalid record *before* the `synced to` of some
//! valid record was once safely on disk and has been damaged since; an invalid record that no valid
//! one vouches for belongs to a write that was never completed or acknowledged. The head has its
//! own checksum so that valid heads after an invalid record can be searched for, byte by byte, in
//! linear time.

use std::fmt;

/// Length of a record's head.
pub(crate) const HEAD_BYTES: usize = 21;
/// Offset of the tag in the head.
pub(crate) const TAG_OFFSET: usize = 16;
/// Length of an entry's body before its data.
const ENTRY_PREFIX_BYTES: usize = 25;
const HARD_STATE_BYTES: usize = 32;
const RESET_BYTES: usize = 24;
/// Maximum data length of one entry in bytes. Far above any request; it keeps every offset of a
/// segment within 32 bits.
pub const DATA_BYTES_MAX: usize = 512 << 20;
/// Maximum body length a head may announce.
pub(crate) const BODY_BYTES_MAX: usize = DATA_BYTES_MAX + ENTRY_PREFIX_BYTES;

/// A record; it survives a crash once it is flushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Record<'a> {
    /// An entry of a group's replicated log. An entry whose index is not above that of an earlier
    /// entry of its group replaces that entry and all later ones.
    Entry {
        /// The group whose log this is.
        group: u64,
        /// Position in the group's log.
        index: u64,
        /// Term of the leader that proposed it.
        term: u64,
        /// Meaning of `data`, defined by the consensus layer.
        kind: u8,
        /// Opaque bytes, at most [`DATA_BYTES_MAX`].
        data: &'a [u8],
    },
    /// A member's Raft hard state. The group's latest record counts.
    HardState {
        /// The group.
        group: u64,
        /// Highest term seen.
        term: u64,
        /// Member voted for in that term, 0 for none.
        vote: u64,
        /// Highest index known to be committed.
        commit: u64,
    },
    /// Voids every earlier entry of the group, whatever its index: the group's log continues after
    /// a snapshot that ends at this position. The group's hard state is unaffected.
    Reset {
        /// The group.
        group: u64,
        /// Index of the snapshot's last entry; the group's next entry has the following index.
        index: u64,
        /// That entry's term.
        term: u64,
    },
}

impl Record<'_> {
    /// The group that it belongs to.
    pub fn group(&self) -> u64 {
        match self {
            Record::Entry { group, .. } | Record::HardState { group, .. } | Record::Reset { group, .. } => {
                *group
            }
        }
    }
}

/// The kinds of records, with the numbers that are on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Tag {
    /// [`Record::Entry`].
    Entry = 1,
    /// [`Record::HardState`].
    HardState = 2,
    /// End of a segment that has a successor.
    Seal = 3,
    /// Vouches for everything before it.
    Mark = 4,
    /// [`Record::Reset`].
    Reset = 5,
}

/// A position in the log: segment and offset in its file. Ordered as the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Sequence number of the segment.
    pub segment: u32,
    /// Bytes from the start of the segment's file.
    pub offset: u32,
}

impl Position {
    fn to_u64(self) -> u64 {
        u64::from(self.segment) << 32 | u64::from(self.offset)
    }

    fn from_u64(number: u64) -> Self {
        Self { segment: (number >> 32) as u32, offset: number as u32 }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "segment {:#x} offset {}", self.segment, self.offset)
    }
}

/// The initial value of a segment's checksums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seed(u32);

impl Seed {
    pub(crate) fn of_salt(salt: u64) -> Self {
        Self(crc32c::crc32c(&salt.to_le_bytes()))
    }

    fn head_crc(self, head: &[u8], offset: u32) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c_append(self.0, head), &offset.to_le_bytes())
    }
}

/// The head of a record with a valid checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) body_len: usize,
    body_crc: u32,
    pub(crate) synced_to: Position,
    pub(crate) tag: u8,
}

impl Head {
    /// The head at `at`; `None` if none was written there during this use of the file.
    pub(crate) fn decode(bytes: &[u8; HEAD_BYTES], at: Position, seed: Seed) -> Option<Self> {
        let number =
            |start: usize| u32::from_le_bytes(bytes[start..start + 4].try_into().expect("four bytes"));
        let tag = bytes[TAG_OFFSET];
        if tag == 0 || number(17) != seed.head_crc(&bytes[..17], at.offset) {
            return None;
        }
        let body_len = number(0) as usize;
        let synced_to = Position::from_u64(u64::from_le_bytes(bytes[8..16].try_into().expect("eight bytes")));
        (body_len <= BODY_BYTES_MAX && synced_to <= at).then_some(Self {
            body_len,
            body_crc: number(4),
            synced_to,
            tag,
        })
    }

    pub(crate) fn matches(&self, body: &[u8], seed: Seed) -> bool {
        body.len() == self.body_len && crc32c::crc32c_append(seed.0, body) == self.body_crc
    }
}

/// Whether the byte is the number of a [`Tag`]; they are consecutive.
pub(crate) fn is_tag(byte: u8) -> bool {
    byte.wrapping_sub(Tag::Entry as u8) <= Tag::Reset as u8 - Tag::Entry as u8
}

impl Tag {
    pub(crate) fn from_u8(number: u8) -> Option<Self> {
        let all = [Self::Entry, Self::HardState, Self::Seal, Self::Mark, Self::Reset];
        all.into_iter().find(|tag| *tag as u8 == number)
    }
}

impl<'a> Record<'a> {
    /// Length of the encoded record.
    pub(crate) fn encoded_len(&self) -> usize {
        HEAD_BYTES
            + match self {
                Self::Entry { data, .. } => ENTRY_PREFIX_BYTES + data.len(),
                Self::HardState { .. } => HARD_STATE_BYTES,
                Self::Reset { .. } => RESET_BYTES,
            }
    }

    /// Appends the record, which will be at position `at`, to `out`.
    pub(crate) fn encode(&self, out: &mut Vec<u8>, at: Position, synced_to: Position, seed: Seed) {
        let start = out.len();
        out.resize(start + HEAD_BYTES, 0);
        let tag = match *self {
            Self::Entry { group, index, term, kind, data } => {
                for number in [group, index, term] {
                    out.extend_from_slice(&number.to_le_bytes());
                }
                out.push(kind);
                out.extend_from_slice(data);
                Tag::Entry
            }
            Self::HardState { group, term, vote, commit } => {
                for number in [group, term, vote, commit] {
                    out.extend_from_slice(&number.to_le_bytes());
                }
                Tag::HardState
            }
            Self::Reset { group, index, term } => {
                for number in [group, index, term] {
                    out.extend_from_slice(&number.to_le_bytes());
                }
                Tag::Reset
            }
        };
        fill_head(&mut out[start..], tag, at, synced_to, seed);
    }

    /// Decodes a body with a valid checksum; `None` if the body does not fit its tag.
    pub(crate) fn decode(tag: Tag, body: &'a [u8]) -> Option<Self> {
        let number =
            |at: usize| body.get(at..at + 8).map(|b| u64::from_le_bytes(b.try_into().expect("eight bytes")));
        match tag {
            Tag::Entry => Some(Self::Entry {
                group: number(0)?,
                index: number(8)?,
                term: number(16)?,
                kind: *body.get(24)?,
                data: &body[ENTRY_PREFIX_BYTES..],
            }),
            Tag::HardState if body.len() == HARD_STATE_BYTES => Some(Self::HardState {
                group: number(0)?,
                term: number(8)?,
                vote: number(16)?,
                commit: number(24)?,
            }),
            Tag::Reset if body.len() == RESET_BYTES => {
                Some(Self::Reset { group: number(0)?, index: number(8)?, term: number(16)? })
            }
            Tag::HardState | Tag::Seal | Tag::Mark | Tag::Reset => None,
        }
    }
}

/// Appends a record without a body: a seal or a mark.
pub(crate) fn encode_empty(out: &mut Vec<u8>, tag: Tag, at: Position, synced_to: Position, seed: Seed) {
    let start = out.len();
    out.resize(start + HEAD_BYTES, 0);
    fill_head(&mut out[start..], tag, at, synced_to, seed);
}

fn fill_head(record: &mut [u8], tag: Tag, at: Position, synced_to: Position, seed: Seed) {
    assert!(synced_to <= at, "a record cannot vouch for later ones");
    let (head, body) = record.split_at_mut(HEAD_BYTES);
    assert!(body.len() <= BODY_BYTES_MAX, "the caller refuses longer data");
    head[..4].copy_from_slice(&(body.len() as u32).to_le_bytes());
    head[4..8].copy_from_slice(&crc32c::crc32c_append(seed.0, body).to_le_bytes());
    head[8..16].copy_from_slice(&synced_to.to_u64().to_le_bytes());
    head[TAG_OFFSET] = tag as u8;
    let crc = seed.head_crc(&head[..17], at.offset);
    head[17..].copy_from_slice(&crc.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_search_for_heads_recognizes_every_tag() {
        for byte in 0..=u8::MAX {
            assert_eq!(is_tag(byte), Tag::from_u8(byte).is_some(), "tag {byte}");
        }
    }
}

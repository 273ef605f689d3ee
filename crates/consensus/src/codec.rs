//! The byte format of the messages of both engines.
//!
//! ```text
//!  0        1       2            10          18        26          34
//!  ├────────┼───────┼────────────┼───────────┼─────────┼───────────┼──────────
//!  │version │ kind  │ group      │ from      │ to      │ term      │ body …
//!  │ u8     │ u8    │ u64        │ u64       │ u64     │ u64       │ by kind
//! ```
//! All numbers big-endian. An entry is `kind u8, term u64, length u32, data`; its index follows
//! from its place in the message. A reader accepts exactly what a writer produces: unknown kinds,
//! flags beyond 1 and trailing bytes are refused. There is no checksum, since the transport has
//! one.

use bytes::Bytes;

use crate::engine::StepError;
use crate::entry::{Entry, EntryKind, MemberId, Position};
use crate::membership::MembershipChange;
use crate::message::{POSITION_LIMIT, ReadName};

/// The bit of the version that tells the engines apart; the other bits number the versions of each.
const ENGINE_BIT: u8 = 0x80;
pub(crate) const ENTRY_HEADER_BYTES: usize = 1 + 8 + 4;
pub(crate) const HEADER_BYTES: usize = 2 + 4 * 8;

/// The fields every message begins with, except version and kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) group: u64,
    pub(crate) from: MemberId,
    pub(crate) to: MemberId,
    pub(crate) term: u64,
}

impl Header {
    pub(crate) fn put(self, out: &mut Vec<u8>, version: u8, kind: u8) {
        out.extend([version, kind]);
        for number in [self.group, self.from.0, self.to.0, self.term] {
            put_u64(out, number);
        }
    }

    /// The header and the kind, if the version is `version`.
    pub(crate) fn read(reader: &mut Reader, version: u8) -> Result<(Self, u8), StepError> {
        match reader.u8()? {
            found if found == version => {}
            found if (found ^ version) & ENGINE_BIT != 0 => return Err(StepError::OtherEngine),
            found => return Err(StepError::Version(found)),
        }
        let kind = reader.u8()?;
        let group = reader.u64()?;
        let (from, to) = (MemberId(reader.u64()?), MemberId(reader.u64()?));
        let term = reader.limited()?;
        if from == MemberId(0) || to == MemberId(0) || from == to {
            return Err(StepError::Malformed("addresses"));
        }
        Ok((Self { group, from, to, term }, kind))
    }
}

/// Bytes that entries take in a message.
pub(crate) fn entries_capacity(entries: &[Entry]) -> usize {
    entries.iter().map(|entry| ENTRY_HEADER_BYTES + entry.data.len()).sum()
}

pub(crate) fn put_entries(out: &mut Vec<u8>, entries: &[Entry], previous: Position) {
    put_u32(out, entries.len());
    for (entry, index) in entries.iter().zip(previous.index + 1..) {
        // The reader counts, so across a gap it would assign other indexes than the writer's.
        assert_eq!(entry.index, index, "entries of a message are contiguous");
        put_entry(out, entry);
    }
}

pub(crate) fn read_entries(reader: &mut Reader, previous: Position) -> Result<Vec<Entry>, StepError> {
    let count = reader.u32()?;
    // Never allocate more than the bytes at hand can hold, whatever the count claims.
    let mut entries = Vec::with_capacity(count.min(reader.bytes.len() / ENTRY_HEADER_BYTES));
    let mut last = previous;
    for _ in 0..count {
        let kind = EntryKind::from_u8(reader.u8()?).ok_or(StepError::Malformed("entry kind"))?;
        let term = reader.limited()?;
        let length = reader.u32()?;
        let data = reader.take(length)?;
        let entry = Entry { index: last.index + 1, term, kind, data };
        if term == 0 || term < last.term || entry.data.is_empty() != (kind == EntryKind::Leadership) {
            return Err(StepError::Malformed("entry"));
        }
        if kind == EntryKind::Membership {
            MembershipChange::from_bytes(&entry.data)?;
        }
        last = entry.position();
        entries.push(entry);
    }
    Ok(entries)
}

fn put_entry(out: &mut Vec<u8>, entry: &Entry) {
    out.push(entry.kind as u8);
    put_u64(out, entry.term);
    put_u32(out, entry.data.len());
    out.extend_from_slice(&entry.data);
}

pub(crate) fn put_u64(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_be_bytes());
}

fn put_u32(out: &mut Vec<u8>, number: usize) {
    let number = u32::try_from(number).expect("lengths in a message fit into 32 bits");
    out.extend_from_slice(&number.to_be_bytes());
}

pub(crate) fn put_position(out: &mut Vec<u8>, position: Position) {
    put_u64(out, position.term);
    put_u64(out, position.index);
}

pub(crate) fn put_name(out: &mut Vec<u8>, name: ReadName) {
    put_u64(out, name.member.0);
    put_u64(out, name.boot_nonce);
    put_u64(out, name.counter);
}

pub(crate) fn put_option<T>(out: &mut Vec<u8>, value: Option<T>, put: impl FnOnce(&mut Vec<u8>, T)) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        put(out, value);
    }
}

/// Takes values off the front of bytes.
pub(crate) struct Reader {
    bytes: Bytes,
}

impl Reader {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self { bytes }
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<Bytes, StepError> {
        if length > self.bytes.len() {
            return Err(StepError::Malformed("too short"));
        }
        Ok(self.bytes.split_to(length))
    }

    fn array<const LENGTH: usize>(&mut self) -> Result<[u8; LENGTH], StepError> {
        let (head, _) = self.bytes.split_first_chunk().ok_or(StepError::Malformed("too short"))?;
        let head = *head;
        self.bytes = self.bytes.slice(LENGTH..);
        Ok(head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, StepError> {
        self.array().map(|[byte]| byte)
    }

    pub(crate) fn bool(&mut self) -> Result<bool, StepError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(StepError::Malformed("flag")),
        }
    }

    fn u32(&mut self) -> Result<usize, StepError> {
        self.array().map(|bytes| u32::from_be_bytes(bytes) as usize)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, StepError> {
        self.array().map(u64::from_be_bytes)
    }

    /// A term or index.
    pub(crate) fn limited(&mut self) -> Result<u64, StepError> {
        let number = self.u64()?;
        if number >= POSITION_LIMIT {
            return Err(StepError::Malformed("term or index out of range"));
        }
        Ok(number)
    }

    pub(crate) fn position(&mut self) -> Result<Position, StepError> {
        Ok(Position { term: self.limited()?, index: self.limited()? })
    }

    pub(crate) fn name(&mut self) -> Result<ReadName, StepError> {
        Ok(ReadName { member: MemberId(self.u64()?), boot_nonce: self.u64()?, counter: self.u64()? })
    }

    pub(crate) fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, StepError>,
    ) -> Result<Option<T>, StepError> {
        if self.bool()? { read(self).map(Some) } else { Ok(None) }
    }

    pub(crate) fn finish(&self) -> Result<(), StepError> {
        if self.bytes.is_empty() { Ok(()) } else { Err(StepError::Malformed("trailing bytes")) }
    }
}

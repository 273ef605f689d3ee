//! The few lines of jute that tests need, written apart from the `wire` crate so that neither
//! vouches for itself.

use std::ops::Range;

/// A record being written. Big-endian; a length of -1 is null.
#[derive(Clone, Debug, Default)]
pub struct Record(pub Vec<u8>, Vec<Range<usize>>);

impl Record {
    /// An empty record.
    pub fn new() -> Record {
        Record::default()
    }
    /// Appends a 32-bit integer.
    pub fn int(mut self, value: i32) -> Record {
        self.0.extend(value.to_be_bytes());
        self
    }
    /// Appends a 64-bit integer.
    pub fn long(mut self, value: i64) -> Record {
        self.0.extend(value.to_be_bytes());
        self
    }
    /// Appends one byte, 0 or 1.
    pub fn bool(mut self, value: bool) -> Record {
        self.0.push(u8::from(value));
        self
    }
    /// Appends a string.
    pub fn string(self, value: &str) -> Record {
        self.buffer(Some(value.as_bytes()))
    }
    /// Appends a buffer; `None` is null, which is not the empty buffer.
    pub fn buffer(self, value: Option<&[u8]>) -> Record {
        self.field(|record| match value {
            None => record.int(-1),
            Some(bytes) => record.int(bytes.len() as i32).raw(bytes),
        })
    }
    /// Appends a vector of strings.
    pub fn strings<S: AsRef<str>>(self, values: &[S]) -> Record {
        self.field(|record| {
            let start = record.int(values.len() as i32);
            values.iter().fold(start, |record, value| record.string(value.as_ref()))
        })
    }
    /// Appends something that begins with a length or a count, and so can be null.
    pub fn field(mut self, write: impl FnOnce(Record) -> Record) -> Record {
        let (start, number) = (self.0.len(), self.1.len());
        self.1.push(start..start);
        let mut record = write(self);
        record.1[number].end = record.0.len();
        record
    }
    /// Where the strings, buffers and vectors lie, in the order in which they begin.
    pub fn fields(&self) -> &[Range<usize>] {
        &self.1
    }
    /// Appends bytes as they are.
    pub fn raw(mut self, bytes: &[u8]) -> Record {
        self.0.extend(bytes);
        self
    }
    /// The record behind its length, as it goes over the socket.
    pub fn framed(self) -> Vec<u8> {
        Record::new().buffer(Some(&self.0)).0
    }
}

/// A position in received bytes. Every read answers `None` beyond their end.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0 }
    }
    /// How many bytes were read.
    pub fn at(&self) -> usize {
        self.at
    }
    /// How many bytes are left.
    pub fn left(&self) -> usize {
        self.bytes.len() - self.at
    }
    /// The next `length` bytes.
    pub fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        Some(taken)
    }
    /// A 32-bit integer.
    pub fn int(&mut self) -> Option<i32> {
        Some(i32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }
    /// A 64-bit integer.
    pub fn long(&mut self) -> Option<i64> {
        Some(i64::from_be_bytes(self.take(8)?.try_into().ok()?))
    }
    /// A buffer; the inner `None` is null.
    pub fn buffer(&mut self) -> Option<Option<&'a [u8]>> {
        match self.int()? {
            -1 => Some(None),
            length => Some(Some(self.take(usize::try_from(length).ok()?)?)),
        }
    }
}

/// Bytes as people write them in a literal: text with `\xNN` for the rest, `null` for none.
pub fn show(bytes: Option<&[u8]>) -> String {
    bytes.map_or("null".to_owned(), |bytes| format!("\"{}\"", bytes.escape_ascii()))
}

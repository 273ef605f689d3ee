//! A segment: one file of the log.
//!
//! ```text
//!  0        8          12         16       24       32      36            512
//!  +--------+----------+----------+--------+--------+-------+-------------+---------+---------+----
//!  | magic  | version  | sequence | salt   | length | crc   | zeros       | record  | record  | …
//!  | 8 bytes| u32 = 1  | u32      | u64    | u64    | u32   |             |         |         |
//!  +--------+----------+----------+--------+--------+-------+-------------+---------+---------+----
//! ```
//!
//! The file name is the sequence number in hexadecimal, such as `0000000000000001.seg`. The header
//! has a sector of its own, so that no later write can tear it, and is on disk under this name
//! before the first record is written. Each use of a file gets a new salt. `length` is the file's
//! full length: a shorter file has been truncated.

use super::record::{HEAD_BYTES, Head, Position, Seed, TAG_OFFSET, is_tag};
use crate::disk::{Disk, DiskFile, Mode, read_exact_at};
use std::io;
use std::path::{Path, PathBuf};

/// Offset of the first record in a segment.
pub(crate) const RECORDS_START: u32 = 512;
/// The version of the log format that is written, and the only one read.
pub const FORMAT_VERSION: u32 = 1;
const MAGIC: &[u8; 8] = b"OSTLRLOG";
const HEADER_BYTES: usize = 36;
/// Bytes read from a file at a time during a scan.
const WINDOW_BYTES: usize = 1 << 20;
/// Bytes examined together in the search for heads.
const TAGS_AT_ONCE: usize = 64;

/// An open segment.
pub(crate) struct Segment {
    pub(crate) sequence: u32,
    /// Length of the file, header included.
    pub(crate) len: u64,
    pub(crate) seed: Seed,
    pub(crate) path: PathBuf,
    pub(crate) file: Box<dyn DiskFile>,
}

/// Why a file is not a segment.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    /// The header could not be read.
    #[error("cannot be read")]
    Io(#[from] io::Error),
    /// The file is of another kind, or damaged.
    #[error("the header (bytes 0 to 36) is damaged")]
    Damaged,
    /// A program with another format wrote it.
    #[error("the format version is {0}, and this program knows only version 1")]
    Version(u32),
    /// The file's name and its header disagree.
    #[error("the header is that of segment {0:016x}; the file was renamed or copied")]
    Renamed(u32),
    /// The file's length and its header disagree.
    #[error("the file has {found} bytes, but was created with {expected}; it was truncated")]
    Cut {
        /// Current length.
        found: u64,
        /// Length in the header.
        expected: u64,
    },
}

/// File name of a segment.
pub(crate) fn file_name(sequence: u32) -> String {
    format!("{sequence:016x}.seg")
}

/// Sequence number in a segment's file name; `None` for other names.
pub(crate) fn parse_file_name(name: &str) -> Option<u32> {
    let sequence = u32::from_str_radix(name.strip_suffix(".seg")?, 16).ok()?;
    (name == file_name(sequence)).then_some(sequence)
}

/// The sector of the header.
pub(crate) fn encode_header(sequence: u32, salt: u64, len: u64) -> [u8; RECORDS_START as usize] {
    let mut header = [0; RECORDS_START as usize];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    header[12..16].copy_from_slice(&sequence.to_le_bytes());
    header[16..24].copy_from_slice(&salt.to_le_bytes());
    header[24..32].copy_from_slice(&len.to_le_bytes());
    let crc = crc32c::crc32c(&header[..32]);
    header[32..36].copy_from_slice(&crc.to_le_bytes());
    header
}

impl Segment {
    /// Opens the segment `sequence` in `dir` and checks its header.
    pub(crate) fn open(disk: &dyn Disk, dir: &Path, sequence: u32, mode: Mode) -> Result<Self, HeaderError> {
        let path = dir.join(file_name(sequence));
        let file = disk.open(&path, mode)?;
        let found = file.len()?;
        if found < u64::from(RECORDS_START) {
            return Err(HeaderError::Damaged);
        }
        let mut header = [0; HEADER_BYTES];
        read_exact_at(file.as_ref(), &mut header, 0)?;
        let number =
            |start: usize| u32::from_le_bytes(header[start..start + 4].try_into().expect("four bytes"));
        let long =
            |start: usize| u64::from_le_bytes(header[start..start + 8].try_into().expect("eight bytes"));
        if &header[..8] != MAGIC || crc32c::crc32c(&header[..32]) != number(32) {
            return Err(HeaderError::Damaged);
        }
        let expected = long(24);
        match (number(8), number(12)) {
            (version, _) if version != FORMAT_VERSION => Err(HeaderError::Version(version)),
            (_, other) if other != sequence => Err(HeaderError::Renamed(other)),
            _ if expected != found || u32::try_from(found).is_err() => {
                Err(HeaderError::Cut { found, expected })
            }
            _ => Ok(Self { sequence, len: found, seed: Seed::of_salt(long(16)), path, file }),
        }
    }

    pub(crate) fn at(&self, offset: u32) -> Position {
        Position { segment: self.sequence, offset }
    }
}

/// Reads a segment through a window of fixed size, so that memory use does not grow with the
/// segment.
pub(crate) struct Scanner<'a> {
    segment: &'a Segment,
    window: Vec<u8>,
    window_start: u64,
}

/// A valid head after an invalid record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stray {
    pub(crate) offset: u32,
    pub(crate) synced_to: Position,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(segment: &'a Segment) -> Self {
        Self { segment, window: Vec::new(), window_start: 0 }
    }

    /// The bytes from `offset` on; `None` if the file ends before `len` of them.
    fn bytes(&mut self, offset: u64, len: usize) -> io::Result<Option<&[u8]>> {
        let end = offset + len as u64;
        if end > self.segment.len {
            return Ok(None);
        }
        if offset < self.window_start || end > self.window_start + self.window.len() as u64 {
            let fill = (self.segment.len - offset).min(len.max(WINDOW_BYTES) as u64) as usize;
            self.window.resize(fill, 0);
            self.window_start = offset;
            if let Err(error) = read_exact_at(self.segment.file.as_ref(), &mut self.window, offset) {
                self.window.clear();
                return Err(error);
            }
        }
        let start = (offset - self.window_start) as usize;
        Ok(Some(&self.window[start..start + len]))
    }

    fn head(&mut self, offset: u32) -> io::Result<Option<Head>> {
        let (at, seed) = (self.segment.at(offset), self.segment.seed);
        let bytes = self.bytes(u64::from(offset), HEAD_BYTES)?;
        Ok(bytes.and_then(|bytes| Head::decode(bytes.try_into().expect("a head's length"), at, seed)))
    }

    /// The valid record at `offset`: its head and its body. `None` at the end of the log or if the
    /// record is torn or damaged.
    pub(crate) fn record(&mut self, offset: u32) -> io::Result<Option<(Head, &[u8])>> {
        let Some(head) = self.head(offset)? else { return Ok(None) };
        let seed = self.segment.seed;
        let body = self.bytes(u64::from(offset) + HEAD_BYTES as u64, head.body_len)?;
        Ok(body.filter(|body| head.matches(body, seed)).map(|body| (head, body)))
    }

    /// Searches every offset from `start` on for valid heads.
    pub(crate) fn strays(&mut self, start: u32, found: &mut dyn FnMut(Stray)) -> io::Result<()> {
        let (seed, sequence) = (self.segment.seed, self.segment.sequence);
        let mut offset = u64::from(start);
        while offset + HEAD_BYTES as u64 <= self.segment.len {
            let len = (self.segment.len - offset).min(WINDOW_BYTES as u64) as usize;
            let Some(window) = self.bytes(offset, len)? else { break };
            // Search by the tag's byte, many at a time: nearly all of a segment's end is zeros,
            // which must not slow down a start.
            let tags = &window[TAG_OFFSET..len - (HEAD_BYTES - TAG_OFFSET - 1)];
            for (chunk, bytes) in tags.chunks(TAGS_AT_ONCE).enumerate() {
                if !bytes.iter().fold(false, |found, byte| found | is_tag(*byte)) {
                    continue;
                }
                for (i, _) in bytes.iter().enumerate().filter(|(_, byte)| is_tag(**byte)) {
                    let start = chunk * TAGS_AT_ONCE + i;
                    let at = Position { segment: sequence, offset: (offset + start as u64) as u32 };
                    let head = window[start..start + HEAD_BYTES].try_into().expect("a head's length");
                    if let Some(head) = Head::decode(head, at, seed) {
                        found(Stray { offset: at.offset, synced_to: head.synced_to });
                    }
                }
            }
            offset += (len - HEAD_BYTES + 1) as u64;
        }
        Ok(())
    }
}

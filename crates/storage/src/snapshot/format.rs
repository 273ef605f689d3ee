//! The encoding of a snapshot file.
//!
//! ```text
//!  header   magic "OSTLSNAP", version u32 = 1, group u64, index u64, term u64, zxid i64, crc u32
//!  block    raw length u32 (1 to BLOCK_BYTES_MAX), stored length u32, crc u32,
//!           stored bytes (one zstd frame)
//!  …        more blocks
//!  trailer  zero u32, blocks u64, raw length of all blocks u64, crc of all raw bytes u32, crc u32
//! ```
//!
//! A header has 48 bytes, a trailer 28. Numbers are little-endian, checksums crc32c. The checksum
//! of the header or the trailer covers the bytes before it there; a block's checksum covers the
//! block's number (u64, from 0), both lengths and the stored bytes, so that blocks cannot be
//! swapped. The trailer ends the file: a file without it was truncated.

use super::SnapshotName;

/// The version of the snapshot format that is written, and the only one read.
pub const SNAPSHOT_FORMAT_VERSION: u32 = 1;
/// Bytes in a block before compression; the last block may be shorter.
pub const BLOCK_BYTES: usize = 256 << 10;
/// The longest block a reader accepts: it bounds the memory that a damaged or hostile file can
/// demand.
pub const BLOCK_BYTES_MAX: usize = 1 << 20;
pub(super) const HEADER_BYTES: usize = 48;
pub(super) const BLOCK_HEAD_BYTES: usize = 12;
pub(super) const TRAILER_BYTES: usize = 28;
const MAGIC: &[u8; 8] = b"OSTLSNAP";

const _: () = assert!(BLOCK_BYTES <= BLOCK_BYTES_MAX);

/// Why a header cannot be used.
pub(super) enum BadHeader {
    Damaged(&'static str),
    Version(u32),
}

pub(super) fn encode_header(name: &SnapshotName) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&SNAPSHOT_FORMAT_VERSION.to_le_bytes());
    for number in [name.group, name.index, name.term, name.zxid as u64] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    let crc = crc32c::crc32c(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    debug_assert_eq!(out.len(), HEADER_BYTES);
    out
}

pub(super) fn decode_header(bytes: &[u8; HEADER_BYTES]) -> Result<SnapshotName, BadHeader> {
    if &bytes[..8] != MAGIC {
        return Err(BadHeader::Damaged("it does not start like a snapshot"));
    }
    if crc32c::crc32c(&bytes[..44]) != u32_at(bytes, 44) {
        return Err(BadHeader::Damaged("the header's checksum does not match"));
    }
    match u32_at(bytes, 8) {
        SNAPSHOT_FORMAT_VERSION => Ok(SnapshotName {
            group: u64_at(bytes, 12),
            index: u64_at(bytes, 20),
            term: u64_at(bytes, 28),
            zxid: u64_at(bytes, 36) as i64,
        }),
        version => Err(BadHeader::Version(version)),
    }
}

/// The head of block `number`, with its checksum.
pub(super) fn encode_block_head(number: u64, raw_len: usize, stored: &[u8]) -> [u8; BLOCK_HEAD_BYTES] {
    let mut head = [0; BLOCK_HEAD_BYTES];
    head[..4].copy_from_slice(&(raw_len as u32).to_le_bytes());
    head[4..8].copy_from_slice(&(stored.len() as u32).to_le_bytes());
    let crc = block_crc(number, &head[..8], stored);
    head[8..].copy_from_slice(&crc.to_le_bytes());
    head
}

pub(super) fn block_crc(number: u64, lengths: &[u8], stored: &[u8]) -> u32 {
    let crc = crc32c::crc32c_append(crc32c::crc32c(&number.to_le_bytes()), lengths);
    crc32c::crc32c_append(crc, stored)
}

/// The trailer's totals over all blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Totals {
    pub(super) blocks: u64,
    pub(super) raw_bytes: u64,
    pub(super) crc: u32,
}

impl Totals {
    /// Counts a block.
    pub(super) fn add(&mut self, raw: &[u8]) {
        self.blocks += 1;
        self.raw_bytes += raw.len() as u64;
        self.crc = crc32c::crc32c_append(self.crc, raw);
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = vec![0; 4];
        out.extend_from_slice(&self.blocks.to_le_bytes());
        out.extend_from_slice(&self.raw_bytes.to_le_bytes());
        out.extend_from_slice(&self.crc.to_le_bytes());
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        debug_assert_eq!(out.len(), TRAILER_BYTES);
        out
    }

    /// `None` if the trailer's own checksum does not match.
    pub(super) fn decode(bytes: &[u8; TRAILER_BYTES]) -> Option<Self> {
        let good = u32_at(bytes, 0) == 0 && crc32c::crc32c(&bytes[..24]) == u32_at(bytes, 24);
        good.then(|| Self { blocks: u64_at(bytes, 4), raw_bytes: u64_at(bytes, 12), crc: u32_at(bytes, 20) })
    }
}

pub(super) fn u32_at(bytes: &[u8], start: usize) -> u32 {
    u32::from_le_bytes(bytes[start..start + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], start: usize) -> u64 {
    u64::from_le_bytes(bytes[start..start + 8].try_into().expect("eight bytes"))
}

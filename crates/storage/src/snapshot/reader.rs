//! Reading a snapshot, trusting only what a checksum confirms.

use super::format::{
    BLOCK_BYTES_MAX, BLOCK_HEAD_BYTES, BadHeader, HEADER_BYTES, TRAILER_BYTES, Totals, block_crc,
    decode_header, u32_at,
};
use super::{SnapshotError, SnapshotName};
use crate::disk::{Disk, DiskFile, Mode, read_exact_at};
use crate::io_failure::IoFailure;
use std::io;
use std::path::{Path, PathBuf};

/// Reads one snapshot in order. Its bytes are valid only once the end is reached without an error.
pub struct SnapshotReader {
    path: PathBuf,
    file: Box<dyn DiskFile>,
    file_len: u64,
    /// Where the next block or the trailer starts.
    offset: u64,
    decompressor: zstd::bulk::Decompressor<'static>,
    stored: Vec<u8>,
    block: Vec<u8>,
    /// Number of bytes of `block` returned through `io::Read`.
    taken: usize,
    totals: Totals,
    ended: bool,
}

impl SnapshotReader {
    /// Opens the snapshot `name` in `dir` and checks its header.
    ///
    /// # Errors
    /// See [`SnapshotError`].
    pub fn open(disk: &dyn Disk, dir: &Path, name: SnapshotName) -> Result<Self, SnapshotError> {
        Self::open_path(disk, name.path(dir), name)
    }

    /// Like [`SnapshotReader::open`], for a file that does not have its name yet.
    pub(super) fn open_path(
        disk: &dyn Disk,
        path: PathBuf,
        name: SnapshotName,
    ) -> Result<Self, SnapshotError> {
        let (file, file_len) = open_checked(disk, &path, name)?;
        let decompressor = zstd::bulk::Decompressor::new().map_err(IoFailure::of(&path, "decompress"))?;
        Ok(Self {
            path,
            file,
            file_len,
            offset: HEADER_BYTES as u64,
            decompressor,
            stored: Vec::new(),
            block: Vec::new(),
            taken: 0,
            totals: Totals::default(),
            ended: false,
        })
    }

    /// Loading progress: bytes of the file read so far, and its length.
    #[must_use]
    pub fn progress(&self) -> (u64, u64) {
        (self.offset, self.file_len)
    }

    /// The next block, or `None` after the last one, once the whole was checked against the
    /// trailer.
    ///
    /// # Errors
    /// See [`SnapshotError`].
    pub fn next_block(&mut self) -> Result<Option<&[u8]>, SnapshotError> {
        self.block.clear();
        self.taken = 0;
        if self.ended {
            return Ok(None);
        }
        let mut head = [0; BLOCK_HEAD_BYTES];
        self.read(&mut head, self.offset, "it ends without its trailer; it was truncated")?;
        let (raw_len, stored_len) = (u32_at(&head, 0) as usize, u32_at(&head, 4) as usize);
        if raw_len == 0 {
            return self.end(&head).map(|()| None);
        }
        if raw_len > BLOCK_BYTES_MAX || stored_len > zstd::zstd_safe::compress_bound(BLOCK_BYTES_MAX) {
            return Err(self.damaged("a block's length is impossible"));
        }
        let mut stored = std::mem::take(&mut self.stored);
        stored.resize(stored_len, 0);
        self.read(
            &mut stored,
            self.offset + BLOCK_HEAD_BYTES as u64,
            "it ends within a block; it was truncated",
        )?;
        self.stored = stored;
        if block_crc(self.totals.blocks, &head[..8], &self.stored) != u32_at(&head, 8) {
            return Err(self.damaged("a block's checksum does not match"));
        }
        self.block.resize(raw_len, 0);
        // The buffer's length bounds the decompressed size, whatever the frame claims.
        if self.decompressor.decompress_to_buffer(&self.stored, self.block.as_mut_slice()).ok()
            != Some(raw_len)
        {
            self.block.clear();
            return Err(self.damaged("a block does not decompress to its length"));
        }
        self.offset += (BLOCK_HEAD_BYTES + stored_len) as u64;
        self.totals.add(&self.block);
        Ok(Some(&self.block))
    }

    /// Reads and discards the rest, to check whether the file is valid.
    ///
    /// # Errors
    /// See [`SnapshotError`].
    pub fn verify(mut self) -> Result<(), SnapshotError> {
        while self.next_block()?.is_some() {}
        Ok(())
    }

    fn end(&mut self, head: &[u8; BLOCK_HEAD_BYTES]) -> Result<(), SnapshotError> {
        let mut trailer = [0; TRAILER_BYTES];
        self.read(&mut trailer, self.offset, "it ends within its trailer; it was truncated")?;
        debug_assert_eq!(&trailer[..BLOCK_HEAD_BYTES], head);
        let totals =
            Totals::decode(&trailer).ok_or_else(|| self.damaged("the trailer's checksum does not match"))?;
        if totals != self.totals {
            return Err(self.damaged("the blocks do not match the trailer's totals"));
        }
        if self.offset + TRAILER_BYTES as u64 != self.file_len {
            return Err(self.damaged("there are bytes after the trailer"));
        }
        self.offset = self.file_len;
        self.ended = true;
        Ok(())
    }

    /// Fills `buf` from byte `at`; a file that ends there is reported as damaged from the current
    /// block or trailer on.
    fn read(&self, buf: &mut [u8], at: u64, cut: &'static str) -> Result<(), SnapshotError> {
        match read_exact_at(self.file.as_ref(), buf, at) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(self.damaged(cut)),
            other => Ok(other.map_err(IoFailure::of(&self.path, "read"))?),
        }
    }

    fn damaged(&self, what: &'static str) -> SnapshotError {
        SnapshotError::Damaged { path: self.path.clone(), offset: self.offset, what }
    }
}

/// Opens the file at `path` and checks that its header is valid and contains `name`; also returns
/// the length.
pub(super) fn open_checked(
    disk: &dyn Disk,
    path: &Path,
    name: SnapshotName,
) -> Result<(Box<dyn DiskFile>, u64), SnapshotError> {
    let damaged = |what| SnapshotError::Damaged { path: path.to_owned(), offset: 0, what };
    let file = disk.open(path, Mode::Read).map_err(IoFailure::of(path, "open"))?;
    let len = file.len().map_err(IoFailure::of(path, "open"))?;
    if len < (HEADER_BYTES + TRAILER_BYTES) as u64 {
        return Err(damaged("it is too short"));
    }
    let mut header = [0; HEADER_BYTES];
    read_exact_at(file.as_ref(), &mut header, 0).map_err(IoFailure::of(path, "read"))?;
    match decode_header(&header) {
        Ok(found) if found == name => Ok((file, len)),
        Ok(_) => Err(damaged("its header does not match the file's name")),
        Err(BadHeader::Damaged(what)) => Err(damaged(what)),
        Err(BadHeader::Version(version)) => Err(SnapshotError::Version { path: path.to_owned(), version }),
    }
}

impl io::Read for SnapshotReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.block.len() && self.next_block().map_err(io::Error::other)?.is_none() {
            return Ok(0);
        }
        let len = buf.len().min(self.block.len() - self.taken);
        buf[..len].copy_from_slice(&self.block[self.taken..self.taken + len]);
        self.taken += len;
        Ok(len)
    }
}

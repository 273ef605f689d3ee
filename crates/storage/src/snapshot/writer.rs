//! Writing a snapshot in the background, without delaying the log.

use super::format::{BLOCK_BYTES, Totals, encode_block_head, encode_header};
use super::{SYNC_EVERY_BYTES, SnapshotError, SnapshotName, TEMPORARY_SUFFIX};
use crate::disk::{Disk, DiskFile, Mode};
use crate::io_failure::IoFailure;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How a snapshot is written.
#[derive(Debug, Clone, Copy)]
pub struct SnapshotWriterOptions {
    /// Sync after this many bytes. Small steps keep the disk's queue short for the log's flushes,
    /// which would otherwise wait behind all dirty pages of the snapshot at once.
    pub sync_every_bytes: u64,
    /// Compression level of zstd.
    pub level: i32,
}

impl Default for SnapshotWriterOptions {
    fn default() -> Self {
        Self { sync_every_bytes: SYNC_EVERY_BYTES, level: 1 }
    }
}

/// A finished snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finished {
    /// Its identity.
    pub name: SnapshotName,
    /// Bytes before compression.
    pub raw_bytes: u64,
    /// Bytes in the file.
    pub file_bytes: u64,
}

/// Writes one snapshot. Nothing is visible before [`SnapshotWriter::finish`]; dropping the writer
/// removes its file.
pub struct SnapshotWriter {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    name: SnapshotName,
    temporary: PathBuf,
    file: Box<dyn DiskFile>,
    options: SnapshotWriterOptions,
    compressor: zstd::bulk::Compressor<'static>,
    /// Bytes that do not fill a block yet. Invariant: shorter than a block.
    block: Vec<u8>,
    stored: Vec<u8>,
    totals: Totals,
    written: u64,
    synced: u64,
    finished: bool,
}

impl SnapshotWriter {
    /// Starts a snapshot in `dir`, which must exist, with the default options.
    ///
    /// # Errors
    /// The file cannot be created.
    pub fn create(disk: Arc<dyn Disk>, dir: &Path, name: SnapshotName) -> Result<Self, SnapshotError> {
        Self::with_options(disk, dir, name, SnapshotWriterOptions::default())
    }

    /// Like [`SnapshotWriter::create`], with the given options.
    ///
    /// # Errors
    /// The file cannot be created.
    pub fn with_options(
        disk: Arc<dyn Disk>,
        dir: &Path,
        name: SnapshotName,
        options: SnapshotWriterOptions,
    ) -> Result<Self, SnapshotError> {
        let temporary = dir.join(name.file_name() + TEMPORARY_SUFFIX);
        let start = || {
            let compressor = zstd::bulk::Compressor::new(options.level)?;
            let file = disk.open(&temporary, Mode::Create)?;
            file.write_at(&encode_header(&name), 0)?;
            Ok((compressor, file))
        };
        let (compressor, file) = start().map_err(|source| {
            // As when dropping a writer.
            let _ = disk.remove(&temporary);
            IoFailure::new(&temporary, "create", source)
        })?;
        Ok(Self {
            dir: dir.to_owned(),
            name,
            temporary,
            file,
            options,
            compressor,
            block: Vec::with_capacity(BLOCK_BYTES),
            stored: vec![0; zstd::zstd_safe::compress_bound(BLOCK_BYTES)],
            totals: Totals::default(),
            written: encode_header(&name).len() as u64,
            synced: 0,
            finished: false,
            disk,
        })
    }

    /// Appends any number of bytes.
    ///
    /// # Errors
    /// The snapshot has failed; drop the writer. `StorageFull` means that the disk is full.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<(), SnapshotError> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK_BYTES - self.block.len()));
            self.block.extend_from_slice(now);
            bytes = later;
            if self.block.len() == BLOCK_BYTES {
                self.write_block()?;
            }
        }
        Ok(())
    }

    /// Completes the file, makes it durable and gives it its name.
    ///
    /// # Errors
    /// The snapshot has failed. After a failed sync of the directory the file may exist; it is then
    /// complete.
    pub fn finish(mut self) -> Result<Finished, SnapshotError> {
        if !self.block.is_empty() {
            self.write_block()?;
        }
        self.put(&self.totals.encode())?;
        self.file.sync_data().map_err(IoFailure::of(&self.temporary, "sync"))?;
        let path = self.name.path(&self.dir);
        self.disk.rename(&self.temporary, &path).map_err(IoFailure::of(&self.temporary, "rename"))?;
        self.finished = true;
        self.disk.sync_dir(&self.dir).map_err(IoFailure::of(&self.dir, "sync the directory of"))?;
        Ok(Finished { name: self.name, raw_bytes: self.totals.raw_bytes, file_bytes: self.written })
    }

    fn write_block(&mut self) -> Result<(), SnapshotError> {
        let compressed = self.compressor.compress_to_buffer(&self.block, self.stored.as_mut_slice());
        let len = compressed
            .map_err(|source| IoFailure::new(&self.temporary, "compress", io::Error::other(source)))?;
        let head = encode_block_head(self.totals.blocks, self.block.len(), &self.stored[..len]);
        self.put(&head)?;
        self.file
            .write_at(&self.stored[..len], self.written)
            .map_err(IoFailure::of(&self.temporary, "write"))?;
        self.written += len as u64;
        self.totals.add(&self.block);
        self.block.clear();
        if self.written - self.synced >= self.options.sync_every_bytes {
            self.file.sync_data().map_err(IoFailure::of(&self.temporary, "sync"))?;
            self.synced = self.written;
        }
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), SnapshotError> {
        self.file.write_at(bytes, self.written).map_err(IoFailure::of(&self.temporary, "write"))?;
        self.written += bytes.len() as u64;
        Ok(())
    }
}

impl io::Write for SnapshotWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Self::write(self, bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for SnapshotWriter {
    fn drop(&mut self) {
        if !self.finished {
            // The next start removes it if this fails.
            let _ = self.disk.remove(&self.temporary);
        }
    }
}

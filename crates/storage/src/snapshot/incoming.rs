//! A snapshot received from another member, accepted only when it is complete and its checksums
//! match.

use super::error::IncomingError;
use super::{INCOMING_SUFFIX, SYNC_EVERY_BYTES, SnapshotName, SnapshotReader};
use crate::disk::{Disk, DiskFile, Mode};
use crate::io_failure::IoFailure;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Limits on what is accepted, and how it is written.
#[derive(Debug, Clone, Copy)]
pub struct IncomingOptions {
    /// The longest file accepted, in bytes. The disk is a limit too; this one stops a wrong
    /// announcement before the disk is full.
    pub len_max: u64,
    /// Sync after this many bytes; see [`SnapshotWriterOptions`](super::SnapshotWriterOptions).
    pub sync_every_bytes: u64,
}

impl Default for IncomingOptions {
    fn default() -> Self {
        // Larger than the snapshot of any tree that fits into a machine's memory.
        Self { len_max: 256 << 30, sync_every_bytes: SYNC_EVERY_BYTES }
    }
}

/// The file of a snapshot being received from another member, whose bytes are not trusted. Nothing
/// is visible before [`Incoming::finish`]; dropping it removes the file. At most one at a time per
/// name.
///
/// It reserves no space for bytes that have not arrived, so that an announcement alone cannot fill
/// the disk.
pub struct Incoming {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    name: SnapshotName,
    temporary: PathBuf,
    file: Box<dyn DiskFile>,
    options: IncomingOptions,
    len: u64,
    /// Invariant: at most `len`.
    written: u64,
    synced: u64,
    /// A write or a sync failed. A later sync may succeed without the lost bytes, so the failure is
    /// final.
    failed: bool,
    renamed: bool,
}

impl Incoming {
    /// Starts to receive the snapshot `name` of `len` bytes into `dir`, which must exist, with the
    /// default options. The remains of an earlier attempt under the same name are discarded.
    ///
    /// # Errors
    /// [`IncomingError::TooLong`], or the file cannot be created.
    pub fn create(
        disk: Arc<dyn Disk>,
        dir: &Path,
        name: SnapshotName,
        len: u64,
    ) -> Result<Self, IncomingError> {
        Self::with_options(disk, dir, name, len, IncomingOptions::default())
    }

    /// Like [`Incoming::create`], with the given options.
    ///
    /// # Errors
    /// Like [`Incoming::create`].
    pub fn with_options(
        disk: Arc<dyn Disk>,
        dir: &Path,
        name: SnapshotName,
        len: u64,
        options: IncomingOptions,
    ) -> Result<Self, IncomingError> {
        let temporary = dir.join(name.file_name() + INCOMING_SUFFIX);
        if len > options.len_max {
            return Err(IncomingError::TooLong { path: temporary, len, max: options.len_max });
        }
        let file = disk.open(&temporary, Mode::Create).map_err(IoFailure::of(&temporary, "create"))?;
        Ok(Self {
            disk,
            dir: dir.to_owned(),
            name,
            temporary,
            file,
            options,
            len,
            written: 0,
            synced: 0,
            failed: false,
            renamed: false,
        })
    }

    /// Bytes received so far, which is the offset of the next chunk.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Appends the bytes of the file from `offset` on.
    ///
    /// # Errors
    /// [`IncomingError::OutOfOrder`] and [`IncomingError::Beyond`] change nothing. Any other error
    /// is final: drop it.
    pub fn write_chunk(&mut self, offset: u64, bytes: &[u8]) -> Result<(), IncomingError> {
        self.check()?;
        let path = &self.temporary;
        if offset != self.written {
            return Err(IncomingError::OutOfOrder { path: path.clone(), expected: self.written, offset });
        }
        if bytes.len() as u64 > self.len - self.written {
            let bytes = bytes.len();
            return Err(IncomingError::Beyond { path: path.clone(), offset, bytes, len: self.len });
        }
        self.failed = true;
        self.file.write_at(bytes, offset).map_err(IoFailure::of(path, "write"))?;
        self.written += bytes.len() as u64;
        if self.written - self.synced >= self.options.sync_every_bytes {
            self.file.sync_data().map_err(IoFailure::of(path, "sync"))?;
            self.synced = self.written;
        }
        self.failed = false;
        Ok(())
    }

    /// Rereads and verifies the whole file, makes it durable and gives it its name, replacing a
    /// snapshot of that name. It takes as long as reading the snapshot without loading it, and the
    /// memory of at most one block.
    ///
    /// # Errors
    /// There is no new snapshot. Only after a failed sync of the directory may it exist; it is then
    /// complete.
    pub fn finish(mut self) -> Result<(), IncomingError> {
        self.check()?;
        if self.written != self.len {
            let path = self.temporary.clone();
            return Err(IncomingError::Incomplete { path, written: self.written, len: self.len });
        }
        SnapshotReader::open_path(self.disk.as_ref(), self.temporary.clone(), self.name)?.verify()?;
        self.file.sync_data().map_err(IoFailure::of(&self.temporary, "sync"))?;
        let path = self.name.path(&self.dir);
        self.disk.rename(&self.temporary, &path).map_err(IoFailure::of(&self.temporary, "rename"))?;
        self.renamed = true;
        self.disk.sync_dir(&self.dir).map_err(IoFailure::of(&self.dir, "sync the directory of"))?;
        Ok(())
    }

    fn check(&self) -> Result<(), IncomingError> {
        if self.failed { Err(IncomingError::Failed { path: self.temporary.clone() }) } else { Ok(()) }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if !self.renamed {
            // The next start removes it if this fails.
            let _ = self.disk.remove(&self.temporary);
        }
    }
}

//! The file of a finished snapshot as raw bytes, to send to another member.

use super::reader::open_checked;
use super::{SnapshotError, SnapshotName};
use crate::disk::{Disk, DiskFile, read_exact_at};
use crate::io_failure::IoFailure;
use std::io;
use std::path::{Path, PathBuf};

/// A finished snapshot whose raw bytes can be read at any offset. It stays readable if it is purged
/// meanwhile.
pub struct SnapshotFile {
    path: PathBuf,
    file: Box<dyn DiskFile>,
    len: u64,
}

#[expect(
    clippy::len_without_is_empty,
    reason = "a finished snapshot has at least its header and its trailer"
)]
impl SnapshotFile {
    /// Opens the snapshot `name` in `dir` and checks its header. The receiver checks the rest: it
    /// must do so anyway, and that also detects damage on this disk.
    ///
    /// # Errors
    /// See [`SnapshotError`].
    pub fn open(disk: &dyn Disk, dir: &Path, name: SnapshotName) -> Result<Self, SnapshotError> {
        let path = name.path(dir);
        let (file, len) = open_checked(disk, &path, name)?;
        Ok(Self { path, file, len })
    }

    /// Length of the file in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Fills `chunk` with the bytes from `offset` on and returns their number: fewer than requested
    /// only at the end of the file, 0 at or after the end.
    ///
    /// # Errors
    /// See [`SnapshotError`]; `Damaged` if the file has become shorter.
    pub fn read_chunk(&self, offset: u64, chunk: &mut [u8]) -> Result<usize, SnapshotError> {
        let left = self.len.saturating_sub(offset);
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(chunk.len());
        match read_exact_at(self.file.as_ref(), &mut chunk[..len], offset) {
            Ok(()) => Ok(len),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(SnapshotError::Damaged {
                path: self.path.clone(),
                offset,
                what: "it was truncated while it was read",
            }),
            Err(source) => Err(IoFailure::new(&self.path, "read", source).into()),
        }
    }
}

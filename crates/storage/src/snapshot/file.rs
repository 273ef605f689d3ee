//! A finished snapshot as the bytes of its file, to be carried to another member.

use super::error::failed;
use super::reader::open_checked;
use super::{SnapshotError, SnapshotName};
use crate::disk::{Disk, DiskFile, read_exact_at};
use std::io;
use std::path::{Path, PathBuf};

/// A finished snapshot whose bytes are read as they are, from any place. It stays readable when it is purged meanwhile.
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
    /// Opens the snapshot `name` in `dir` and checks its header. The rest is for the receiver to check: it must do so anyway,
    /// and damage on this disk shows there too.
    ///
    /// # Errors
    /// See [`SnapshotError`].
    pub fn open(disk: &dyn Disk, dir: &Path, name: SnapshotName) -> Result<Self, SnapshotError> {
        let path = name.path(dir);
        let (file, len) = open_checked(disk, &path, name)?;
        Ok(Self { path, file, len })
    }

    /// Bytes of the file.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Fills `chunk` with the bytes from `offset` on; returns how many those are: fewer than asked for only at the end of the
    /// file, none from there on.
    ///
    /// # Errors
    /// See [`SnapshotError`]; `Damaged` when the file has become shorter than it was.
    pub fn read_chunk(&self, offset: u64, chunk: &mut [u8]) -> Result<usize, SnapshotError> {
        let left = self.len.saturating_sub(offset);
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(chunk.len());
        match read_exact_at(self.file.as_ref(), &mut chunk[..len], offset) {
            Ok(()) => Ok(len),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(SnapshotError::Damaged {
                path: self.path.clone(),
                offset,
                what: "it was cut while it was read",
            }),
            Err(source) => Err(failed(&self.path, "read", source)),
        }
    }
}

//! The minimal file system interface under everything stored.
//!
//! It has few operations, so that a crash is simple to simulate: synced data stay, and everything
//! else may be kept, lost, torn or reordered. This crate accesses files in no other way.

#[cfg(any(test, feature = "testing"))]
mod medium;
mod real;
#[cfg(any(test, feature = "testing"))]
mod sim;

pub use real::RealDisk;
#[cfg(any(test, feature = "testing"))]
pub use sim::{Fault, SimDisk};

use rustix::io::Errno;
use std::io;
use std::path::Path;

/// Open modes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// An existing file, to read.
    Read,
    /// An existing file, to read and write.
    Write,
    /// A new file, to read and write; an existing file with that name is truncated. Access for the
    /// owner, and for the group as the umask says, but never for others.
    Create,
    /// Like `Create`, with access for the owner only.
    CreatePrivate,
}

/// Names and files. Durability is explicit: bytes by [`DiskFile::sync_data`], names by
/// [`Disk::sync_dir`].
pub trait Disk: Send + Sync {
    /// Opens a file. The name of a created file is durable only after [`Disk::sync_dir`] of its
    /// directory.
    ///
    /// # Errors
    /// `NotFound` when `mode` asks for an existing file and there is none.
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Box<dyn DiskFile>>;

    /// Names of the files and directories in `dir`, sorted.
    ///
    /// # Errors
    /// `NotFound` when there is no such directory.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Renames a file within its directory, replacing a file named `to`. After a crash it has one
    /// of the two names; the new one is certain only after [`Disk::sync_dir`].
    ///
    /// # Errors
    /// `NotFound` when there is no file `from`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// `NotFound` when there is no such file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes all names created, changed and removed in `dir` durable.
    ///
    /// # Errors
    /// Any; the names are then in an unknown state.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Creates `dir` and its missing parents, durably. An existing directory is not an error.
    ///
    /// # Errors
    /// Any.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// Whether two paths lead to the same directory.
    ///
    /// # Errors
    /// `NotFound` when one of them does not exist.
    fn is_same_dir(&self, one: &Path, other: &Path) -> io::Result<bool>;

    /// Takes the exclusive lock on the file `path` (created if missing) until the result is dropped
    /// or the process ends. `None` if another holder has it.
    ///
    /// # Errors
    /// Any, except that another holder has the lock.
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>>;

    /// An unpredictable number, the salt of a new segment. The simulated disk draws it from its
    /// seed.
    fn entropy(&self) -> u64;
}

/// One open file. All offsets and lengths are bytes.
pub trait DiskFile: Send {
    /// Reads up to `buf.len()` bytes at `offset`; fewer only at the end of the file.
    ///
    /// # Errors
    /// Any.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `bytes` at `offset`, extending the file as needed. Durable only after
    /// [`DiskFile::sync_data`].
    ///
    /// # Errors
    /// Any; the range then holds a mixture of old and new bytes.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes everything written to this file, and its length, durable.
    ///
    /// # Errors
    /// Any. Unsynced data may be permanently lost even if a later sync succeeds, so an error is
    /// final.
    fn sync_data(&self) -> io::Result<()>;

    /// Length of the file.
    ///
    /// # Errors
    /// Any.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file has no bytes.
    ///
    /// # Errors
    /// As [`DiskFile::len`].
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Extends the file to `len` bytes with zeros and reserves the space, so that writes below
    /// `len` cannot fail for lack of space. `false` if the file system cannot guarantee that;
    /// nothing was changed then.
    ///
    /// # Errors
    /// `StorageFull` when there is not enough space.
    fn allocate(&self, len: u64) -> io::Result<bool>;
}

/// A held lock; dropping it releases the lock.
pub trait DiskLock: Send + Sync {}

/// Reads exactly `buf.len()` bytes at `offset`.
pub(crate) fn read_exact_at(file: &dyn DiskFile, buf: &mut [u8], offset: u64) -> io::Result<()> {
    let mut filled = 0;
    while filled < buf.len() {
        match file.read_at(&mut buf[filled..], offset + filled as u64)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => filled += read,
        }
    }
    Ok(())
}

/// Whether the error means lack of space: the disk or the owner's quota is full, or no file
/// descriptor is left. The condition may pass and nothing was written, so the operation can be
/// retried.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        || matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Regression: the log continued without its next segment only if the disk was full; without a
    /// file descriptor for it the server stopped.
    #[test]
    fn a_lack_of_file_descriptors_counts_as_a_full_disk() {
        for errno in [Errno::NOSPC, Errno::DQUOT, Errno::MFILE, Errno::NFILE] {
            assert!(is_full(&errno.into()), "{errno}");
        }
        assert!(!is_full(&Errno::IO.into()));
    }
}

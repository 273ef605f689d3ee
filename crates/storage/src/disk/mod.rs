//! The narrow file system under everything stored.
//!
//! Few operations, so that a crash can be simulated on a page: what was synced stays, anything else may be kept, lost, torn
//! or reordered. Nothing in this crate touches files by another way.

mod medium;
mod real;
mod sim;

pub use real::RealDisk;
pub use sim::{Fault, SimDisk};

use rustix::io::Errno;
use std::io;
use std::path::Path;

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// An existing file, to read.
    Read,
    /// An existing file, to read and write.
    Write,
    /// A new file, to read and write; an existing file of that name is emptied.
    Create,
    /// The same, for its owner alone.
    CreatePrivate,
}

/// Names and files. Durability is explicit: bytes by [`DiskFile::sync_data`], names by [`Disk::sync_dir`].
pub trait Disk: Send + Sync {
    /// Opens a file. The name of a created file is durable only after [`Disk::sync_dir`] of its directory.
    ///
    /// # Errors
    /// `NotFound` when `mode` asks for an existing file and there is none.
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Box<dyn DiskFile>>;

    /// Names of the files and directories in `dir`, sorted.
    ///
    /// # Errors
    /// `NotFound` when there is no such directory.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Gives a file another name in the same directory, replacing a file of that name. After a crash it has one of the two
    /// names; the new one for certain only after [`Disk::sync_dir`].
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
    /// Any; the names must then be taken as unknown.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Creates `dir` and its missing parents, durably. An existing directory is not an error.
    ///
    /// # Errors
    /// Any.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// Whether two names lead to one directory.
    ///
    /// # Errors
    /// `NotFound` when one of them leads nowhere.
    fn is_same_dir(&self, one: &Path, other: &Path) -> io::Result<bool>;

    /// Takes the exclusive lock on the file `path` (created when missing) until the answer is dropped or the process ends.
    /// `None`: another holder has it.
    ///
    /// # Errors
    /// Any other than being held.
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>>;

    /// An unpredictable number: the salt of a new segment. The simulated disk draws it from its seed.
    fn entropy(&self) -> u64;
}

/// One open file. All offsets and lengths are bytes.
pub trait DiskFile: Send {
    /// Reads up to `buf.len()` bytes at `offset`; fewer only at the end of the file.
    ///
    /// # Errors
    /// Any.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `bytes` at `offset`, extending the file when needed. Durable only after [`DiskFile::sync_data`].
    ///
    /// # Errors
    /// Any; the range then holds a mixture.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes everything written to this file, and its length, durable.
    ///
    /// # Errors
    /// Any. What was not yet synced may be lost for good even if a later sync succeeds, so an error is final.
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

    /// Extends the file to `len` with zeros and reserves the space, so that writes below `len` cannot meet a full disk.
    /// `false`: the file system cannot promise that and nothing was done.
    ///
    /// # Errors
    /// `StorageFull` when there is not that much room.
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

/// Whether the error says that there is no room: the disk, or the owner's share of it, is full, or
/// no file descriptor is left. That passes without anything having been written, so it can be tried
/// again.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        || matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The log went on without its next segment only if the disk was full; without a descriptor for
    /// it the server ended.
    #[test]
    fn a_want_of_descriptors_is_a_want_of_room() {
        for errno in [Errno::NOSPC, Errno::DQUOT, Errno::MFILE, Errno::NFILE] {
            assert!(is_full(&errno.into()), "{errno}");
        }
        assert!(!is_full(&Errno::IO.into()));
    }
}

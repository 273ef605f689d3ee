//! Snapshots: files that are either complete or absent.
//!
//! A snapshot is a stream of bytes, opaque to this crate, cut into blocks, each compressed and
//! checksummed. It is written under a temporary name and gets its own only when it is completely on
//! disk. See `format.rs` for the layout. Between members the file travels unchanged: the sender
//! reads a [`SnapshotFile`], the receiver writes an [`Incoming`].

mod error;
mod file;
mod format;
mod incoming;
mod reader;
mod writer;

pub use error::{IncomingError, SnapshotError};
pub use file::SnapshotFile;
pub use format::{BLOCK_BYTES, BLOCK_BYTES_MAX, SNAPSHOT_FORMAT_VERSION};
pub use incoming::{Incoming, IncomingOptions};
pub use reader::SnapshotReader;
pub use writer::{Finished, SnapshotWriter, SnapshotWriterOptions};

use crate::disk::Disk;
use crate::io_failure::IoFailure;
use std::path::{Path, PathBuf};

/// Suffix of a snapshot that is being written, or was when the process ended.
const TEMPORARY_SUFFIX: &str = ".tmp";
/// Suffix of a snapshot being received. A separate one, since a member may also be writing a
/// snapshot of the same name.
const INCOMING_SUFFIX: &str = ".incoming";
/// Bytes of a snapshot written between two syncs.
const SYNC_EVERY_BYTES: u64 = 1 << 20;

/// Identifies a snapshot. It is in the file's name and, to detect a renamed file, in its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotName {
    /// The group.
    pub group: u64,
    /// The last log entry it contains.
    pub index: u64,
    /// That entry's term.
    pub term: u64,
    /// The last zxid it contains.
    pub zxid: i64,
}

impl SnapshotName {
    /// The file's name: `snapshot.GROUP.INDEX.TERM.ZXID`, each as 16 hexadecimal digits.
    #[must_use]
    pub fn file_name(&self) -> String {
        let Self { group, index, term, zxid } = self;
        format!("snapshot.{group:016x}.{index:016x}.{term:016x}.{zxid:016x}")
    }

    /// Parses a file name; `None` for other files.
    #[must_use]
    pub fn parse(file_name: &str) -> Option<Self> {
        let mut parts = file_name.strip_prefix("snapshot.")?.split('.');
        let mut next = || u64::from_str_radix(parts.next()?, 16).ok();
        let name = Self { group: next()?, index: next()?, term: next()?, zxid: next()? as i64 };
        (name.file_name() == file_name).then_some(name)
    }

    /// Path of the file in `dir`.
    #[must_use]
    pub fn path(&self, dir: &Path) -> PathBuf {
        dir.join(self.file_name())
    }
}

/// The finished snapshots of `group` in `dir`, newest first.
///
/// # Errors
/// The directory cannot be listed.
pub fn list(disk: &dyn Disk, dir: &Path, group: u64) -> Result<Vec<SnapshotName>, SnapshotError> {
    let names = disk.list(dir).map_err(IoFailure::of(dir, "list"))?;
    let mut snapshots: Vec<SnapshotName> = names
        .iter()
        .filter_map(|name| SnapshotName::parse(name))
        .filter(|name| name.group == group)
        .collect();
    snapshots.sort_unstable_by_key(|name| std::cmp::Reverse((name.index, name.term)));
    Ok(snapshots)
}

/// Removes all but the newest `retain_count` (at least one) snapshots of `group` and those in use;
/// returns the removed ones, oldest first.
///
/// # Errors
/// Some old snapshots still exist; the next purge retries.
pub fn purge(
    disk: &dyn Disk,
    dir: &Path,
    group: u64,
    retain_count: usize,
    in_use: &dyn Fn(&SnapshotName) -> bool,
) -> Result<Vec<SnapshotName>, SnapshotError> {
    let mut old: Vec<_> = list(disk, dir, group)?.into_iter().skip(retain_count.max(1)).collect();
    old.retain(|name| !in_use(name));
    old.reverse();
    for name in &old {
        let path = name.path(dir);
        disk.remove(&path).map_err(IoFailure::of(&path, "remove"))?;
    }
    if !old.is_empty() {
        disk.sync_dir(dir).map_err(IoFailure::of(dir, "sync"))?;
    }
    Ok(old)
}

/// Removes the remains of interrupted writers and receivers in `dir`; call it before any of them is
/// created. Returns the number of files removed.
///
/// # Errors
/// Some files still exist; they only use space.
pub fn remove_unfinished(disk: &dyn Disk, dir: &Path) -> Result<usize, SnapshotError> {
    let names = disk.list(dir).map_err(IoFailure::of(dir, "list"))?;
    let mut removed = 0;
    for name in names {
        let mut stems =
            [TEMPORARY_SUFFIX, INCOMING_SUFFIX].iter().filter_map(|suffix| name.strip_suffix(suffix));
        if stems.any(|stem| SnapshotName::parse(stem).is_some()) {
            let path = dir.join(name);
            disk.remove(&path).map_err(IoFailure::of(&path, "remove"))?;
            removed += 1;
        }
    }
    Ok(removed)
}

//! A server's directories: creating them, marking their format and locking them.
//!
//! ```text
//!  DATA_DIR/ostler.format    "ostler data format 1\n"
//!  DATA_DIR/ostler.lock      locked while a server runs; holds its process id
//!  DATA_DIR/snapshot/        see the module `snapshot`
//!  LOG_DIR/log/              see the module `log`; LOG_DIR is dataLogDir, by default DATA_DIR
//! ```
//!
//! A separate LOG_DIR has its own `ostler.format` and `ostler.lock`, so that two servers cannot
//! share it either.

use crate::disk::{Disk, DiskLock, Mode, read_exact_at};
use crate::io_failure::IoFailure;
use std::io;
use std::path::{Path, PathBuf};

const FORMAT_NAME: &str = "ostler.format";
const LOCK_NAME: &str = "ostler.lock";
const FORMAT: &str = "ostler data format 1\n";
/// Apache ZooKeeper's directory within its dataDir.
const ZOOKEEPER_NAME: &str = "version-2";
/// More than any marker or process id has.
const SMALL_FILE_BYTES_MAX: u64 = 64;

/// A server's locked directories; dropping it releases the locks.
pub struct DataDir {
    log: PathBuf,
    snapshot: PathBuf,
    _locks: Vec<Box<dyn DiskLock>>,
}

/// The directories cannot be used. Nothing in them was changed, except that missing directories
/// were created.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process holds the lock.
    #[error("another ostler server ({}) is using {}; stop it or use another directory for this server", holder(*pid), path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The other process; `None` if unknown.
        pid: Option<u32>,
    },
    /// Both settings name the same directory.
    #[error(
        "dataLogDir={} is the directory dataDir={} under another name; remove dataLogDir from the configuration",
        log_dir.display(), data_dir.display()
    )]
    Twice {
        /// `dataDir`.
        data_dir: PathBuf,
        /// `dataLogDir`.
        log_dir: PathBuf,
    },
    /// Another version wrote them.
    #[error("{}: holds data of an unknown format ({found:?}); this program knows only {FORMAT:?}. Start the version that wrote it", path.display())]
    Format {
        /// The marker file.
        path: PathBuf,
        /// Its content.
        found: String,
    },
    /// The directory has Apache ZooKeeper's data and none of Ostler's.
    #[error(
        "{}: holds the data of an Apache ZooKeeper server ({ZOOKEEPER_NAME}), which this program cannot read; starting here \
         would make all of it appear lost. Use another directory for this server",
        path.display()
    )]
    ZooKeeper {
        /// The directory.
        path: PathBuf,
    },
    /// The file system refused an operation.
    #[error(transparent)]
    Io(#[from] IoFailure),
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "of an unknown process id".to_owned(), |pid| format!("pid {pid}"))
}

impl DataDir {
    /// Creates the two directories if missing, takes the locks and checks the format. `log_dir` is
    /// ZooKeeper's dataLogDir. The content is left unchanged until [`DataDir::create`], so that it
    /// can be inspected first.
    ///
    /// # Errors
    /// See [`DataDirError`].
    pub fn open(disk: &dyn Disk, data_dir: &Path, log_dir: Option<&Path>) -> Result<Self, DataDirError> {
        let log_dir = log_dir.unwrap_or(data_dir);
        let mut locks = vec![hold(disk, data_dir)?];
        if log_dir != data_dir {
            if disk.is_same_dir(data_dir, log_dir).unwrap_or(false) {
                let (data_dir, log_dir) = (data_dir.to_owned(), log_dir.to_owned());
                return Err(DataDirError::Twice { data_dir, log_dir });
            }
            locks.push(hold(disk, log_dir)?);
        }
        Ok(Self { log: Self::log_in(log_dir), snapshot: Self::snapshot_in(data_dir), _locks: locks })
    }

    /// Creates the directories of the log and the snapshots if missing.
    ///
    /// # Errors
    /// [`DataDirError::Io`].
    pub fn create(&self, disk: &dyn Disk) -> Result<(), DataDirError> {
        for dir in [&self.log, &self.snapshot] {
            disk.create_dir(dir).map_err(IoFailure::of(dir, "create the directory"))?;
        }
        Ok(())
    }

    /// Path of the log in the given `dataLogDir`, opened or not.
    #[must_use]
    pub fn log_in(log_dir: &Path) -> PathBuf {
        log_dir.join("log")
    }

    /// Path of the snapshots in the given `dataDir`.
    #[must_use]
    pub fn snapshot_in(data_dir: &Path) -> PathBuf {
        data_dir.join("snapshot")
    }

    /// The directory of the log.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The directory of the snapshots.
    #[must_use]
    pub fn snapshot(&self) -> &Path {
        &self.snapshot
    }
}

/// Locks one directory and checks or creates its marker.
fn hold(disk: &dyn Disk, dir: &Path) -> Result<Box<dyn DiskLock>, DataDirError> {
    disk.create_dir(dir).map_err(IoFailure::of(dir, "create the directory"))?;
    let path = dir.join(LOCK_NAME);
    let lock = disk.lock(&path).map_err(IoFailure::of(&path, "lock"))?;
    let Some(lock) = lock else {
        let pid = read_small(disk, &path).ok().and_then(|text| text.trim().parse().ok());
        return Err(DataDirError::InUse { path: dir.to_owned(), pid });
    };
    check_format(disk, dir)?;
    // Padded, so that a shorter id overwrites a longer one.
    let pid = format!("{:<10}\n", std::process::id());
    let written = disk.open(&path, Mode::Write).and_then(|file| file.write_at(pid.as_bytes(), 0));
    written.map_err(IoFailure::of(&path, "write"))?;
    Ok(lock)
}

fn check_format(disk: &dyn Disk, dir: &Path) -> Result<(), DataDirError> {
    let path = dir.join(FORMAT_NAME);
    match read_small(disk, &path) {
        Ok(found) if found == FORMAT => return Ok(()),
        Ok(found) => return Err(DataDirError::Format { path, found }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(IoFailure::new(&path, "read", source).into()),
    }
    let names = disk.list(dir).map_err(IoFailure::of(dir, "list"))?;
    if names.iter().any(|name| name == ZOOKEEPER_NAME) {
        return Err(DataDirError::ZooKeeper { path: dir.to_owned() });
    }
    let temporary = dir.join(format!("{FORMAT_NAME}.tmp"));
    let make = || {
        let file = disk.open(&temporary, Mode::Create)?;
        file.write_at(FORMAT.as_bytes(), 0)?;
        file.sync_data()?;
        disk.rename(&temporary, &path)?;
        disk.sync_dir(dir)
    };
    Ok(make().map_err(IoFailure::of(&path, "write"))?)
}

fn read_small(disk: &dyn Disk, path: &Path) -> io::Result<String> {
    let file = disk.open(path, Mode::Read)?;
    let mut bytes = vec![0; file.len()?.min(SMALL_FILE_BYTES_MAX) as usize];
    read_exact_at(file.as_ref(), &mut bytes, 0)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

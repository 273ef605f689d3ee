//! Which server the log in a directory belongs to, and whether it belongs with the snapshots.
//!
//! ```text
//! LOG_DIR/log/ostler.owner   "log=8a…41 boot=17 begun=17 server=3 cluster=d2…70
//!                             data=/var/lib/ostler\n"     (all in one line)
//! ```
//!
//! `log` is a random number drawn once for each server; `ostler.member` has it too. The file lies
//! in the folder that is moved when the log gets another disk, so a log that was moved is still
//! recognised. One that was left behind, swapped, emptied or restored alone is noticed before
//! anything is served: a server that starts with its snapshots and without its log, or the reverse,
//! has lost what it acknowledged.
//!
//! Every start writes the file before `ostler.member` ([`Identity::save`]), and once more when that
//! is written and the log is open: `begun` is the last start that got so far. So `boot` is one
//! ahead of `ostler.member` only after a crash between the first two writes, and the log has a
//! segment unless `begun` is 0.

use std::io;
use std::path::{Path, PathBuf};

use storage::data_dir::DataDir;
use storage::disk::Disk;
use storage::log;
use storage::snapshot::{self, SnapshotError};

use super::identity::{self, Identity, IdentityError};
use super::recovery_error::RecoveryError;
use crate::config::Storage;
use group::GroupId;

/// The name of the file. The log never takes a file of this name for one of its own.
pub(super) const NAME: &str = "ostler.owner";

/// The contents of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    log: u64,
    boot: u64,
    /// The last start in which the log was opened; 0 if it never was.
    begun: u64,
    server: String,
    cluster: u64,
    data_dir: String,
}

/// Directories that do not belong together. Nothing in them was changed.
#[derive(Debug, thiserror::Error)]
pub enum LogPlaceError {
    /// The log is in another place.
    #[error(
        "{}: the log of this server is not here but in {}. Move that folder to {}, or let {}",
        wanted.display(), found.display(), wanted.display(), setting(found, data_dir)
    )]
    Elsewhere {
        /// Where it should be.
        wanted: PathBuf,
        /// Where it is.
        found: PathBuf,
        /// `dataDir`.
        data_dir: PathBuf,
    },
    /// There is no log.
    #[error(
        "{}: the log of this server is gone; it was in {} last. Mount its disk, or restore the log and {} from one backup. \
         Writes that were acknowledged after the newest snapshot are nowhere else on this server. If it is one of several, \
         empty {} too, but for myid: the others fill it again. A server that is alone goes on from its newest snapshot, \
         without those writes, when {} is removed",
        wanted.display(), last.display(), data_dir.display(), data_dir.display(), data_dir.join(identity::NAME).display()
    )]
    Gone {
        /// Where it should be.
        wanted: PathBuf,
        /// Where it was at the last start.
        last: PathBuf,
        /// `dataDir`.
        data_dir: PathBuf,
    },
    /// There is a log, and no data that it belongs with.
    #[error(
        "{}: holds the log of {owner}, and {} holds none of its data. Mount the disk of dataDir, set dataDir to that \
         directory, or restore it; to begin with nothing, empty both",
        log.display(), data_dir.display()
    )]
    NoData {
        /// The log.
        log: PathBuf,
        /// `dataDir`.
        data_dir: PathBuf,
        /// The owner of the log.
        owner: String,
    },
    /// A server without data would use a directory of another kind.
    #[error(
        "dataDir={} holds no data of a server, and {} is there: dataDir and dataLogDir are swapped, or one of them \
         belongs to another server. Set each to the directory it is for",
        data_dir.display(), found.display()
    )]
    Swapped {
        /// `dataDir`.
        data_dir: PathBuf,
        /// The file or folder that shows it.
        found: PathBuf,
    },
    /// The log belongs with other snapshots.
    #[error(
        "{}: holds the log of {owner}, which does not belong with {}, whose log was in {} last. Set dataDir and dataLogDir to \
         directories that belong together",
        log.display(), data_dir.display(), last.display()
    )]
    OtherLog {
        /// The log.
        log: PathBuf,
        /// `dataDir`.
        data_dir: PathBuf,
        /// The owner of the log.
        owner: String,
        /// Where the right log was at the last start.
        last: PathBuf,
    },
    /// One of the two directories is older than the other.
    #[error(
        "{} is of start {log_boot} of this server and {} of start {data_boot}: one of them is an old copy, or was restored alone. \
         Put the newer one of it back, or restore both from one backup",
        log.display(), data_dir.display()
    )]
    OldCopy {
        /// The log.
        log: PathBuf,
        /// Its count of starts.
        log_boot: u64,
        /// `dataDir`.
        data_dir: PathBuf,
        /// Its count of starts.
        data_boot: u64,
    },
}

/// The setting that makes the server find the log where it is.
fn setting(log: &Path, data_dir: &Path) -> String {
    if log == DataDir::log_in(data_dir) {
        "dataLogDir be away from the configuration".to_owned()
    } else {
        format!("dataLogDir be {}", log.parent().unwrap_or(log).display())
    }
}

impl Owner {
    /// The owner according to the file in the log of `log_dir`; `None` if there is no such file.
    fn find(disk: &dyn Disk, log_dir: &Path) -> Result<Option<Owner>, IdentityError> {
        let path = DataDir::log_in(log_dir).join(NAME);
        let Some(line) = identity::read(disk, &path)? else { return Ok(None) };
        parse(&line).map(Some).ok_or(IdentityError::Malformed { path, line })
    }

    fn save(&self, disk: &dyn Disk, log_dir: &Path) -> Result<(), IdentityError> {
        let Owner { log, boot, begun, server, cluster, data_dir } = self;
        let line = format!(
            "log={log:x} boot={boot} begun={begun} server={server} cluster={cluster:x} data={data_dir}\n"
        );
        identity::write(disk, &DataDir::log_in(log_dir), NAME, &line)
    }

    fn describe(&self) -> String {
        let Owner { server, cluster, data_dir, .. } = self;
        format!("server.{server} of cluster {cluster:#018x} (dataDir={data_dir})")
    }
}

fn parse(line: &str) -> Option<Owner> {
    let (head, data_dir) = line.strip_suffix('\n')?.split_once(" data=")?;
    let mut words = head.split(' ');
    let mut value = |key: &str| words.next()?.strip_prefix(key)?.strip_prefix('=');
    let log = u64::from_str_radix(value("log")?, 16).ok()?;
    let boot = value("boot")?.parse().ok()?;
    let begun = value("begun")?.parse().ok()?;
    let server = value("server")?.to_owned();
    let cluster = u64::from_str_radix(value("cluster")?, 16).ok()?;
    let data_dir = data_dir.to_owned();
    words.next().is_none().then_some(Owner { log, boot, begun, server, cluster, data_dir })
}

/// Writes into the folder of the log that it belongs to this server.
pub(super) fn sign(disk: &dyn Disk, identity: &Identity, data_dir: &Path) -> Result<(), IdentityError> {
    let known = Owner::find(disk, &identity.log_dir)?;
    let begun = known.as_ref().filter(|known| known.log == identity.log).map_or(0, |known| known.begun);
    let owner = owner(identity, data_dir, begun);
    if known.as_ref() == Some(&owner) { Ok(()) } else { owner.save(disk, &identity.log_dir) }
}

/// Records that the log is open and has a segment: from now on a log without one is an error.
pub(super) fn begun(disk: &dyn Disk, identity: &Identity, data_dir: &Path) -> Result<(), IdentityError> {
    owner(identity, data_dir, identity.boot).save(disk, &identity.log_dir)
}

fn owner(identity: &Identity, data_dir: &Path, begun: u64) -> Owner {
    Owner {
        log: identity.log,
        boot: identity.boot,
        begun,
        server: identity.server.to_string(),
        cluster: identity.cluster,
        data_dir: absolute(data_dir).to_string_lossy().into_owned(),
    }
}

/// The absolute path of `dir`, which stays valid when the server is started from another directory.
pub(super) fn absolute(dir: &Path) -> PathBuf {
    std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned())
}

/// Checks that the two directories belong together, without changing anything.
///
/// # Errors
/// They do not belong together, or cannot be read.
pub(super) fn check(disk: &dyn Disk, storage: &Storage) -> Result<(), RecoveryError> {
    let places = Places { disk, data_dir: &storage.data_dir, log_dir: &storage.log_dir };
    let identity = Identity::load(disk, places.data_dir)?;
    let owner = Owner::find(disk, places.log_dir)?;
    match (identity, owner) {
        (None, None) => places.check_new(),
        (None, Some(owner)) => places.check_without_data(&owner),
        (Some(identity), None) => places.check_without_log(&identity),
        (Some(identity), Some(owner)) => places.check_both(&identity, &owner),
    }
}

/// Whether there are snapshots in `data_dir`.
pub(super) fn has_snapshots(disk: &dyn Disk, data_dir: &Path) -> Result<bool, RecoveryError> {
    match snapshot::list(disk, &DataDir::snapshot_in(data_dir), GroupId::ROOT.0) {
        Ok(names) => Ok(!names.is_empty()),
        Err(SnapshotError::Io(failure)) if failure.source.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e.into()),
    }
}

/// The directories being checked.
struct Places<'a> {
    disk: &'a dyn Disk,
    data_dir: &'a Path,
    log_dir: &'a Path,
}

impl Places<'_> {
    fn log(&self) -> PathBuf {
        DataDir::log_in(self.log_dir)
    }

    fn has_segments(&self, log_dir: &Path) -> Result<bool, RecoveryError> {
        Ok(log::is_in(self.disk, &DataDir::log_in(log_dir))?)
    }

    /// Neither directory has a file that says it is in use.
    fn check_new(&self) -> Result<(), RecoveryError> {
        let data_dir = self.data_dir.to_owned();
        if self.has_segments(self.log_dir)? {
            let owner = "a server whose dataDir is elsewhere".to_owned();
            return Err(LogPlaceError::NoData { log: self.log(), data_dir, owner }.into());
        }
        if self.log_dir == self.data_dir {
            return Ok(());
        }
        if Identity::find(self.disk, self.log_dir)?.is_some() {
            let found = self.log_dir.join(identity::NAME);
            return Err(LogPlaceError::Swapped { data_dir, found }.into());
        }
        if Owner::find(self.disk, self.data_dir)?.is_some() || self.has_segments(self.data_dir)? {
            let found = DataDir::log_in(self.data_dir);
            return Err(LogPlaceError::Swapped { data_dir, found }.into());
        }
        Ok(())
    }

    /// Only the log directory has an owner. Until a server has its identity, its log is empty.
    fn check_without_data(&self, owner: &Owner) -> Result<(), RecoveryError> {
        if owner.begun == 0 && !self.has_segments(self.log_dir)? {
            return Ok(());
        }
        let (data_dir, owner) = (self.data_dir.to_owned(), owner.describe());
        Err(LogPlaceError::NoData { log: self.log(), data_dir, owner }.into())
    }

    /// No file names an owner of the log. Only a server that has not started since such files exist
    /// may have a log without one.
    fn check_without_log(&self, identity: &Identity) -> Result<(), RecoveryError> {
        if let Some(found) = self.find_elsewhere(identity)? {
            let (wanted, data_dir) = (self.log(), self.data_dir.to_owned());
            return Err(LogPlaceError::Elsewhere { wanted, found, data_dir }.into());
        }
        let is_unsigned = identity.log == 0;
        if is_unsigned && self.has_segments(self.log_dir)? {
            return Ok(());
        }
        if is_unsigned && !has_snapshots(self.disk, self.data_dir)? {
            return Ok(());
        }
        Err(self.gone(identity).into())
    }

    fn check_both(&self, identity: &Identity, owner: &Owner) -> Result<(), RecoveryError> {
        if owner.log != identity.log {
            let (log, data_dir, owner) = (self.log(), self.data_dir.to_owned(), owner.describe());
            let last = DataDir::log_in(&identity.log_dir);
            return Err(LogPlaceError::OtherLog { log, data_dir, owner, last }.into());
        }
        let is_cut_off = owner.begun < owner.boot && identity.boot + 1 == owner.boot;
        if identity.boot != owner.boot && !is_cut_off {
            let (log, data_dir) = (self.log(), self.data_dir.to_owned());
            let (log_boot, data_boot) = (owner.boot, identity.boot);
            return Err(LogPlaceError::OldCopy { log, log_boot, data_dir, data_boot }.into());
        }
        // A member that waits to be reseeded has set its log aside.
        if owner.begun > 0 && !identity.awaits_reseed() && !self.has_segments(self.log_dir)? {
            return Err(self.gone(identity).into());
        }
        Ok(())
    }

    /// Another place that has the log of this server.
    fn find_elsewhere(&self, identity: &Identity) -> Result<Option<PathBuf>, RecoveryError> {
        let here = absolute(self.log_dir);
        for log_dir in [self.data_dir, &identity.log_dir] {
            if log_dir.as_os_str().is_empty() || absolute(log_dir) == here {
                continue;
            }
            let is_its = match Owner::find(self.disk, log_dir)? {
                Some(owner) => owner.log == identity.log,
                None => identity.log == 0 && self.has_segments(log_dir)?,
            };
            if is_its {
                return Ok(Some(DataDir::log_in(log_dir)));
            }
        }
        Ok(None)
    }

    fn gone(&self, identity: &Identity) -> LogPlaceError {
        let last = DataDir::log_in(&identity.log_dir);
        LogPlaceError::Gone { wanted: self.log(), last, data_dir: self.data_dir.to_owned() }
    }
}

//! A member whose data are damaged gives up its identity and is reseeded by the others.
//!
//! A damaged log is a lost one: after the damage there may have been a promise, or an entry that
//! the group counts on. So the member must not go on under its id. As with an empty disk, it has no
//! vote until the leader has a place for it under a new id and the whole state has arrived. Unlike
//! an empty disk, it knows its cluster, and so it never founds one: if all servers had their data
//! set aside at once, none of them would start over with an empty state.
//!
//! In this order, so that no crash can leave a member with part of its history:
//!
//! 1. `ostler.member` says from now on that this server is no member of that cluster; durably.
//! 2. Segments and snapshots are renamed to `….damaged`, which nothing reads. A server that is no
//!    member and finds some does this again.
//!
//! It happens once. If there are damaged files from an earlier time, the start is refused: the disk
//! is not to be trusted, and the operator should look at it.

use std::io;
use std::path::{Path, PathBuf};

use storage::IoFailure;
use storage::data_dir::DataDir;
use storage::disk::Disk;
use storage::log::{HeaderError, OpenError};
use storage::snapshot::SnapshotError;

use super::identity::Identity;
use super::log_owner;
use super::recovery_error::RecoveryError;
use crate::config::Config;

/// The suffix of a file that was set aside.
const SUFFIX: &str = ".damaged";

/// Whether the files are damaged, rather than the disk failing at this moment, the configuration
/// being wrong, or the files coming from another version.
fn is_damage(why: &RecoveryError) -> bool {
    match why {
        RecoveryError::Log(OpenError::Header { source, .. }) => {
            !matches!(source, HeaderError::Io(_) | HeaderError::Version(_))
        }
        RecoveryError::Log(OpenError::Missing { .. } | OpenError::Damaged { .. })
        | RecoveryError::Snapshot(SnapshotError::Damaged { .. })
        | RecoveryError::Gap { .. }
        | RecoveryError::Hole { .. }
        | RecoveryError::Leftover { .. } => true,
        _ => false,
    }
}

/// Turns the directories into those of a server that waits to be reseeded, if `why` is damage and
/// there are other servers to do it.
///
/// # Errors
/// `why`, if the data are not to be set aside; or setting them aside failed.
pub(super) fn set_aside(disk: &dyn Disk, config: &Config, why: RecoveryError) -> Result<(), RecoveryError> {
    let storage = &config.storage;
    let ensemble = config.ensemble.as_ref();
    let has_others = ensemble.is_some_and(|ensemble| !ensemble.voters().eq([config.server_id]));
    let identity = Identity::find(disk, &storage.data_dir)?.filter(|identity| identity.cluster != 0);
    let Some(identity) = identity.filter(|_| has_others && is_damage(&why)) else { return Err(why) };
    // The log last: while a part of it is there, no new segment takes the name of a damaged one.
    let dirs = [DataDir::snapshot_in(&storage.data_dir), DataDir::log_in(&storage.log_dir)];
    if !identity.awaits_reseed() {
        if let Some(path) = earlier(disk, &dirs)? {
            return Err(RecoveryError::DamagedAgain { path, source: Box::new(why) });
        }
        tracing::error!("{why}");
        tracing::error!(
            "this server gives up its vote and its data, which are kept as *{SUFFIX}, and waits for its leader to fill it again"
        );
        identity.awaiting_reseed(disk.entropy()).save(disk, &storage.data_dir)?;
    }
    for dir in &dirs {
        rename_all(disk, dir)?;
    }
    Ok(())
}

/// A file that was set aside before.
fn earlier(disk: &dyn Disk, dirs: &[PathBuf]) -> Result<Option<PathBuf>, RecoveryError> {
    for dir in dirs {
        let names = disk.list(dir).map_err(failed(dir, "list"))?;
        if let Some(name) = names.iter().find(|name| name.ends_with(SUFFIX)) {
            return Ok(Some(dir.join(name)));
        }
    }
    Ok(None)
}

fn rename_all(disk: &dyn Disk, dir: &Path) -> Result<(), RecoveryError> {
    for name in disk.list(dir).map_err(failed(dir, "list"))? {
        // The owner file stays, so that the log's owner is still known.
        if !name.ends_with(SUFFIX) && name != log_owner::NAME {
            let path = dir.join(&name);
            disk.rename(&path, &dir.join(name + SUFFIX)).map_err(failed(&path, "rename"))?;
        }
    }
    disk.sync_dir(dir).map_err(failed(dir, "sync"))
}

fn failed(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> RecoveryError {
    let failed = IoFailure::of(path, action);
    move |source| RecoveryError::SetAside(failed(source))
}

//! Why a server does not start on the data it finds.

use std::path::PathBuf;

use state::snapshot::LoadError;
use storage::IoFailure;
use storage::data_dir::DataDirError;
use storage::log::{AppendError, FlushError, OpenError};
use storage::snapshot::SnapshotError;

use super::identity::IdentityError;
use super::log_owner::LogPlaceError;
use crate::config::ServerId;

/// Why the data cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// A directory is missing, and the configuration forbids creating it.
    #[error("{}: there is no such directory, and datadir.autocreate=false: {source}", dir.display())]
    NoDirectory {
        /// `dataDir` or `dataLogDir`.
        dir: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// There are no data, and the configuration forbids starting without any.
    #[error(
        "{}: holds no data, and db.autocreate=false. Mount its disk, or restore the data; to begin with nothing, create the file {}",
        dir.display(), marker.display()
    )]
    Empty {
        /// `dataDir`.
        dir: PathBuf,
        /// The file that allows it.
        marker: PathBuf,
    },
    /// The directories cannot be opened, or another process has them.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The log has no room.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The log cannot be flushed.
    #[error(transparent)]
    Flush(#[from] FlushError),
    /// The identity cannot be read or written, or does not match the configuration.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The log is not the one that belongs with the snapshots.
    #[error(transparent)]
    LogPlace(#[from] LogPlaceError),
    /// The log cannot be opened.
    #[error(transparent)]
    Log(#[from] OpenError),
    /// A snapshot cannot be listed or read.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// A snapshot is undamaged but its contents are invalid.
    #[error("{}: the snapshot cannot be loaded: {source}", path.display())]
    Load {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: LoadError,
    },
    /// The engine's part of a snapshot cannot be read.
    #[error("{}: the snapshot does not begin with its membership", path.display())]
    Meta {
        /// The file.
        path: PathBuf,
    },
    /// A snapshot that was listed before has gone.
    #[error("{}: the snapshot at entry {index} has gone", dir.display())]
    NoSnapshot {
        /// The directory of the snapshots.
        dir: PathBuf,
        /// The last entry in the snapshot.
        index: u64,
    },
    /// The log does not reach back to the newest usable snapshot, or to the beginning if there is
    /// none.
    #[error(
        "{}: the log begins at entry {first}, but the newest usable snapshot ends at {snapshot}. \
         Put back the missing snapshot or log segments from a backup, or start with an empty directory", dir.display()
    )]
    Gap {
        /// The directory of the log.
        dir: PathBuf,
        /// First entry of the log.
        first: u64,
        /// Last entry of the snapshot.
        snapshot: u64,
    },
    /// The configuration names this server alone, and its data are those of one member of several.
    #[error(
        "{}: holds the data of server.{server} of an ensemble in which {voters} vote, and the configuration names no other server. Put the \
         server.N lines of the ensemble back, and start more than half of its voters. If they are lost for ever, `ostler recover` makes \
         a new ensemble of this server alone", dir.display()
    )]
    NotAlone {
        /// `dataDir`.
        dir: PathBuf,
        /// The server whose data they are.
        server: ServerId,
        /// The voters.
        voters: String,
    },
    /// The log has records of more groups than are configured.
    #[error("{}: the log has records of group {group}: ostler.testGroups must be greater than that", dir.display())]
    MoreGroups {
        /// The directory of the log.
        dir: PathBuf,
        /// The group.
        group: u64,
    },
    /// The log has an entry of a kind that this version does not know.
    #[error("{}: entry {index} of the log is of kind {kind}, which this version does not know", dir.display())]
    EntryKind {
        /// The directory of the log.
        dir: PathBuf,
        /// The entry's index.
        index: u64,
        /// Its kind.
        kind: u8,
    },
    /// A server that was reset to be reseeded still has a log or a snapshot.
    #[error("{}: there is a log or a snapshot, and no member of the ensemble that they belong to", dir.display())]
    Leftover {
        /// The directory of the log.
        dir: PathBuf,
    },
    /// The data are damaged, for the second time.
    #[error(
        "{source}. {} is what damage has left before: check the disk, then remove what is called *.damaged, so that this member copies \
         everything from the others once more", path.display()
    )]
    DamagedAgain {
        /// A file that was set aside the first time.
        path: PathBuf,
        /// The damage.
        source: Box<RecoveryError>,
    },
    /// Damaged files cannot be set aside.
    #[error("{failure} it to set damaged data aside: {cause}", failure = .0, cause = .0.source)]
    SetAside(#[source] IoFailure),
    /// The log lacks entries that only a damaged snapshot had: a power loss took them under
    /// `forceSync=no`.
    #[error(
        "{}: the log goes on from entry {last} with entry {next}; what is between was in a newer snapshot that cannot be used. \
         Put back that snapshot from a backup, or start with an empty directory", dir.display()
    )]
    Hole {
        /// The directory of the log.
        dir: PathBuf,
        /// The last entry before the hole.
        last: u64,
        /// The first one after it.
        next: u64,
    },
}

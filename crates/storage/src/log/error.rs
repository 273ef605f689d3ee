//! What can go wrong with the log, one type per operation.

use super::segment::HeaderError;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// The log cannot be opened. Nothing on disk was changed unless the variant says so.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The options contradict each other.
    #[error("segment size {found} is outside of {min} to {max} bytes")]
    SegmentBytes {
        /// The value given.
        found: u64,
        /// Smallest one allowed.
        min: u64,
        /// Largest one allowed.
        max: u64,
    },
    /// The file system refused an operation.
    #[error("{}: cannot {action}; the log stays closed, and opening it again is safe", path.display())]
    Io {
        /// File or directory.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A segment's header is not what was written.
    #[error(
        "{}: not a usable log segment; the log stays closed and nothing was changed. Restore the data directory from a \
         backup, or, in an ensemble, empty it so that this member copies everything from the others",
        path.display()
    )]
    Header {
        /// The segment's file.
        path: PathBuf,
        /// What is wrong with it.
        source: HeaderError,
    },
    /// A segment between others is not there.
    #[error(
        "{}: the segment is missing although later ones exist; the log stays closed and nothing was changed. Put the file \
         back, or restore the data directory from a backup, or, in an ensemble, empty it so that this member copies \
         everything from the others",
        path.display()
    )]
    Missing {
        /// The file that should be there.
        path: PathBuf,
    },
    /// A record that was safely on disk is not good any more.
    #[error(
        "{}: damaged record at byte {offset}: it was on disk before the good record at byte {proof_offset} of {} was \
         written, so this is not a write cut short by a crash but damage by the disk or another program. All before byte \
         {offset} is intact. The log stays closed and nothing was changed. Restore the data directory from a backup, \
         or, in an ensemble, empty it so that this member copies everything from the others",
        path.display(), proof_path.display()
    )]
    Damaged {
        /// The segment's file.
        path: PathBuf,
        /// Where the bad record starts.
        offset: u32,
        /// File of a good record that vouches for the bad one.
        proof_path: PathBuf,
        /// Where that good record starts.
        proof_offset: u32,
    },
    /// A record is intact but means nothing to this program.
    #[error(
        "{}: record of unknown kind {tag} at byte {offset}; it is intact, so a newer version wrote it. The log stays \
         closed and nothing was changed. Start that version again",
        path.display()
    )]
    Unknown {
        /// The segment's file.
        path: PathBuf,
        /// Where the record starts.
        offset: u32,
        /// Its kind.
        tag: u8,
    },
    /// No segment could be made to write to.
    #[error("the log has no segment to write to and stays closed")]
    Prepare(#[from] PrepareError),
}

/// A next segment cannot be made ready.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The disk is full.
    #[error("{}: no space, or no file descriptor, for a log segment of {bytes} bytes; it is tried again when the log next needs it", path.display())]
    NoSpace {
        /// The file that does not fit.
        path: PathBuf,
        /// Its length.
        bytes: u64,
    },
    /// The file system refused an operation.
    #[error("{}: cannot {action} while making the next log segment", path.display())]
    Io {
        /// File or directory.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// All 2^32 sequence numbers are used.
    #[error("the log has used up its segment numbers")]
    Exhausted,
}

/// A record was not taken. What was appended before is not touched by this.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The record needs a further segment and the disk is full. Everything appended before has its space and can be flushed;
    /// appending again succeeds once there is space.
    #[error("no space, or no file descriptor, for a further log segment of {bytes} bytes ({})", path.display())]
    NoSpace {
        /// The file that does not fit.
        path: PathBuf,
        /// Its length.
        bytes: u64,
    },
    /// The data is longer than [`DATA_BYTES_MAX`](super::DATA_BYTES_MAX).
    #[error("an entry of {bytes} bytes is longer than the log takes")]
    TooLong {
        /// Length of the data.
        bytes: usize,
    },
    /// The log has failed for good.
    #[error(transparent)]
    Failed(#[from] FlushError),
}

/// The log has failed for good: what is on disk of the last flush is unknown, so nothing of it may be acknowledged, and the
/// process must stop. Opening the log again finds out what survived.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "{}: cannot {action} the log from byte {offset} on; nothing written since may be acknowledged, and this member must stop",
    path.display()
)]
pub struct FlushError {
    /// File of the failed operation.
    pub path: PathBuf,
    /// What was tried.
    pub action: &'static str,
    /// Where in that file the bytes start that are now in doubt.
    pub offset: u32,
    /// What the system said.
    #[source]
    pub source: Arc<io::Error>,
}

/// Old segments were not all freed; they are tried again by the next call. No record is lost by this.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}: cannot {action} an old log segment; it keeps its space until a later attempt succeeds", path.display())]
pub struct CompactError {
    /// File or directory.
    pub path: PathBuf,
    /// What was tried.
    pub action: &'static str,
    /// What the system said.
    #[source]
    pub source: Arc<io::Error>,
}

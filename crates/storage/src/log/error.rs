//! Errors of the log, one type per operation.

use super::segment::HeaderError;
use crate::io_failure::IoFailure;
use std::path::PathBuf;

/// The log cannot be opened. Nothing on disk was changed unless the variant says so.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The options contradict each other.
    #[error("segment size {found} is outside {min} to {max} bytes")]
    SegmentBytes {
        /// The value configured.
        found: u64,
        /// Smallest value allowed.
        min: u64,
        /// Largest value allowed.
        max: u64,
    },
    /// The file system refused an operation.
    #[error("{0}; the log stays closed, and opening it again is safe")]
    Io(#[from] IoFailure),
    /// A segment's header is damaged or does not belong there.
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
    /// A segment is missing between others.
    #[error(
        "{}: the segment is missing although later ones exist; the log stays closed and nothing was changed. Put the file \
         back, or restore the data directory from a backup, or, in an ensemble, empty it so that this member copies \
         everything from the others",
        path.display()
    )]
    Missing {
        /// The missing file.
        path: PathBuf,
    },
    /// A record that was safely on disk is now invalid.
    #[error(
        "{}: damaged record at byte {offset}: it was on disk before the good record at byte {proof_offset} of {} was \
         written, so the disk or another program damaged it, not a crash during a write. Everything before byte \
         {offset} is intact. The log stays closed and nothing was changed. Restore the data directory from a backup, \
         or, in an ensemble, empty it so that this member copies everything from the others",
        path.display(), proof_path.display()
    )]
    Damaged {
        /// The segment's file.
        path: PathBuf,
        /// Start of the bad record.
        offset: u32,
        /// File of a good record that proves the bad one was on disk.
        proof_path: PathBuf,
        /// Start of that good record.
        proof_offset: u32,
    },
    /// A record is intact but its kind is unknown.
    #[error(
        "{}: record of unknown kind {tag} at byte {offset}; it is intact, so a newer version wrote it. The log stays \
         closed and nothing was changed. Start that version again",
        path.display()
    )]
    Unknown {
        /// The segment's file.
        path: PathBuf,
        /// Start of the record.
        offset: u32,
        /// Its kind.
        tag: u8,
    },
    /// No writable segment could be created.
    #[error("the log has no segment to write to and stays closed")]
    Prepare(#[from] PrepareError),
}

/// The next segment cannot be prepared.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The disk is full.
    #[error("{}: no space, or no file descriptor, for a log segment of {bytes} bytes; it will be retried when the log next needs it", path.display())]
    NoSpace {
        /// The file that does not fit.
        path: PathBuf,
        /// Its length.
        bytes: u64,
    },
    /// The file system refused an operation.
    #[error("{0} while preparing the next log segment")]
    Io(#[from] IoFailure),
    /// All 2^32 sequence numbers are used.
    #[error("all segment numbers of the log are used")]
    Exhausted,
}

/// A record was rejected. Records appended before are unaffected.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The record needs another segment and the disk is full. Everything appended before has its
    /// space and can be flushed; appending can be retried and succeeds once there is space.
    #[error("no space, or no file descriptor, for another log segment of {bytes} bytes ({})", path.display())]
    NoSpace {
        /// The file that does not fit.
        path: PathBuf,
        /// Its length.
        bytes: u64,
    },
    /// The data is longer than [`DATA_BYTES_MAX`](super::DATA_BYTES_MAX).
    #[error("an entry of {bytes} bytes exceeds the log's limit")]
    TooLong {
        /// Length of the data.
        bytes: usize,
    },
    /// The log failed permanently.
    #[error(transparent)]
    Failed(#[from] FlushError),
}

/// The log failed permanently: it is unknown how much of the last flush is on disk, so none of it
/// may be acknowledged, and the process must stop. Reopening the log finds what survived.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "{failure} the log from byte {offset} on; nothing written since may be acknowledged, and this member must stop"
)]
pub struct FlushError {
    /// The failed operation.
    #[source]
    pub failure: IoFailure,
    /// Where in that file the uncertain bytes start.
    pub offset: u32,
}

/// Some old segments were not freed; the next call retries them. No record is lost.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0} an old log segment; it keeps its space until a later attempt succeeds")]
pub struct CompactError(#[from] pub IoFailure);

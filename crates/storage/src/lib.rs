//! Log and snapshots on disk, safe against crashes.
//!
//! This crate knows neither znodes nor consensus. It stores a [`log`] of records, which after a
//! crash at any instant still has everything flushed, and [`snapshot`] files that are either
//! complete or absent. All access goes through the minimal trait [`disk::Disk`], so that tests can
//! tear, lose and reorder unsynced data, and crash at every single operation.

// These macros panic when the reader of the stream is gone; use `tracing`.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod data_dir;
pub mod disk;
pub mod inspect;
mod io_failure;
pub mod log;
pub mod snapshot;

pub use data_dir::{DataDir, DataDirError};
#[cfg(any(test, feature = "testing"))]
pub use disk::SimDisk;
pub use disk::{Disk, DiskFile, RealDisk};
pub use io_failure::IoFailure;
pub use log::{AppendError, CompactError, FlushError, Log, LogOptions, OpenError, PrepareError, Record};
pub use snapshot::{SnapshotError, SnapshotName, SnapshotReader, SnapshotWriter};

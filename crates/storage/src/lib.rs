//! Log and snapshots on disk: bytes that survive a crash.
//!
//! This crate knows neither znodes nor consensus. It keeps two kinds of bytes: a [`log`] of records, of which everything
//! flushed is found again after a crash at any instant, and [`snapshot`] files that are either complete or not there.
//! All of it stands on the narrow trait [`disk::Disk`], so that a test can tear, lose and reorder what was not
//! synced, and can crash at every single operation.

// A stream whose reader has gone makes these panic; what is said goes through `tracing`.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod data_dir;
pub mod disk;
pub mod inspect;
pub mod log;
pub mod snapshot;

pub use data_dir::{DataDir, DataDirError};
pub use disk::{Disk, DiskFile, RealDisk, SimDisk};
pub use log::{AppendError, CompactError, FlushError, Log, LogOptions, OpenError, PrepareError, Record};
pub use snapshot::{SnapshotError, SnapshotName, SnapshotReader, SnapshotWriter};

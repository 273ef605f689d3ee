//! The way back when more than half of the voters of an ensemble are lost for ever.

use crate::config::Config;
use crate::host::force_new_cluster;
pub use crate::host::force_new_cluster::{Found, SalvageError};
use crate::host::recovery::Files;

/// What this server has. It must not run.
///
/// # Errors
/// It runs, it has no part in an ensemble, or its data cannot be used.
pub fn look(config: &Config) -> Result<Found, SalvageError> {
    force_new_cluster::look(&Files::real(), config)
}

/// Makes this server the only voter of a new ensemble, which goes on from what it has: also from what only it may have known of. It must
/// not run, and no other server of the old ensemble may go on without it: each would take itself for the right one.
///
/// May be repeated; an attempt that was interrupted must be.
///
/// # Errors
/// As [`look`], or the disk failed.
pub fn found_anew(config: &Config) -> Result<Found, SalvageError> {
    force_new_cluster::found_anew(&Files::real(), config)
}

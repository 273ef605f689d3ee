//! Recovery of an ensemble that has lost more than half of its voters for ever.

use crate::config::Config;
use crate::host::force_new_cluster;
pub use crate::host::force_new_cluster::{ForceNewClusterError, Found};
use crate::host::recovery::Files;

/// Reports the state on this server's disk. The server must not be running.
///
/// # Errors
/// The server is running, is not part of an ensemble, or its data cannot be used.
pub fn look(config: &Config) -> Result<Found, ForceNewClusterError> {
    force_new_cluster::look(&Files::real(), config)
}

/// Makes this server the only voter of a new ensemble that continues from this server's state,
/// including entries that no other server may have known. The server must not be running, and no
/// other server of the old ensemble may go on without it: each would consider itself the right one.
///
/// May be repeated; an interrupted attempt must be.
///
/// # Errors
/// As [`look`], or the disk failed.
pub fn force_new_cluster(config: &Config) -> Result<Found, ForceNewClusterError> {
    force_new_cluster::force_new_cluster(&Files::real(), config)
}

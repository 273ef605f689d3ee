//! News of data that change outside the built-in tree.

use std::sync::Arc;

use server::shared::Shared;
use state::change::ChangeKind;

/// Tells clients, from any thread, that data outside the built-in tree have changed: their watches
/// fire.
#[derive(Clone)]
pub struct Announcer(pub(super) Arc<Shared>);

impl std::fmt::Debug for Announcer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Announcer")
    }
}

/// The path is not one that a znode can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the path of a znode")]
pub struct InvalidPath(String);

impl Announcer {
    /// The data of a znode have changed.
    ///
    /// # Errors
    /// The path is invalid.
    pub fn changed(&self, path: &str) -> Result<(), InvalidPath> {
        self.announce(ChangeKind::DataChanged, path)
    }

    /// There is a new znode.
    ///
    /// # Errors
    /// The path is invalid.
    pub fn created(&self, path: &str) -> Result<(), InvalidPath> {
        self.announce(ChangeKind::Created, path)
    }

    /// A znode has gone.
    ///
    /// # Errors
    /// The path is invalid.
    pub fn deleted(&self, path: &str) -> Result<(), InvalidPath> {
        self.announce(ChangeKind::Deleted, path)
    }

    fn announce(&self, kind: ChangeKind, path: &str) -> Result<(), InvalidPath> {
        if wire::path::validate(path).is_err() {
            return Err(InvalidPath(path.to_owned()));
        }
        self.0.announce(kind, path);
        Ok(())
    }
}

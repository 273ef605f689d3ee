//! What a branch does to a znode.

use client::{Acl, acl};

/// A write of a branch, or a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ZnodeOperation {
    /// Creates a persistent znode, which must not exist.
    Create {
        /// Its path.
        path: String,
        /// Its data.
        data: Vec<u8>,
        /// Its ACL.
        acl: Vec<Acl>,
    },
    /// Replaces the data of a znode, of that version if it is not -1.
    SetData {
        /// The znode.
        path: String,
        /// The new data.
        data: Vec<u8>,
        /// The version expected, or -1.
        version: i32,
    },
    /// Deletes a znode without children, of that version if it is not -1.
    Delete {
        /// The znode.
        path: String,
        /// The version expected, or -1.
        version: i32,
    },
    /// Requires that a znode exists, in that version if it is not -1, when the transaction is
    /// prepared; nobody who writes through a participant changes it before the commit.
    Check {
        /// The znode.
        path: String,
        /// The version expected, or -1.
        version: i32,
    },
}

impl ZnodeOperation {
    /// Creates a znode that everyone may read and write.
    pub fn create(path: &str, data: &[u8]) -> Self {
        Self::Create { path: path.to_owned(), data: data.to_vec(), acl: acl::open_acl() }
    }

    /// Replaces the data of a znode of this version, or of any with -1.
    pub fn set_data(path: &str, data: &[u8], version: i32) -> Self {
        Self::SetData { path: path.to_owned(), data: data.to_vec(), version }
    }

    /// Deletes a znode of this version, or of any with -1.
    pub fn delete(path: &str, version: i32) -> Self {
        Self::Delete { path: path.to_owned(), version }
    }

    /// Requires that a znode has this version, or any with -1.
    pub fn check(path: &str, version: i32) -> Self {
        Self::Check { path: path.to_owned(), version }
    }

    /// The znode.
    pub fn path(&self) -> &str {
        match self {
            Self::Create { path, .. }
            | Self::SetData { path, .. }
            | Self::Delete { path, .. }
            | Self::Check { path, .. } => path,
        }
    }
}

//! Building a tree from the images of a snapshot, in one pass.

use super::arena::IDS_MAX;
use super::node::{Changes, NOWHERE, Owner, Record};
use super::{NodeId, NodeImage, Tree};

/// Why an image does not fit the tree. Nothing was changed, but the snapshot as a whole is
/// unusable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// Ids must be in ascending order, starting with the root's.
    #[error("znode {id} comes after {after}")]
    Order {
        /// The image's id.
        id: NodeId,
        /// The highest id before it.
        after: NodeId,
    },
    /// The id exceeds the limit of a tree.
    #[error("id {0} is too large")]
    IdTooLarge(NodeId),
    /// The root must be its own parent and have no name.
    #[error("the root names parent {parent} and is called {name:?}")]
    NotTheRoot {
        /// The image's parent.
        parent: NodeId,
        /// The image's name.
        name: String,
    },
    /// The parent does not exist; parents precede their children.
    #[error("znode {id} has no parent {parent}")]
    ParentMissing {
        /// The image's id.
        id: NodeId,
        /// The image's parent.
        parent: NodeId,
    },
    /// Ephemeral znodes have no children.
    #[error("the parent {parent} of znode {id} is ephemeral")]
    ParentEphemeral {
        /// The image's id.
        id: NodeId,
        /// The image's parent.
        parent: NodeId,
    },
    /// The name is invalid in a path.
    #[error("znode {id} has the invalid name {name:?}")]
    InvalidName {
        /// The image's id.
        id: NodeId,
        /// The image's name.
        name: String,
    },
    /// The parent already has a child with this name.
    #[error("znode {id} has the name {name:?} of its sibling {sibling}")]
    DuplicateName {
        /// The image's id.
        id: NodeId,
        /// The existing child.
        sibling: NodeId,
        /// The name of both.
        name: String,
    },
}

impl Tree {
    /// Adds one znode of a snapshot to a tree that was created by [`Tree::new`] and has only been
    /// loaded since. Images must be in ascending order of ids, as they are written.
    ///
    /// # Panics
    /// While a snapshot is being written.
    pub fn load(&mut self, image: NodeImage<'_>) -> Result<(), LoadError> {
        assert!(self.snapshot.is_none(), "the tree is not in use");
        if image.id == NodeId::ROOT {
            return self.load_root(image);
        }
        let (id, parent) = (image.id, image.parent);
        if id <= self.loaded {
            return Err(LoadError::Order { id, after: self.loaded });
        }
        if id.0 >= IDS_MAX {
            return Err(LoadError::IdTooLarge(id));
        }
        let Some(parent_record) = self.arena.get(parent.0) else {
            return Err(LoadError::ParentMissing { id, parent });
        };
        if matches!(Owner::from_stored(parent_record.owner), Owner::Ephemeral(_)) {
            return Err(LoadError::ParentEphemeral { id, parent });
        }
        if !is_valid_name(image.name) {
            return Err(LoadError::InvalidName { id, name: image.name.to_owned() });
        }
        let hash = self.index.hash(parent.0, image.name.as_bytes());
        if let Some(sibling) = self.child_hashed(hash, parent, image.name) {
            return Err(LoadError::DuplicateName { id, sibling, name: image.name.to_owned() });
        }
        self.loaded = id;
        let text = self.store(image.name, image.data);
        let record = Record::new(parent.0, text, image.acl, image.owner, image.czxid, image.ctime);
        self.attach(hash, id.0, record);
        self.restore(image);
        Ok(())
    }

    fn load_root(&mut self, image: NodeImage<'_>) -> Result<(), LoadError> {
        if self.len() > 1 || self.loaded != NodeId::ROOT {
            return Err(LoadError::Order { id: image.id, after: self.loaded });
        }
        if image.parent != NodeId::ROOT || !image.name.is_empty() {
            return Err(LoadError::NotTheRoot { parent: image.parent, name: image.name.to_owned() });
        }
        let text = self.store("", image.data);
        *self.record_mut(0) = Record::new(0, text, image.acl, image.owner, image.czxid, image.ctime);
        self.data_bytes = super::ROOT_PATH_BYTES + image.data.map_or(0, |data| data.len() as u64);
        self.restore(image);
        Ok(())
    }

    /// Sets the fields outside the record that differ from those after a creation.
    fn restore(&mut self, image: NodeImage<'_>) {
        let NodeImage { mzxid, mtime, version, aversion, .. } = image;
        if (mzxid, mtime, version, aversion) != (image.czxid, image.ctime, 0, 0) {
            let changes = self.changes.insert(Changes { mzxid, mtime, version, aversion });
            let record = self.record_mut(image.id.0);
            debug_assert_eq!(record.changes, NOWHERE);
            record.changes = changes;
        }
        if (image.pzxid, image.cversion) != (image.czxid, 0) {
            let directory = self.directory_mut(image.id.0);
            directory.pzxid = image.pzxid;
            directory.cversion = image.cversion;
        }
    }
}

/// Whether [`wire::path::validate`] accepts the name as one segment, with a fast path for usual
/// names.
fn is_valid_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'/' && byte != b'.';
    if !name.is_empty() && name.bytes().all(is_plain) {
        return true;
    }
    !name.is_empty() && !name.contains('/') && wire::path::validate(&format!("/{name}")).is_ok()
}

//! What planning reads.

use wire::code::ErrorCode;
use wire::stat::Stat;

use super::DataTree;
use crate::acl::Asker;
use crate::command::Features;
use crate::tree::{NodeId, Owner};

/// The client and the settings for which an operation is planned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'c> {
    pub(crate) session: i64,
    pub(crate) asker: Asker<'c>,
    pub(crate) features: Features,
}

impl<'c> Context<'c> {
    pub(crate) fn new(session: i64, identities: &'c [u8], features: Features) -> Self {
        let asker = Asker { identities, skip_acl: features.has(Features::SKIP_ACL) };
        Self { session, asker, features }
    }

    pub(crate) fn has_extensions(&self) -> bool {
        self.features.has(Features::KEEPER_EXTENSIONS)
    }

    /// Whether the super user can put grants in force.
    pub(crate) fn has_grants(&self) -> bool {
        self.features.has(Features::GRANTS)
    }

    pub(crate) fn enforces_quota(&self) -> bool {
        self.features.has(Features::ENFORCE_QUOTA)
    }
}

/// What is known of a node before a step.
#[derive(Clone, Copy)]
pub(crate) struct Facts<'v> {
    /// Its id in the tree; `None` if an earlier step of the same multi creates it.
    pub(crate) id: Option<NodeId>,
    pub(crate) stat: Stat,
    pub(crate) owner: Owner,
    /// Number of children ever created, which is the next sequential child's number.
    pub(crate) children_ever: i32,
    /// Raw jute `vector<ACL>`.
    pub(crate) acl: &'v [u8],
}

impl Facts<'_> {
    /// Fails unless the version is the node's or -1.
    pub(crate) fn check_version(&self, version: i32) -> Result<(), ErrorCode> {
        if version == -1 || version == self.stat.version { Ok(()) } else { Err(ErrorCode::BadVersion) }
    }
}

/// The tree as the next step will find it. A node is found by its path once, and its descendants by
/// descending from there: paths can have half as many levels as bytes, and looking up each node of
/// a deep chain from the root takes quadratic time.
pub(crate) trait View {
    /// A node of the view.
    type Place: Copy;

    /// The node at a valid path.
    fn find(&self, path: &str) -> Option<Self::Place>;

    /// What is known of a node.
    fn facts(&self, place: Self::Place) -> Facts<'_>;

    /// Appends the children of a node, ordered by name.
    fn push_children(&self, place: Self::Place, to: &mut Vec<Self::Place>);

    /// The data tree before any step.
    fn before(&self) -> &DataTree;

    /// The facts of the node at a valid path.
    #[inline]
    fn look(&self, path: &str) -> Option<Facts<'_>> {
        self.find(path).map(|place| self.facts(place))
    }
}

/// The tree as it is: the view of an operation outside a multi.
#[derive(Clone, Copy)]
pub(crate) struct Direct<'t>(pub(crate) &'t DataTree);

impl<'t> Direct<'t> {
    /// [`View::facts`], for the lifetime of the data tree.
    #[inline]
    pub(super) fn facts_of(self, id: NodeId) -> Facts<'t> {
        let node = self.0.znodes.node(id);
        Facts {
            id: Some(id),
            stat: node.stat(),
            owner: Owner::from_stored(node.owner()),
            children_ever: node.stored_cversion(),
            acl: self.0.acls.bytes(node.acl()),
        }
    }
}

impl View for Direct<'_> {
    type Place = NodeId;

    #[inline]
    fn find(&self, path: &str) -> Option<NodeId> {
        self.0.znodes.find(path)
    }

    #[inline]
    fn facts(&self, id: NodeId) -> Facts<'_> {
        self.facts_of(id)
    }

    fn push_children(&self, id: NodeId, to: &mut Vec<NodeId>) {
        self.0.push_children(id, to);
    }

    fn before(&self) -> &DataTree {
        self.0
    }
}

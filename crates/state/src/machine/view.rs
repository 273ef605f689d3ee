//! What planning looks at.

use wire::code::ErrorCode;
use wire::stat::Stat;

use super::Machine;
use crate::acl::Asker;
use crate::command::Features;
use crate::tree::{NodeId, Owner};

/// On whose behalf and under which settings an operation is planned.
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

    pub(crate) fn enforces_quota(&self) -> bool {
        self.features.has(Features::ENFORCE_QUOTA)
    }
}

/// What can be known of a node before a step.
#[derive(Clone, Copy)]
pub(crate) struct Facts<'v> {
    /// Where it is in the tree; `None` when an earlier step of the same multi will make it.
    pub(crate) id: Option<NodeId>,
    pub(crate) stat: Stat,
    pub(crate) owner: Owner,
    /// Children ever created: the number of the next sequential child.
    pub(crate) children_ever: i32,
    /// Raw jute `vector<ACL>`.
    pub(crate) acl: &'v [u8],
}

impl Facts<'_> {
    /// Refuses a version that is not the node's; -1 is any.
    pub(crate) fn check_version(&self, version: i32) -> Result<(), ErrorCode> {
        if version == -1 || version == self.stat.version { Ok(()) } else { Err(ErrorCode::BadVersion) }
    }
}

/// The tree as the next step will find it. A node is found by its path once, and what is below it
/// by going down from there: paths may have half as many levels as bytes, and to look up each node
/// of a deep chain from the root takes the square of its depth.
pub(crate) trait View {
    /// A node of the view.
    type Place: Copy;

    /// The node at a valid path.
    fn find(&self, path: &str) -> Option<Self::Place>;

    /// What is known of a node.
    fn facts(&self, place: Self::Place) -> Facts<'_>;

    /// Appends the children of a node, in the order of their names.
    fn push_children(&self, place: Self::Place, to: &mut Vec<Self::Place>);

    /// The machine as it is before any step.
    fn machine(&self) -> &Machine;

    /// What is known of the node at a valid path.
    #[inline]
    fn look(&self, path: &str) -> Option<Facts<'_>> {
        self.find(path).map(|place| self.facts(place))
    }
}

/// The tree as it is: the view of an operation that stands alone.
#[derive(Clone, Copy)]
pub(crate) struct Direct<'m>(pub(crate) &'m Machine);

impl<'m> Direct<'m> {
    /// [`View::facts`], for as long as the machine lasts.
    #[inline]
    pub(super) fn facts_of(self, id: NodeId) -> Facts<'m> {
        let node = self.0.tree.node(id);
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
        self.0.tree.find(path)
    }

    #[inline]
    fn facts(&self, id: NodeId) -> Facts<'_> {
        self.facts_of(id)
    }

    fn push_children(&self, id: NodeId, to: &mut Vec<NodeId>) {
        self.0.push_children(id, to);
    }

    fn machine(&self) -> &Machine {
        self.0
    }
}

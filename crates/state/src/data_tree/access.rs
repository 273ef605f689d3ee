//! Whether a client may do something: the one place that asks grants and ACLs, both of which have
//! to permit it. And the rules in force, which are kept as they follow from their node.

use std::collections::BTreeSet;

use wire::code::ErrorCode;
use wire::record::Create;

use super::DataTree;
use super::view::Context;
use crate::acl::{self, Asker};
use crate::auth;
use crate::grants::{self, BadGrants, GRANTS_ACL, GRANTS_PATH, Grants};
use crate::tree::{NodeId, Owner};

/// The rules in force.
pub(super) struct InForce {
    /// The node with their text.
    pub(super) node: NodeId,
    pub(super) grants: Grants,
}

impl DataTree {
    /// Whether the client may use one of `perms` on the node at `path`, which has this ACL. For
    /// creating and deleting, `path` is that of the node and the ACL that of its parent.
    ///
    /// Without grants this costs one comparison more than the ACL alone.
    #[inline]
    pub(crate) fn may(&self, asker: &Asker<'_>, perms: i32, path: &str, acl: &[u8]) -> bool {
        let perms = match &self.in_force {
            None => perms,
            Some(rules) => perms & rules.grants.permitted(path, asker.identities),
        };
        perms != 0 && asker.may(perms, acl)
    }

    /// Like [`may`](Self::may), as the result of an operation.
    #[inline]
    pub(crate) fn require(
        &self,
        asker: &Asker<'_>,
        perms: i32,
        path: &str,
        acl: &[u8],
    ) -> Result<(), ErrorCode> {
        if self.may(asker, perms, path, acl) { Ok(()) } else { Err(ErrorCode::NoAuth) }
    }

    /// Whether the client may have a copy of all nodes, whatever their ACLs say. The ACL of the
    /// root has to grant every permission to an identity that it has proven; grants, which may
    /// protect any node, leave that to the super user.
    pub(crate) fn may_copy(&self, asker: &Asker<'_>) -> bool {
        let by_acl = || asker.skip_acl || acl::permits_all(self.acl_of(NodeId::ROOT), asker.identities);
        auth::is_super(asker.identities) || (self.in_force.is_none() && by_acl())
    }

    /// Prefixes strictly below `path` whose rules give the client none of `perms`. Every other node
    /// below it is decided about by a rule on `path` itself or above.
    pub(super) fn prefixes_denied_below(
        &self,
        asker: &Asker<'_>,
        perms: i32,
        path: &str,
    ) -> impl Iterator<Item = &str> {
        let grants = self.grants().into_iter();
        grants.flat_map(move |grants| {
            let is_denied = move |prefix: &&str| grants.permitted(prefix, asker.identities) & perms == 0;
            grants.below(path).filter(is_denied)
        })
    }

    /// The nodes at the prefixes below a node on which the client has none of `perms` by the rules.
    /// It has them on the other nodes below, if it has them on the node itself and if they are not
    /// below one of these.
    pub(crate) fn denied_below(&self, asker: &Asker<'_>, perms: i32, path: &str) -> BTreeSet<NodeId> {
        self.prefixes_denied_below(asker, perms, path).filter_map(|prefix| self.znodes.find(prefix)).collect()
    }

    /// The rules in force.
    #[inline]
    pub(crate) fn grants(&self) -> Option<&Grants> {
        self.in_force.as_ref().map(|rules| &rules.grants)
    }

    /// Whether the node has the rules in force.
    #[inline]
    pub(super) fn is_of_grants(&self, id: NodeId) -> bool {
        self.in_force.as_ref().is_some_and(|rules| rules.node == id)
    }

    /// Puts the rules of a node in force. It is at `GRANTS_PATH` and has `GRANTS_ACL`.
    pub(super) fn set_grants(&mut self, id: NodeId) {
        let grants = self.grants_of(id).expect("a text is checked before it is stored");
        self.in_force = Some(Box::new(InForce { node: id, grants }));
    }

    /// The rules that the nodes of a loaded tree put in force.
    pub(super) fn load_grants(&mut self) -> Result<(), BadGrants> {
        self.in_force = match self.node_of_grants() {
            Some(node) => Some(Box::new(InForce { node, grants: self.grants_of(node)? })),
            None => None,
        };
        Ok(())
    }

    /// Whether the rules in force are those of their node, and no other node has their ACL.
    pub(super) fn are_grants_current(&self) -> bool {
        let uses = self.acls.find(GRANTS_ACL).map_or(0, |acl| self.acls.use_count(acl));
        if uses != u64::from(self.in_force.is_some()) {
            return false;
        }
        let derived = self.node_of_grants().map(|node| (node, self.grants_of(node)));
        match (&self.in_force, derived) {
            (None, None) => true,
            (Some(rules), Some((node, Ok(grants)))) => rules.node == node && rules.grants == grants,
            _ => false,
        }
    }

    fn node_of_grants(&self) -> Option<NodeId> {
        self.znodes.find(GRANTS_PATH).filter(|id| self.acl_of(*id) == GRANTS_ACL)
    }

    fn grants_of(&self, id: NodeId) -> Result<Grants, BadGrants> {
        Grants::parse(self.znodes.node(id).data().unwrap_or_default())
    }
}

/// Whether a create puts grants in force; it must be allowed to.
///
/// # Errors
/// `NoAuth` unless the client is the super user, `BadArguments` for a node that is removed with its
/// session or by time, or whose text is not rules.
pub(super) fn creates_grants(
    context: &Context<'_>,
    create: &Create<'_>,
    path: &str,
    owner: Owner,
) -> Result<bool, ErrorCode> {
    if path != GRANTS_PATH || !context.has_grants() {
        return Ok(false);
    }
    if !auth::is_super(context.asker.identities) {
        return Err(ErrorCode::NoAuth);
    }
    if !matches!(owner, Owner::Persistent) {
        return Err(ErrorCode::BadArguments);
    }
    grants::check_text(create.data)?;
    Ok(true)
}

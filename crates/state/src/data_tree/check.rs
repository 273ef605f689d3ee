//! Verification of everything that is kept besides the znodes, by recounting; and the hash.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};

use super::{DataTree, RESERVED};
use crate::tree::{NodeId, Owner, check};

/// A violated invariant: a bug in this crate. The member must stop.
#[derive(Debug, thiserror::Error)]
pub enum Violation {
    /// Among the znodes.
    #[error(transparent)]
    Znodes(#[from] check::Violation),
    /// Between the znodes and what is derived from them.
    #[error("{0}")]
    Derived(String),
}

impl DataTree {
    /// Adds everything in which members must be equal to the hash.
    pub(crate) fn hash(&self, hash: &mut Sha256) {
        hash.update(check::digest(&self.znodes, &self.acls).to_be_bytes());
        for (path, count) in self.quotas.counts() {
            hash.update((path.len() as u64).to_be_bytes());
            hash.update(path.as_bytes());
            hash.update(count.count.to_be_bytes());
            hash.update(count.bytes.to_be_bytes());
            hash.update([u8::from(count.hides_data)]);
        }
    }

    /// Recounts everything kept in addition to the znodes. Takes time proportional to the tree.
    pub(crate) fn check(&self) -> Result<(), Violation> {
        check::tree(&self.znodes)?;
        let (mut owned, mut reapable) = (BTreeMap::<i64, BTreeSet<NodeId>>::new(), 0);
        let mut acl_uses = BTreeMap::<_, u64>::new();
        let mut violations = Vec::new();
        self.walk(NodeId::ROOT, &mut |id| {
            let node = self.znodes.node(id);
            *acl_uses.entry(node.acl()).or_default() += 1;
            match Owner::from_stored(node.owner()) {
                Owner::Persistent => {}
                Owner::Ephemeral(session) => {
                    owned.entry(session).or_default().insert(id);
                    if node.child_count() > 0 {
                        violations.push(format!("the ephemeral {} has children", self.path(id)));
                    }
                }
                Owner::Container | Owner::Ttl { .. } => {
                    reapable += 1;
                    if !self.reapable.contains(id) {
                        violations.push(format!("{} is missing among containers", self.path(id)));
                    }
                }
            }
        });
        self.check_ephemerals(&owned, &mut violations);
        if reapable != self.reapable.len() {
            violations.push("a listed container is not in the tree".to_owned());
        }
        for (acl, uses) in acl_uses {
            if self.acls.use_count(acl) != uses {
                violations.push(format!("an ACL with {uses} uses has count {}", self.acls.use_count(acl)));
            }
        }
        for path in RESERVED.iter().filter(|path| self.znodes.find(path).is_none()) {
            violations.push(format!("{path} is missing"));
        }
        if !self.are_grants_current() {
            violations.push("the grants in force are not those of their node".to_owned());
        }
        for (path, count) in self.quotas.counts() {
            let expected = format!("/zookeeper/quota{path}/zookeeper_stats");
            if self.znodes.find(&expected) != Some(count.node) {
                violations.push(format!("{expected} is not the stats node of its quota"));
            }
        }
        violations.into_iter().next().map_or(Ok(()), |first| Err(Violation::Derived(first)))
    }

    fn check_ephemerals(&self, owned: &BTreeMap<i64, BTreeSet<NodeId>>, violations: &mut Vec<String>) {
        for (session, nodes) in owned {
            if self.ephemerals.of(*session) != Some(nodes) {
                violations
                    .push(format!("the ephemerals of session {session:#x} differ from those of the tree"));
            }
        }
        let listed = |session| self.ephemerals.of(session).map_or(0, BTreeSet::len);
        let listed: usize = self.ephemerals.sessions().map(listed).sum();
        let in_tree: usize = owned.values().map(BTreeSet::len).sum();
        if listed != in_tree || self.ephemerals.len() != in_tree {
            violations.push(format!(
                "{in_tree} ephemerals, of which {listed} are listed and {} counted",
                self.ephemerals.len()
            ));
        }
    }

    /// The sessions for which ephemerals are listed.
    pub(crate) fn sessions(&self) -> impl Iterator<Item = i64> {
        self.ephemerals.sessions()
    }
}

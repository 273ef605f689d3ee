//! Verification of all invariants by recounting, and the digest by which members are compared.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};

use super::{Machine, RESERVED};
use crate::tree::{NodeId, Owner, check};

/// A violated invariant: a bug in this crate. The member must stop.
#[derive(Debug, thiserror::Error)]
pub enum Violation {
    /// Inside the tree.
    #[error(transparent)]
    Tree(#[from] check::Violation),
    /// Between the tree and state derived from it.
    #[error("{0}")]
    Machine(String),
}

impl Machine {
    /// A hash of the state: equal on two members with the same state, and different otherwise with
    /// near certainty. Takes time proportional to the state.
    pub fn digest(&self) -> u64 {
        let mut hash = Sha256::new();
        hash.update(check::digest(&self.tree, &self.acls).to_be_bytes());
        hash.update(self.last_zxid.to_be_bytes());
        hash.update(self.cluster_key.unwrap_or_default());
        let mut members = Vec::new();
        self.members.put(&mut members);
        hash.update((members.len() as u64).to_be_bytes());
        hash.update(members);
        for session in self.sessions.iter() {
            hash.update(session.id.to_be_bytes());
            hash.update(session.timeout_ms.to_be_bytes());
            hash.update(session.home.to_be_bytes());
        }
        for (path, count) in self.quotas.counts() {
            hash.update((path.len() as u64).to_be_bytes());
            hash.update(path.as_bytes());
            hash.update(count.count.to_be_bytes());
            hash.update(count.bytes.to_be_bytes());
            hash.update([u8::from(count.hides_data)]);
        }
        let bytes = hash.finalize();
        u64::from_be_bytes(bytes[..8].try_into().expect("eight of 32 bytes"))
    }

    /// Recounts everything kept in addition to the tree. Takes time proportional to the state.
    pub fn check(&self) -> Result<(), Violation> {
        check::tree(&self.tree)?;
        let (mut owned, mut reapable) = (BTreeMap::<i64, BTreeSet<NodeId>>::new(), 0);
        let mut acl_uses = BTreeMap::<_, u64>::new();
        let mut violations = Vec::new();
        self.walk(NodeId::ROOT, &mut |id| {
            let node = self.tree.node(id);
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
        self.check_sessions(&owned, &mut violations);
        if reapable != self.reapable.len() {
            violations.push("a listed container is not in the tree".to_owned());
        }
        for (acl, uses) in acl_uses {
            if self.acls.use_count(acl) != uses {
                violations.push(format!("an ACL with {uses} uses has count {}", self.acls.use_count(acl)));
            }
        }
        for path in RESERVED.iter().filter(|path| self.tree.find(path).is_none()) {
            violations.push(format!("{path} is missing"));
        }
        for (path, count) in self.quotas.counts() {
            let expected = format!("/zookeeper/quota{path}/zookeeper_stats");
            if self.tree.find(&expected) != Some(count.node) {
                violations.push(format!("{expected} is not the stats node of its quota"));
            }
        }
        violations.into_iter().next().map_or(Ok(()), |first| Err(Violation::Machine(first)))
    }

    fn check_sessions(&self, owned: &BTreeMap<i64, BTreeSet<NodeId>>, violations: &mut Vec<String>) {
        for (&session, nodes) in owned {
            if !self.sessions.ephemerals(session).eq(nodes.iter().copied()) {
                violations
                    .push(format!("the ephemerals of session {session:#x} differ from those of the tree"));
            }
        }
        let counted: usize = self.sessions.iter().map(|session| session.ephemerals).sum();
        let in_tree: usize = owned.values().map(BTreeSet::len).sum();
        if counted != in_tree || self.ephemerals_count() != in_tree {
            violations.push(format!("{in_tree} ephemerals have count {counted}"));
        }
    }
}

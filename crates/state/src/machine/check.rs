//! Verification of all invariants by recounting, and the digest by which members are compared.

use sha2::{Digest as _, Sha256};

use super::Machine;
use crate::data_tree;

/// A violated invariant: a bug in this crate. The member must stop.
#[derive(Debug, thiserror::Error)]
pub enum Violation {
    /// Inside the data tree.
    #[error(transparent)]
    Tree(#[from] data_tree::Violation),
    /// Ephemerals of a session that does not exist.
    #[error("ephemerals are listed for session {0:#x}, which does not exist")]
    Session(i64),
}

impl Machine {
    /// A hash of the state: equal on two members with the same state, and different otherwise with
    /// near certainty. Takes time proportional to the state.
    pub fn digest(&self) -> u64 {
        let mut hash = Sha256::new();
        self.tree.hash(&mut hash);
        hash.update(self.last_zxid.to_be_bytes());
        self.ensemble.hash(&mut hash);
        let bytes = hash.finalize();
        u64::from_be_bytes(bytes[..8].try_into().expect("eight of 32 bytes"))
    }

    /// Recounts everything kept in addition to the znodes. Takes time proportional to the state.
    pub fn check(&self) -> Result<(), Violation> {
        self.tree.check()?;
        match self.tree.sessions().find(|session| !self.ensemble.has_session(*session)) {
            Some(session) => Err(Violation::Session(session)),
            None => Ok(()),
        }
    }
}

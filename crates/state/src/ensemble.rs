//! What the servers of an ensemble agree on besides the znodes: its sessions, its members and its
//! key.
//!
//! There is one of it in an ensemble, however many data trees there are. It knows no znode: a
//! session's ephemerals belong to the [data tree](crate::data_tree) that has them.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};
use wire::code::ErrorCode;
use wire::jute::Reader;

use crate::command::{CLUSTER_KEY_BYTES, SessionTerms};
use crate::members::{Configuration, Members, ProposedConfig};
use crate::session::{self, PASSWORD_BYTES, PasswordDerivation, Session};

/// A secret from which session passwords are derived.
pub(crate) type ClusterKey = [u8; CLUSTER_KEY_BYTES];

/// Sessions, members and key.
#[derive(Default)]
pub(crate) struct Ensemble {
    sessions: BTreeMap<i64, SessionTerms>,
    members: Members,
    /// `None` until the first `initialize`.
    key: Option<ClusterKey>,
}

impl Ensemble {
    /// Whether the ensemble has its key, which keyed passwords require.
    pub(crate) fn is_initialized(&self) -> bool {
        self.key.is_some()
    }

    /// The ensemble's key.
    pub(crate) fn key(&self) -> Option<&ClusterKey> {
        self.key.as_ref()
    }

    /// The replicated membership.
    pub(crate) fn members(&self) -> &Members {
        &self.members
    }

    /// Whether a session is live.
    #[inline]
    pub(crate) fn has_session(&self, id: i64) -> bool {
        self.sessions.contains_key(&id)
    }

    /// A live session.
    pub(crate) fn session(&self, id: i64) -> Option<Session> {
        self.sessions.get(&id).map(|terms| Session::new(id, *terms))
    }

    /// All live sessions, by id.
    pub(crate) fn sessions(&self) -> impl Iterator<Item = Session> {
        self.sessions.iter().map(|(id, terms)| Session::new(*id, *terms))
    }

    /// Number of live sessions.
    pub(crate) fn sessions_count(&self) -> usize {
        self.sessions.len()
    }

    /// As [`Machine::session_password`](crate::machine::Machine::session_password).
    pub(crate) fn session_password(
        &self,
        id: i64,
        derivation: PasswordDerivation,
    ) -> Option<[u8; PASSWORD_BYTES]> {
        match derivation {
            PasswordDerivation::Keyed => self.key.as_ref().map(|key| session::keyed_password(key, id)),
            PasswordDerivation::ZooKeeper => Some(session::zookeeper_password(id)),
        }
    }

    /// Sets the key.
    pub(crate) fn initialize(&mut self, body: &[u8]) -> Result<(), ErrorCode> {
        let key: &ClusterKey = body.try_into().map_err(|_| ErrorCode::MarshallingError)?;
        // The first key stays: two leaders may both have found the ensemble without one.
        self.key.get_or_insert(*key);
        Ok(())
    }

    /// Opens a session with the terms in `body`.
    pub(crate) fn create_session(&mut self, id: i64, body: &[u8]) -> Result<(), ErrorCode> {
        let terms = SessionTerms::read(body).map_err(|_| ErrorCode::MarshallingError)?;
        if !Session::may_have(id) {
            return Err(ErrorCode::BadArguments);
        }
        if self.sessions.contains_key(&id) {
            return Err(ErrorCode::NodeExists);
        }
        self.sessions.insert(id, terms);
        Ok(())
    }

    /// Moves a session to another server, or changes its timeout.
    pub(crate) fn move_session(&mut self, id: i64, body: &[u8]) -> Result<(), ErrorCode> {
        let terms = SessionTerms::read(body).map_err(|_| ErrorCode::MarshallingError)?;
        *self.sessions.get_mut(&id).ok_or(ErrorCode::SessionExpired)? = terms;
        Ok(())
    }

    /// Ends a session, if it still exists.
    pub(crate) fn end_session(&mut self, id: i64) {
        self.sessions.remove(&id);
    }

    /// Records a member id in use.
    pub(crate) fn note_member_id(&mut self, id: u64) {
        self.members.note_id(id);
    }

    /// Keeps of the membership only the committed configuration.
    pub(crate) fn leave_group(&mut self) {
        self.members.proposed = None;
        self.members.ids.clear();
    }

    /// Sets or withdraws the configuration the leader works towards.
    pub(crate) fn propose_config(&mut self, body: &[u8]) -> Result<(), ErrorCode> {
        if body.is_empty() {
            self.members.proposed = None;
            return Ok(());
        }
        let proposed =
            ProposedConfig::take(&mut Reader::new(body)).map_err(|_| ErrorCode::MarshallingError)?;
        // The first one stays: two leaders may both have started a reconfiguration.
        self.members.proposed.get_or_insert(proposed);
        Ok(())
    }

    /// Makes a configuration the current one; none is proposed any more.
    pub(crate) fn set_config(&mut self, config: Configuration) {
        self.members.current = Some(config);
        self.members.proposed = None;
    }

    /// The ensemble of a snapshot, without its sessions.
    pub(crate) fn loaded(key: Option<ClusterKey>, members: Members) -> Self {
        Self { sessions: BTreeMap::new(), members, key }
    }

    /// Adds a session of a snapshot.
    pub(crate) fn load_session(&mut self, id: i64, terms: SessionTerms) {
        self.sessions.insert(id, terms);
    }

    /// Adds everything in which members must be equal to the hash.
    pub(crate) fn hash(&self, hash: &mut Sha256) {
        hash.update(self.key.unwrap_or_default());
        let mut members = Vec::new();
        self.members.put(&mut members);
        hash.update((members.len() as u64).to_be_bytes());
        hash.update(members);
        for (id, terms) in &self.sessions {
            hash.update(id.to_be_bytes());
            hash.update(terms.timeout_ms.to_be_bytes());
            hash.update(terms.home.to_be_bytes());
        }
    }
}

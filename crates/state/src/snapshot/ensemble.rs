//! The ensemble's part of a snapshot: key and members in the head, and the sessions.

use wire::jute::{Malformed, Put as _, Reader};

use super::LoadError;
use super::SESSIONS;
use crate::command::{CLUSTER_KEY_BYTES, SessionTerms};
use crate::ensemble::{ClusterKey, Ensemble};
use crate::members::Members;
use crate::session::Session;

/// A copy of the ensemble for writing.
pub(super) struct EnsemblePart {
    key: Option<ClusterKey>,
    members: Members,
    sessions: Vec<(i64, SessionTerms)>,
}

impl EnsemblePart {
    pub(super) fn of(ensemble: &Ensemble) -> Self {
        Self {
            key: ensemble.key().copied(),
            members: ensemble.members().clone(),
            sessions: ensemble.sessions().map(|session| (session.id, session.terms())).collect(),
        }
    }

    /// Appends key and members, the end of the head.
    pub(super) fn put_head(&self, out: &mut Vec<u8>) {
        out.put_bool(self.key.is_some());
        out.extend_from_slice(self.key.as_ref().map_or(&[], |key| key.as_slice()));
        self.members.put(out);
    }

    /// Appends at most `max` sessions from an index on. Returns the index to continue at, if these
    /// were not the last.
    pub(super) fn put_sessions(&self, from: usize, max: usize, out: &mut Vec<u8>) -> Option<usize> {
        let until = self.sessions.len().min(from.saturating_add(max.max(1)));
        for (id, terms) in &self.sessions[from..until] {
            out.put_i64(*id);
            terms.put(out);
        }
        (until < self.sessions.len()).then_some(until)
    }
}

/// Reads the end of the head; a version without members ends before them.
pub(super) fn take_head(input: &mut Reader<'_>, has_members: bool) -> Result<Ensemble, Malformed> {
    let mut key = None;
    if input.bool()? {
        let bytes = input.take(CLUSTER_KEY_BYTES)?;
        key = Some(bytes.try_into().expect("as many bytes as were taken"));
    }
    let members = if has_members { Members::take(input)? } else { Members::default() };
    Ok(Ensemble::loaded(key, members))
}

/// Reads sessions to the end.
pub(super) fn take_sessions(ensemble: &mut Ensemble, input: &mut Reader<'_>) -> Result<(), LoadError> {
    let malformed = |cause| LoadError::Block { kind: SESSIONS, cause };
    while !input.is_empty() {
        let id = input.i64().map_err(malformed)?;
        let terms = SessionTerms::take(input).map_err(malformed)?;
        if !Session::may_have(id) {
            return Err(LoadError::SessionId(id));
        }
        ensemble.load_session(id, terms);
    }
    Ok(())
}

//! Checks that servers close connections only with a reason.
//!
//! A running server that serves keeps its clients' connections, whichever member leads: it forwards
//! again what an earlier leader did not complete. It closes them only when it cannot know what was
//! applied: when it installs a snapshot, or becomes another member.

use server::simulation::GroupId;
use state::command::{MOVE_SESSION, SessionTerms};
use state::members::ServerId;

use super::World;
use crate::checkers::Violation;

/// Interruptions of one member's service to all its clients.
#[derive(Clone, Copy, Debug, Default)]
pub struct Serving {
    /// The highest entry it has applied individually, or started from.
    reached: u64,
    /// When it last did not serve, or installed a snapshot, in µs of the run.
    interrupted_us: u64,
}

impl World {
    /// A process has started.
    pub(super) fn on_serving_started(&mut self, id: ServerId) {
        let now_us = self.now_us;
        let host = self.host(id);
        let Some(member) = &host.member else { return };
        for (group, serving) in (0..).map(GroupId).zip(&mut host.serving) {
            *serving = Serving { reached: member.applied_index(group), interrupted_us: now_us };
        }
    }

    /// A member has committed this entry of the group.
    pub(super) fn on_committed(&mut self, id: ServerId, group: GroupId, index: u64) {
        let serving = &mut self.host(id).serving[group.index()];
        serving.reached = serving.reached.max(index);
    }

    /// Updates whether a member serves, and whether it got its state from another one.
    pub(super) fn update_serving(&mut self, id: ServerId) {
        let now_us = self.now_us;
        let host = self.host(id);
        let Some(member) = &host.member else { return };
        for (group, serving) in (0..).map(GroupId).zip(&mut host.serving) {
            let applied = member.applied_index(group);
            if !member.is_serving(group) || applied > serving.reached {
                serving.interrupted_us = now_us;
            }
            serving.reached = serving.reached.max(applied);
        }
    }

    /// Whether the session has moved, or is moving, away from the connection that this member
    /// accepted when it had applied `accepted_at`.
    fn has_moved_elsewhere(&self, group: GroupId, session: i64, id: ServerId, accepted_at: u64) -> bool {
        let outcomes = &self.groups[group.index()].agreement.outcomes;
        let later = outcomes.iter().rev().take_while(|outcome| outcome.index > accepted_at);
        let moves = later.filter(|outcome| (outcome.session, outcome.opcode) == (session, MOVE_SESSION));
        let homes: Vec<_> = moves.map(|outcome| SessionTerms::read(&outcome.body).map(|t| t.home)).collect();
        let member = self.hosts[id as usize - 1].member.as_ref();
        let is_moving = member.is_some_and(|member| member.is_moving(group, session));
        is_moving || homes.len() > 1 || homes.iter().any(|home| *home != Ok(id))
    }

    /// A member has closed a connection.
    pub(super) fn judge_closing(&mut self, id: ServerId, connection: usize) -> Result<(), Violation> {
        self.update_serving(id);
        let known = &self.connections[connection];
        let (client, accepted_us) = (known.client, known.accepted_us);
        // Bytes the client sent over an earlier connection may arrive later, and take the session
        // away without an entry in the log.
        let is_overtaken = self.connections[..connection]
            .iter()
            .any(|other| (other.client, other.member) == (client, id) && other.to_server_us >= accepted_us);
        if known.wire.is_hung_up() || is_overtaken {
            return Ok(());
        }
        let group = self.clients[client].group();
        let of_group = &self.groups[group.index()];
        let Some(session) = self.clients[client].used_session(connection, &of_group.history) else {
            return Ok(());
        };
        let is_over = of_group.agreement.machine().session(session).is_none();
        let accepted_at = known.accepted_at;
        if is_over
            || self.host(id).serving[group.index()].interrupted_us >= accepted_us
            || self.has_moved_elsewhere(group, session, id, accepted_at)
        {
            return Ok(());
        }
        let evidence =
            format!("member {id} closed connection {connection} of client {client}, session {session:#x}");
        Err(Violation::new("a running, serving server keeps its clients' connections", evidence))
    }
}

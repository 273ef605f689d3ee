//! Commands that wait until the members are as a `reconfig` wants them.
//!
//! A `reconfig` gets its place in the log when it is done or refused, which the group decides.
//! Until then later commands of its session wait behind it; other sessions do not wait.

use state::command::{Command, Features, MOVE_SESSION};
use state::machine::Machine;
use wire::opcode::Opcode;

use crate::admission::Admission;
use crate::replica::{Name, Origin, Replica, next_command};

/// A command whose place in the log is undecided.
#[derive(Debug)]
pub(crate) struct Parked {
    origin: Origin,
    name: Name,
    bytes: Vec<u8>,
}

impl Parked {
    fn is_reconfig(&self) -> bool {
        self.name.opcode == Opcode::Reconfig as i32
    }
}

impl Replica {
    /// Gives a command its place among those to be proposed, or parks it.
    pub(crate) fn put_in_order(&mut self, now_ms: i64, origin: Origin, name: Name, bytes: &[u8]) {
        let is_reconfig =
            name.opcode == Opcode::Reconfig as i32 && self.settings.features.has(Features::RECONFIG);
        if name.opcode == MOVE_SESSION {
            // The session leaves its parked commands behind, and must not find them done when it
            // comes back.
            let homes = &mut self.homes;
            self.parked.retain(|parked| {
                let stays = parked.name.session != name.session;
                if !stays {
                    homes.leave_behind(name.session, parked.origin);
                }
                stays
            });
        }
        let is_behind = self.parked.iter().any(|parked| parked.name.session == name.session);
        if is_reconfig || is_behind {
            self.parked.push(Parked { origin, name, bytes: bytes.to_vec() });
        } else {
            self.gather(now_ms, bytes, Some((origin, name)));
        }
    }

    /// The `reconfig` commands that wait for the group: the first of each session. Each waits until
    /// [`let_go`](Self::let_go).
    pub fn waiting_reconfigs(&self) -> impl Iterator<Item = Command<'_>> {
        let is_first =
            |at: usize, session| self.parked[..at].iter().all(|other| other.name.session != session);
        let first =
            self.parked.iter().enumerate().filter(move |(at, parked)| is_first(*at, parked.name.session));
        first.filter_map(|(_, parked)| next_command(&mut parked.bytes.as_slice()).map(|(command, _)| command))
    }

    /// Gives places to the session's `reconfig` and what waits behind it up to the next one;
    /// `false` if it gets none, because the session has gone to another server.
    pub fn let_go(&mut self, now_ms: i64, machine: &Machine, session: i64) -> bool {
        let mut has_place = false;
        let (of_session, others) = std::mem::take(&mut self.parked)
            .into_iter()
            .partition::<Vec<_>, _>(|p| p.name.session == session);
        self.parked = others;
        let next =
            of_session.iter().skip(1).position(Parked::is_reconfig).map_or(of_session.len(), |n| n + 1);
        for (at, parked) in of_session.into_iter().enumerate() {
            if at >= next {
                self.parked.push(parked);
                continue;
            }
            // The session may have gone to another server meanwhile.
            if self.admit(machine, parked.origin, &parked.name, &parked.bytes) == Admission::Granted {
                has_place |= at == 0;
                self.gather(now_ms, &parked.bytes, Some((parked.origin, parked.name)));
            }
        }
        has_place
    }
}

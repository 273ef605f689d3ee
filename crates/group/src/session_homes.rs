//! The server each session will be at once everything proposed is applied.

use std::collections::VecDeque;

use hashbrown::HashMap;
use state::members::ServerId;

use crate::replica::Origin;

/// Session homes in flight: proposed and not yet applied.
#[derive(Debug, Default)]
pub(crate) struct SessionHomes {
    /// By session, oldest first; never empty.
    proposed: HashMap<i64, VecDeque<Proposed>>,
}

/// A command in flight that gives a session a home.
#[derive(Debug)]
struct Proposed {
    home: ServerId,
    /// The session's commands from other servers that came later. They get no place in the log if
    /// this one gets one.
    left_behind: Vec<Origin>,
}

impl SessionHomes {
    /// A command that gives the session this home was taken.
    pub(crate) fn proposed(&mut self, session: i64, home: ServerId) {
        let proposed = Proposed { home, left_behind: Vec::new() };
        self.proposed.entry(session).or_default().push_back(proposed);
    }

    /// A command of the session gets no place, because one in flight takes the session elsewhere.
    pub(crate) fn leave_behind(&mut self, session: i64, command: Origin) {
        if let Some(newest) = self.proposed.get_mut(&session).and_then(VecDeque::back_mut) {
            newest.left_behind.push(command);
        }
    }

    /// The oldest command that gives the session a home was applied. The server that the session
    /// leaves drops what was left behind.
    pub(crate) fn applied(&mut self, session: i64) {
        self.take(session, VecDeque::pop_front);
    }

    /// The newest command that gives the session a home was refused. Returns what was left behind
    /// because of it.
    pub(crate) fn refused(&mut self, session: i64) -> Vec<Origin> {
        self.take(session, VecDeque::pop_back).map(|proposed| proposed.left_behind).unwrap_or_default()
    }

    fn take(
        &mut self,
        session: i64,
        pop: fn(&mut VecDeque<Proposed>) -> Option<Proposed>,
    ) -> Option<Proposed> {
        let proposed = self.proposed.get_mut(&session)?;
        let taken = pop(proposed);
        if proposed.is_empty() {
            self.proposed.remove(&session);
        }
        taken
    }

    /// The server the session will be at, if a command in flight determines it.
    pub(crate) fn of(&self, session: i64) -> Option<ServerId> {
        self.proposed.get(&session).and_then(VecDeque::back).map(|proposed| proposed.home)
    }

    /// Another leadership begins, with nothing in flight.
    pub(crate) fn clear(&mut self) {
        self.proposed.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_proposal_counts_until_all_are_applied() {
        let mut homes = SessionHomes::default();
        homes.proposed(7, 1);
        homes.proposed(7, 2);
        homes.applied(7);
        assert_eq!(homes.of(7), Some(2));
        homes.applied(7);
        assert_eq!(homes.of(7), None);
        homes.applied(7);
    }

    #[test]
    fn a_refused_proposal_gives_back_the_home_before_it_and_what_was_left_behind() {
        let command = |place| Origin { server: 1, place };
        let mut homes = SessionHomes::default();
        homes.proposed(7, 2);
        homes.leave_behind(7, command(10));
        homes.proposed(7, 3);
        homes.leave_behind(7, command(11));
        homes.leave_behind(8, command(12));
        assert_eq!(homes.refused(7), [command(11)]);
        assert_eq!(homes.of(7), Some(2));
        homes.applied(7);
        assert_eq!((homes.of(7), homes.refused(7)), (None, Vec::new()));
    }
}

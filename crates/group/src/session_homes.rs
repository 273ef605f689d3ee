//! The server each session will be at once everything proposed is applied.

use hashbrown::HashMap;
use state::members::ServerId;

/// Session homes in flight: proposed and not yet applied.
#[derive(Debug, Default)]
pub(crate) struct SessionHomes {
    proposed: HashMap<i64, Proposed>,
}

#[derive(Debug)]
struct Proposed {
    home: ServerId,
    /// Number of commands in flight that give the session a home.
    pending: u32,
}

impl SessionHomes {
    /// A command that gives the session this home was taken.
    pub(crate) fn proposed(&mut self, session: i64, home: ServerId) {
        let proposed = self.proposed.entry(session).or_insert(Proposed { home, pending: 0 });
        proposed.home = home;
        proposed.pending += 1;
    }

    /// The oldest of those commands was applied or refused.
    pub(crate) fn settled(&mut self, session: i64) {
        if let Some(proposed) = self.proposed.get_mut(&session) {
            proposed.pending -= 1;
            if proposed.pending == 0 {
                self.proposed.remove(&session);
            }
        }
    }

    /// The server the session will be at, if a command in flight determines it.
    pub(crate) fn of(&self, session: i64) -> Option<ServerId> {
        self.proposed.get(&session).map(|proposed| proposed.home)
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
    fn the_latest_proposal_counts_until_all_are_settled() {
        let mut homes = SessionHomes::default();
        homes.proposed(7, 1);
        homes.proposed(7, 2);
        homes.settled(7);
        assert_eq!(homes.of(7), Some(2));
        homes.settled(7);
        assert_eq!(homes.of(7), None);
        homes.settled(7);
    }
}

//! How far the messages of others may raise a member's term.
//!
//! A term is written down and never falls again, and there is a last one. If a single message with
//! a far term were believed, a group could never elect anybody any more, not even after a restart
//! of all. So terms may rise only about as fast as elections can raise them:
//!
//! - A member has an allowance of rounds, a round being what one election adds to a term. Each rise
//!   of its term is taken from it, and every tick gives one round back. Elections are many ticks
//!   apart, so a working group never uses the allowance up, and a member that was away for a
//!   million elections still gets in at once.
//! - A term beyond the allowance is believed only of a leader that keeps saying so for
//!   [`PATIENCE`] election timeouts, while this member hears of no other leader. So a member that
//!   was away for longer gets in as well, and one that works with the others is out of reach.

use crate::entry::MemberId;
use crate::message::POSITION_LIMIT;

/// The largest allowance, in rounds.
const ROUNDS_MAX: u64 = 1 << 20;

/// How many election timeouts a leader with a far term has to be heard for.
const PATIENCE: u32 = 10;

/// No term above this is believed of anybody, so that there are always later ones.
const TERM_MAX: u64 = POSITION_LIMIT / 2;

/// See the module.
#[derive(Debug)]
pub(crate) struct Nearness {
    /// By how much one round raises a term.
    round: u64,
    /// Rounds that terms may rise by at once.
    allowance: u64,
    /// A leader whose term is beyond it.
    far: Option<Far>,
    patience_ticks: u32,
}

#[derive(Debug)]
struct Far {
    leader: MemberId,
    term: u64,
    ticks: u32,
}

impl Nearness {
    pub(crate) fn new(round: u64, election_ticks: u32) -> Self {
        Self { round, allowance: ROUNDS_MAX, far: None, patience_ticks: PATIENCE * election_ticks }
    }

    pub(crate) fn tick(&mut self) {
        self.allowance = (self.allowance + 1).min(ROUNDS_MAX);
        if let Some(far) = &mut self.far {
            far.ticks = far.ticks.saturating_add(1);
        }
    }

    /// This member leads, or has heard of the leader it follows: no other one is to be believed.
    pub(crate) fn led(&mut self) {
        self.far = None;
    }

    /// A message has raised this member's term.
    pub(crate) fn rose(&mut self, from: u64, to: u64) {
        self.allowance = self.allowance.saturating_sub(self.rounds(from, to));
    }

    fn rounds(&self, from: u64, to: u64) -> u64 {
        (to / self.round).saturating_sub(from / self.round)
    }

    /// Whether a member whose term is `own` may take over `term`, which `leader` says it leads in
    /// unless somebody else has named it.
    pub(crate) fn admits(&mut self, own: u64, term: u64, leader: Option<MemberId>) -> bool {
        if term > TERM_MAX {
            return false;
        }
        if self.rounds(own, term) <= self.allowance {
            return true;
        }
        let Some(leader) = leader else { return false };
        match &self.far {
            Some(far) if (far.leader, far.term) == (leader, term) => far.ticks >= self.patience_ticks,
            _ => {
                self.far = Some(Far { leader, term, ticks: 0 });
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAR: u64 = 1 << 40;
    const LEADER: Option<MemberId> = Some(MemberId(2));

    #[test]
    fn a_near_term_is_believed_at_once_and_a_far_one_is_not() {
        let mut nearness = Nearness::new(1, 10);
        assert!(nearness.admits(5, 6, None));
        assert!(nearness.admits(6, 1_000_000, None), "it was away for long");
        for _ in 0..100 {
            assert!(!nearness.admits(6, FAR, None));
            assert!(!nearness.admits(6, POSITION_LIMIT - 1, LEADER));
            nearness.tick();
        }
    }

    /// Many steps that are near each by itself must not lead to the last term either.
    #[test]
    fn terms_cannot_be_walked_up_faster_than_elections_would() {
        let mut nearness = Nearness::new(1, 10);
        let mut own = 1;
        for _ in 0..1_000 {
            nearness.tick();
            for step in [1 << 20, 1 << 10, 1] {
                if nearness.admits(own, own + step, None) {
                    nearness.rose(own, own + step);
                    own += step;
                }
            }
        }
        assert!(own <= 1 + ROUNDS_MAX + 1_000, "{own}");
    }

    #[test]
    fn a_leader_with_a_far_term_is_believed_when_there_is_no_other_for_long() {
        let mut nearness = Nearness::new(1, 10);
        let wait = |nearness: &mut Nearness, ticks: u32| {
            (0..ticks).all(|_| {
                nearness.tick();
                !nearness.admits(1, FAR, LEADER)
            })
        };
        assert!(!nearness.admits(1, FAR, LEADER));
        assert!(wait(&mut nearness, 99));
        nearness.led();
        assert!(wait(&mut nearness, 100), "there was another leader");
        nearness.tick();
        assert!(nearness.admits(1, FAR, LEADER));
        assert!(!nearness.admits(1, FAR, Some(MemberId(3))), "another one has to wait as long");
    }

    #[test]
    fn what_counts_are_rounds() {
        let mut nearness = Nearness::new(1 << 34, 10);
        assert!(nearness.admits(1 << 34, (2 << 34) - 1, None), "another ballot of the same round");
        assert!(!nearness.admits(1, (1 << 21) << 34, None));
    }
}

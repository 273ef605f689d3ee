//! How far messages from other members may raise a member's term.
//!
//! A term is persisted and never decreases, and there is a highest one. If a single message with a
//! far term were believed, a group could never elect a leader again, not even after a restart of
//! all members. So terms may rise only about as fast as elections can raise them:
//!
//! - A member has an allowance of rounds; one election raises a term by one round. Each rise of its
//!   term is deducted from it, and every tick gives one round back. Elections are many ticks apart,
//!   so a working group never exhausts the allowance, and a member that missed a million elections
//!   still catches up at once.
//! - A term beyond the allowance is believed only from a leader that keeps sending it for
//!   [`FAR_LEADER_TIMEOUTS`] election timeouts, while this member hears from no other leader. So a
//!   member that missed even more elections catches up too, and a member in contact with a leader
//!   cannot be misled.

use crate::entry::MemberId;
use crate::message::POSITION_LIMIT;

/// The largest allowance, in rounds.
const ROUNDS_MAX: u64 = 1 << 20;

/// Election timeouts for which a leader with a far term must be heard.
const FAR_LEADER_TIMEOUTS: u32 = 10;

/// No term above this is ever believed, so that there are always later ones.
const TERM_MAX: u64 = POSITION_LIMIT / 2;

/// See the module.
#[derive(Debug)]
pub(crate) struct TermGuard {
    /// How much one round raises a term.
    round: u64,
    /// Rounds by which the term may rise at once.
    allowance: u64,
    /// A leader whose term is beyond the allowance.
    far: Option<Far>,
    far_leader_ticks: u32,
}

#[derive(Debug)]
struct Far {
    leader: MemberId,
    term: u64,
    ticks: u32,
}

impl TermGuard {
    pub(crate) fn new(round: u64, election_ticks: u32) -> Self {
        Self {
            round,
            allowance: ROUNDS_MAX,
            far: None,
            far_leader_ticks: FAR_LEADER_TIMEOUTS * election_ticks,
        }
    }

    pub(crate) fn tick(&mut self) {
        self.allowance = (self.allowance + 1).min(ROUNDS_MAX);
        if let Some(far) = &mut self.far {
            far.ticks = far.ticks.saturating_add(1);
        }
    }

    /// This member leads, or heard from the leader it follows: forget a leader with a far term.
    pub(crate) fn leader_heard(&mut self) {
        self.far = None;
    }

    /// A message has raised this member's term.
    pub(crate) fn term_raised(&mut self, from: u64, to: u64) {
        self.allowance = self.allowance.saturating_sub(self.rounds(from, to));
    }

    fn rounds(&self, from: u64, to: u64) -> u64 {
        (to / self.round).saturating_sub(from / self.round)
    }

    /// Whether a member with term `own` may adopt `term`. `leader` is the sender if it claims to
    /// lead in that term.
    pub(crate) fn admits(&mut self, own: u64, term: u64, leader: Option<MemberId>) -> bool {
        if term > TERM_MAX {
            return false;
        }
        if self.rounds(own, term) <= self.allowance {
            return true;
        }
        let Some(leader) = leader else { return false };
        match &self.far {
            Some(far) if (far.leader, far.term) == (leader, term) => far.ticks >= self.far_leader_ticks,
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
        let mut guard = TermGuard::new(1, 10);
        assert!(guard.admits(5, 6, None));
        assert!(guard.admits(6, 1_000_000, None), "it missed many elections");
        for _ in 0..100 {
            assert!(!guard.admits(6, FAR, None));
            assert!(!guard.admits(6, POSITION_LIMIT - 1, LEADER));
            guard.tick();
        }
    }

    /// Many small steps must not lead to the highest term either.
    #[test]
    fn small_steps_cannot_raise_terms_faster_than_elections_do() {
        let mut guard = TermGuard::new(1, 10);
        let mut own = 1;
        for _ in 0..1_000 {
            guard.tick();
            for step in [1 << 20, 1 << 10, 1] {
                if guard.admits(own, own + step, None) {
                    guard.term_raised(own, own + step);
                    own += step;
                }
            }
        }
        assert!(own <= 1 + ROUNDS_MAX + 1_000, "{own}");
    }

    #[test]
    fn a_leader_with_a_far_term_is_believed_after_a_long_time_without_another() {
        let mut guard = TermGuard::new(1, 10);
        let wait = |guard: &mut TermGuard, ticks: u32| {
            (0..ticks).all(|_| {
                guard.tick();
                !guard.admits(1, FAR, LEADER)
            })
        };
        assert!(!guard.admits(1, FAR, LEADER));
        assert!(wait(&mut guard, 99));
        guard.leader_heard();
        assert!(wait(&mut guard, 100), "another leader was heard");
        guard.tick();
        assert!(guard.admits(1, FAR, LEADER));
        assert!(!guard.admits(1, FAR, Some(MemberId(3))), "another leader has to wait as long");
    }

    #[test]
    fn the_allowance_counts_rounds() {
        let mut guard = TermGuard::new(1 << 34, 10);
        assert!(guard.admits(1 << 34, (2 << 34) - 1, None), "another ballot of the same round");
        assert!(!guard.admits(1, (1 << 21) << 34, None));
    }
}

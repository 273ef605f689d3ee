//! One suite for every engine, written against the trait alone.
//!
//! Each case drives groups in a simulated world ([`network`]) and checks after every step what an [`Engine`] promises
//! ([`record`]). All randomness comes from fixed seeds; a failure prints its case, seed and time.

mod calm;
mod changes;
mod disk;
mod network;
mod record;
mod rough;

use crate::engine::{Engine, Settings, Start};

/// Makes the engine under test.
pub type Make<'a> = dyn Fn(Settings, Start) -> Box<dyn Engine> + 'a;

/// A case of the suite.
pub struct Case {
    /// What is promised.
    pub name: &'static str,
    run: fn(&Make<'_>),
}

impl Case {
    /// Runs it.
    ///
    /// # Panics
    /// If the engine breaks the promise.
    pub fn run(&self, make: &Make<'_>) {
        (self.run)(make);
    }
}

/// All cases.
pub const CASES: &[Case] = &[
    Case { name: "a group elects a leader and commits in order", run: calm::commits_in_order },
    Case { name: "a restart of everybody loses nothing", run: calm::restart_of_all },
    Case { name: "silent loss of messages heals by ticks alone", run: calm::silent_loss_heals },
    Case { name: "reads are answered on every member", run: calm::reads_are_answered },
    Case { name: "a deposed leader answers no read", run: calm::deposed_leader_answers_no_read },
    Case { name: "proposals are bounded", run: calm::proposals_are_bounded },
    Case { name: "a member far behind is caught up by a snapshot", run: changes::snapshot_catches_up },
    Case { name: "retained entries spare the snapshot", run: changes::retained_entries_spare_the_snapshot },
    Case { name: "leadership is handed over", run: changes::hand_over },
    Case { name: "a group of one grows to three and shrinks again", run: changes::grow_and_shrink },
    Case { name: "a group that grew does not split after a crash", run: changes::grown_group_does_not_split },
    Case { name: "crashes, partitions and a rough network break no promise", run: rough::everything_at_once },
    Case { name: "changes of the members under faults break no promise", run: rough::members_come_and_go },
    Case { name: "a vote is not forgotten", run: rough::votes_survive_crashes },
    Case { name: "the same seed gives the same run", run: rough::same_seed_same_run },
];

/// Runs all cases; see [`CASES`] to run them one by one.
///
/// # Panics
/// If the engine breaks a promise.
pub fn suite(make: &Make<'_>) {
    for case in CASES {
        case.run(make);
    }
}

//! One suite for every engine, written against the trait alone.
//!
//! Each case drives groups in a simulated world ([`network`]) and checks after every step what an [`Engine`] promises
//! ([`record`]). All randomness comes from fixed seeds; a failure prints its case, seed and time.

mod calm;
mod changes;
mod disk;
mod mad;
mod network;
mod record;
mod rough;
mod stress;
mod strict;

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
    Case { name: "who restarts in an idle group learns what is agreed", run: calm::restart_in_an_idle_group },
    Case { name: "silent loss of messages heals by ticks alone", run: calm::silent_loss_heals },
    Case { name: "reads are answered on every member", run: calm::reads_are_answered },
    Case { name: "a deposed leader answers no read", run: calm::deposed_leader_answers_no_read },
    Case { name: "proposals are bounded", run: calm::proposals_are_bounded },
    Case { name: "a member far behind is caught up by a snapshot", run: changes::snapshot_catches_up },
    Case { name: "retained entries spare the snapshot", run: changes::retained_entries_spare_the_snapshot },
    Case { name: "leadership is handed over", run: changes::hand_over },
    Case { name: "a group of one grows to three and shrinks again", run: changes::grow_and_shrink },
    Case { name: "a group that grew does not split after a crash", run: changes::grown_group_does_not_split },
    Case { name: "a group grows to five and shrinks again", run: changes::grow_to_five },
    Case { name: "learners never lead", run: changes::learners_never_lead },
    Case { name: "an old membership decides nothing", run: changes::old_membership_decides_nothing },
    Case { name: "a removed learner gets no answer", run: changes::removed_learner_gets_no_answer },
    Case { name: "a member is caught up while proposals go on", run: changes::catch_up_under_load },
    Case { name: "a member down for ever costs no memory", run: changes::down_for_ever },
    Case { name: "any single lost message is made up for", run: strict::any_lost_message },
    Case { name: "a crash at any flush loses nothing", run: strict::crash_at_any_flush },
    Case { name: "who was cut off disturbs nobody", run: strict::return_disturbs_nobody },
    Case { name: "who stands still and says so is borne", run: strict::who_stands_still_is_borne },
    Case { name: "rivals do not hinder each other for ever", run: strict::rivals_come_to_an_end },
    Case { name: "a dead leader is replaced soon", run: strict::dead_leader_is_replaced_soon },
    Case { name: "what only some have accepted is settled", run: strict::partly_accepted_is_settled },
    Case { name: "the newest log counts, not the longest", run: strict::newest_log_counts },
    Case { name: "messages and what is on the way are bounded", run: strict::messages_are_bounded },
    Case { name: "a member that lost its log finds out", run: strict::lost_log_is_found },
    Case { name: "crashes, partitions and a rough network break no promise", run: rough::everything_at_once },
    Case { name: "changes of the members under faults break no promise", run: rough::members_come_and_go },
    Case { name: "a vote is not forgotten", run: rough::votes_survive_crashes },
    Case { name: "the same seed gives the same run", run: rough::same_seed_same_run },
];

pub use self::mad::mad_member;
pub use self::stress::stress;

/// Runs all cases; see [`CASES`] to run them one by one.
///
/// # Panics
/// If the engine breaks a promise.
pub fn suite(make: &Make<'_>) {
    for case in CASES {
        case.run(make);
    }
}

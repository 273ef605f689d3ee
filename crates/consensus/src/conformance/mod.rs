//! One test suite for every engine, written against the trait alone.
//!
//! Each case drives groups in a simulated environment ([`network`]) and checks after every step
//! what an [`Engine`] promises ([`record`]). All randomness comes from fixed seeds; a failure
//! prints its seed and time.

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

/// Creates the engine under test.
pub type Make<'a> = dyn Fn(Settings, Start) -> Box<dyn Engine> + 'a;

/// A case of the suite.
pub struct Case {
    /// The guarantee it checks.
    pub name: &'static str,
    run: fn(&Make<'_>),
}

impl Case {
    /// Runs the case.
    ///
    /// # Panics
    /// If the engine breaks the guarantee.
    pub fn run(&self, make: &Make<'_>) {
        (self.run)(make);
    }
}

/// All cases.
pub const CASES: &[Case] = &[
    Case { name: "a group elects a leader and commits in order", run: calm::commits_in_order },
    Case { name: "a restart of all members loses nothing", run: calm::restart_of_all },
    Case {
        name: "a restarted member learns what is committed in an idle group",
        run: calm::restart_in_an_idle_group,
    },
    Case { name: "a group recovers from silent message loss by ticks alone", run: calm::silent_loss_heals },
    Case { name: "reads are answered on every member", run: calm::reads_are_answered },
    Case { name: "a deposed leader answers no read", run: calm::deposed_leader_answers_no_read },
    Case { name: "uncommitted proposals are bounded", run: calm::proposals_are_bounded },
    Case { name: "a member far behind catches up by a snapshot", run: changes::snapshot_catches_up },
    Case {
        name: "retained entries make a snapshot unnecessary",
        run: changes::retained_entries_spare_the_snapshot,
    },
    Case { name: "leadership is transferred", run: changes::transfer_leadership },
    Case { name: "a group of one grows to three and shrinks again", run: changes::grow_and_shrink },
    Case { name: "a group that grew does not split after a crash", run: changes::grown_group_does_not_split },
    Case { name: "a group grows to five and shrinks again", run: changes::grow_to_five },
    Case { name: "learners never lead", run: changes::learners_never_lead },
    Case { name: "an old membership commits nothing", run: changes::old_membership_decides_nothing },
    Case { name: "a removed learner gets no answer", run: changes::removed_learner_gets_no_answer },
    Case { name: "a member catches up under load", run: changes::catch_up_under_load },
    Case { name: "a member that stays down costs no memory", run: changes::down_for_ever },
    Case { name: "a group recovers from the loss of any single message", run: strict::any_lost_message },
    Case { name: "a crash at any flush loses nothing", run: strict::crash_at_any_flush },
    Case {
        name: "a member back from isolation does not disrupt the leader",
        run: strict::return_does_not_disrupt,
    },
    Case {
        name: "stalled members that report to be alive change no leader",
        run: strict::stalled_members_change_no_leader,
    },
    Case {
        name: "reports that a server is alive do not replace a leader",
        run: strict::reports_of_life_do_not_replace_a_leader,
    },
    Case {
        name: "competing candidates elect a leader in the end",
        run: strict::competing_candidates_elect_a_leader,
    },
    Case { name: "a dead leader is replaced soon", run: strict::dead_leader_is_replaced_soon },
    Case {
        name: "entries on few members are decided alike on all",
        run: strict::entries_on_few_members_are_decided,
    },
    Case { name: "the newest log wins, not the longest", run: strict::newest_log_wins },
    Case { name: "message size and messages in flight are bounded", run: strict::messages_are_bounded },
    Case { name: "a member that lost its log detects it", run: strict::lost_log_is_detected },
    Case {
        name: "crashes, partitions and a rough network break no guarantee",
        run: rough::everything_at_once,
    },
    Case { name: "membership changes under faults break no guarantee", run: rough::members_come_and_go },
    Case { name: "no vote is forgotten", run: rough::votes_survive_crashes },
    Case { name: "the same seed gives the same run", run: rough::same_seed_same_run },
];

pub use self::mad::mad_member;
pub use self::stress::stress;

/// Runs all cases; see [`CASES`] to run them one by one.
///
/// # Panics
/// If the engine breaks a guarantee.
pub fn suite(make: &Make<'_>) {
    for case in CASES {
        case.run(make);
    }
}

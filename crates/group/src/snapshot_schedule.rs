//! When a group's next snapshot is due, and which applied entries its engine may forget.

use std::collections::VecDeque;

/// Most log, in bytes, that a start may have to read and hold in memory, even if ZooKeeper's keys
/// name a larger limit: entries take the same memory until they are applied.
const LOG_BYTES_MAX: u64 = 256 << 20;

/// Time from the beginning of one snapshot to the beginning of the next, in ms, unless there is
/// much log.
const PAUSE_MS: i64 = 5_000;

/// Bytes of log that cause a snapshot even within [`PAUSE_MS`].
const LOG_BYTES_IN_PAUSE_MAX: u64 = 128 << 20;

/// A group with fewer commands than this since its last snapshot is idle: it must not keep the log
/// that other groups are done with.
const FEW_COMMANDS: u64 = 1_000;

/// So much log, in bytes, may such a group keep: two groups with little traffic must not make each
/// other take snapshots all the time.
const KEPT_BYTES_MIN: u64 = 16 << 20;

/// Wait before the next attempt after a snapshot failed, in ms.
const RETRY_MS: i64 = 30_000;

/// Bytes of applied entries that all groups of a server together keep in memory for followers that
/// were away: those in the last 64 MiB of the log.
pub const RETAINED_BYTES_MAX: u64 = 64 << 20;

/// Bytes of log between two trims of the engine's memory. A group of one keeps no more than this.
const RETAINED_STEP_BYTES: u64 = 1 << 20;

/// How often an operator wants snapshots.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotTerms {
    /// Commands between two snapshots, whichever groups they belong to, at least 2. Below
    /// `pause_commands_min` there is no pause between two snapshots: an operator who sets a low
    /// count wants snapshots often.
    pub commands_max: u64,
    /// See `commands_max`.
    pub pause_commands_min: u64,
    /// Bytes of log between two snapshots, whichever groups they belong to; `None` = no limit.
    pub log_bytes_max: Option<u64>,
}

/// What the schedule depends on at one moment.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotFacts {
    /// The server's clock, in ms.
    pub now_ms: i64,
    /// Commands applied by the group since the start.
    pub commands: u64,
    /// Commands applied by all groups since the start.
    pub all_commands: u64,
    /// Bytes of the entries of all groups appended since the start.
    pub log_bytes: u64,
}

/// When the next snapshot is due.
#[derive(Debug)]
pub struct SnapshotSchedule {
    terms: SnapshotTerms,
    /// Facts when the last snapshot began.
    begun: SnapshotFacts,
    /// The group has entries since the last snapshot began.
    has_entries: bool,
    /// Commands after which the next snapshot is due: random between half of `commands_max` and all
    /// of it, so that members do not all take theirs at once.
    due_after: u64,
    retry_at_ms: Option<i64>,
    asked: bool,
    /// Bytes of log since the engine's memory was last trimmed.
    retained_bytes: u64,
    /// Trim points, oldest first: the last index at each, and the bytes of all groups' log then.
    retained: VecDeque<(u64, u64)>,
}

impl SnapshotSchedule {
    /// The schedule of a server that starts at `now_ms`. `entropy` is any number.
    pub fn new(terms: SnapshotTerms, now_ms: i64, entropy: u64) -> SnapshotSchedule {
        let log_bytes_max = Some(terms.log_bytes_max.unwrap_or(LOG_BYTES_MAX).min(LOG_BYTES_MAX));
        let terms = SnapshotTerms { commands_max: terms.commands_max.max(2), log_bytes_max, ..terms };
        let mut schedule = SnapshotSchedule {
            terms,
            begun: SnapshotFacts { now_ms, commands: 0, all_commands: 0, log_bytes: 0 },
            has_entries: false,
            due_after: 0,
            retry_at_ms: None,
            asked: false,
            retained_bytes: 0,
            retained: VecDeque::new(),
        };
        schedule.draw(entropy);
        schedule
    }

    fn draw(&mut self, entropy: u64) {
        let half = self.terms.commands_max / 2;
        self.due_after = half + entropy % (self.terms.commands_max - half) + 1;
    }

    /// Counts the bytes of a log entry of the group.
    pub fn count(&mut self, bytes: usize) {
        self.has_entries = true;
        self.retained_bytes += bytes as u64;
    }

    /// Whether the group has entries in the log since its last snapshot began, but few, and the log
    /// has grown. `commands` and `log_bytes` count since the start, as in [`SnapshotFacts`].
    pub fn keeps_log_for_little(&self, commands: u64, log_bytes: u64) -> bool {
        self.has_entries
            && commands - self.begun.commands < FEW_COMMANDS
            && log_bytes - self.begun.log_bytes >= KEPT_BYTES_MIN
    }

    /// Requests a snapshot.
    pub fn ask(&mut self) {
        self.asked = true;
    }

    /// There is nothing to keep yet: drops a request.
    pub fn drop_request(&mut self) {
        self.asked = false;
    }

    /// Whether the log has become so long that the group, which has entries in it, must allow its
    /// beginning to be dropped. `log_bytes` counts the entries of all groups.
    pub fn is_log_too_long(&self, log_bytes: u64) -> bool {
        let most = self.terms.log_bytes_max.unwrap_or(LOG_BYTES_MAX);
        self.has_entries && log_bytes - self.begun.log_bytes >= most
    }

    /// Whether a snapshot is to be taken now. Commands of other groups count, because
    /// all groups share the log, unless the group has few commands of its own.
    ///
    /// A hundred thousand writes are a fraction of a second. Snapshots without a pause would keep
    /// the disk busy under every flush, so within the pause only much log causes one: a start reads
    /// that much quickly.
    pub fn is_due(&self, facts: SnapshotFacts) -> bool {
        if self.retry_at_ms.is_some_and(|at_ms| facts.now_ms < at_ms) {
            return false;
        }
        let rested = self.terms.commands_max < self.terms.pause_commands_min
            || facts.now_ms - self.begun.now_ms >= PAUSE_MS
            || facts.log_bytes - self.begun.log_bytes >= LOG_BYTES_IN_PAUSE_MAX;
        // The groups share one log, and it can be dropped only up to the oldest of their snapshots.
        let commands = facts.commands - self.begun.commands;
        let has_commands = commands >= self.due_after.min(FEW_COMMANDS)
            && facts.all_commands - self.begun.all_commands >= self.due_after;
        self.asked || (has_commands && rested) || self.is_log_too_long(facts.log_bytes)
    }

    /// A snapshot begins. `entropy` is any number.
    pub fn begin(&mut self, facts: SnapshotFacts, entropy: u64) {
        self.begun = facts;
        (self.asked, self.has_entries) = (false, false);
        self.draw(entropy);
    }

    /// A snapshot is written.
    pub fn succeeded(&mut self) {
        self.retry_at_ms = None;
    }

    /// A snapshot could not be written, or not begun; returns the wait until the next attempt, in
    /// ms.
    pub fn failed(&mut self, now_ms: i64) -> i64 {
        self.retry_at_ms = Some(now_ms + RETRY_MS);
        self.asked = true;
        RETRY_MS
    }

    /// A new replica counts its commands from 0.
    pub fn restart(&mut self) {
        (self.begun.commands, self.retained_bytes) = (0, 0);
        self.retained.clear();
    }

    /// The first entry that the engine has to keep in memory, if older ones may go now; `applied`
    /// is the last one applied, and `log_bytes` counts the entries of all groups since the start.
    /// Only followers ask for applied entries: some are kept for those that were away for a while,
    /// and none in a group of one (`is_alone`). A follower that needs older ones is offered a
    /// snapshot.
    pub fn trim(&mut self, applied: u64, log_bytes: u64, is_alone: bool) -> Option<u64> {
        if self.retained_bytes < RETAINED_STEP_BYTES {
            return None;
        }
        self.retained_bytes = 0;
        self.retained.push_back((applied, log_bytes));
        let most = if is_alone { 0 } else { RETAINED_BYTES_MAX };
        let mut dropped = None;
        while let Some((index, _)) = self.retained.pop_front_if(|(_, then)| log_bytes - *then >= most) {
            dropped = Some(index);
        }
        dropped.map(|index| index + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: SnapshotTerms =
        SnapshotTerms { commands_max: 100_000, pause_commands_min: 100_000, log_bytes_max: None };

    /// Of a server with one group.
    fn facts(now_ms: i64, commands: u64, log_bytes: u64) -> SnapshotFacts {
        SnapshotFacts { now_ms, commands, all_commands: commands, log_bytes }
    }

    fn schedule(terms: SnapshotTerms) -> SnapshotSchedule {
        let mut schedule = SnapshotSchedule::new(terms, 0, 0);
        schedule.count(1);
        schedule
    }

    #[test]
    fn a_snapshot_is_due_after_many_commands_or_much_log() {
        const MIB: u64 = 1 << 20;
        let often = SnapshotTerms { commands_max: 10, ..TERMS };
        let short = SnapshotTerms { log_bytes_max: Some(MIB), ..TERMS };
        for (what, terms, facts, expected) in [
            ("nothing happened", TERMS, facts(9_000, 0, 0), false),
            ("half of the commands", TERMS, facts(9_000, 50_000, 1), false),
            ("one more", TERMS, facts(9_000, 50_001, 1), true),
            ("within the pause", TERMS, facts(4_999, 99_999, 1), false),
            ("with much log", TERMS, facts(4_999, 99_999, 128 * MIB), true),
            ("few commands and a long log", TERMS, facts(1, 1, 256 * MIB), true),
            ("an operator who wants them often", often, facts(1, 6, 1), true),
            ("a limit in bytes", short, facts(1, 1, MIB), true),
            ("below it", short, facts(1, 1, MIB - 1), false),
        ] {
            assert_eq!(schedule(terms).is_due(facts), expected, "{what}");
        }
    }

    #[test]
    fn a_group_without_entries_keeps_no_log() {
        let mut quiet = SnapshotSchedule::new(TERMS, 0, 0);
        assert!(!quiet.is_due(facts(9_000, 0, 1 << 40)), "the log is that of other groups");
        quiet.count(1);
        assert!(quiet.is_due(facts(9_000, 1, 1 << 40)));
        assert!(quiet.keeps_log_for_little(1, KEPT_BYTES_MIN));
        assert!(!quiet.keeps_log_for_little(1, KEPT_BYTES_MIN - 1), "it keeps little");
        assert!(!quiet.keeps_log_for_little(FEW_COMMANDS, KEPT_BYTES_MIN), "it is not idle");
        quiet.begin(facts(9_000, 1, 1 << 40), 0);
        assert!(!quiet.keeps_log_for_little(1, 1 << 41), "it has no entries");
        assert!(!quiet.is_due(facts(99_000, 1, 1 << 41)));
    }

    #[test]
    fn commands_of_other_groups_count_unless_the_group_has_few() {
        let among_others = |commands| SnapshotFacts { all_commands: 50_001, ..facts(9_000, commands, 1) };
        assert!(schedule(TERMS).is_due(among_others(FEW_COMMANDS)));
        assert!(!schedule(TERMS).is_due(among_others(FEW_COMMANDS - 1)));
    }

    #[test]
    fn a_failed_snapshot_is_tried_again_after_a_while() {
        let mut schedule = schedule(TERMS);
        let wait_ms = schedule.failed(1_000);
        assert!(!schedule.is_due(facts(999 + wait_ms, 0, 0)));
        assert!(schedule.is_due(facts(1_000 + wait_ms, 0, 0)));
    }

    #[test]
    fn the_engine_forgets_what_no_follower_will_ask_for() {
        let mut schedule = SnapshotSchedule::new(TERMS, 0, 0);
        assert_eq!(schedule.trim(7, RETAINED_BYTES_MAX, false), None, "too little");
        for step in 1..=64 {
            schedule.count(RETAINED_STEP_BYTES as usize);
            let kept = schedule.trim(step * 10, step * RETAINED_STEP_BYTES, false);
            assert_eq!(kept, None, "a follower may have been away");
        }
        schedule.count(RETAINED_STEP_BYTES as usize);
        assert_eq!(schedule.trim(650, 65 * RETAINED_STEP_BYTES, false), Some(11));
        schedule.count(RETAINED_STEP_BYTES as usize);
        assert_eq!(schedule.trim(660, 66 * RETAINED_STEP_BYTES, true), Some(661), "nobody can ask");
    }

    #[test]
    fn all_groups_together_keep_what_one_would() {
        let mut schedule = SnapshotSchedule::new(TERMS, 0, 0);
        let of_sixteen = 16 * RETAINED_STEP_BYTES;
        for step in 1..=4 {
            schedule.count(RETAINED_STEP_BYTES as usize);
            assert_eq!(schedule.trim(step * 10, step * of_sixteen, false), None);
        }
        schedule.count(RETAINED_STEP_BYTES as usize);
        assert_eq!(schedule.trim(50, 5 * of_sixteen, false), Some(11), "a sixteenth of 64 MiB is kept");
    }
}

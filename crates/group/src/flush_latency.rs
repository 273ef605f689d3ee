//! Whether a group waits for its leader's disk.
//!
//! A leader answers no client while it flushes, so a slow disk there delays every client; a slow
//! disk at a follower delays only its own clients. Such a leader transfers leadership if the others
//! would be faster without it.
//!
//! The leader cannot observe the others' speed by itself: it reads what they acknowledge during its
//! own flush only afterwards. So every member measures its own flushes, a follower reports the mean
//! of each second in which it had any, and disks are compared with disks. Load is alike on all of
//! them, since all flush the same entries; what slows all disks changes no ratio.

use state::members::ServerId;
use std::collections::BTreeMap;

/// Flushes are averaged over this time, in ms. Reports are as frequent.
const WINDOW_MS: i64 = 1_000;

/// A disk with faster flushes than this is not slow, whatever the others do.
const SLOW_US: u64 = 20_000;

/// A disk is slow if its flushes take this many times as long as the others'. A factor of two would
/// occur by chance on a busy machine.
const RATIO: u64 = 4;

/// Number of consecutive windows in which flushes must have been slow, and of flushes in them. One
/// long flush, as when files are deleted, makes one window slow; so do three in a window now and
/// then.
const WINDOWS: u32 = 5;
const FLUSHES: u64 = 20;

/// A report counts for this long, in ms: followers without flushes report nothing.
const FRESH_MS: i64 = 5_000;

/// After another member has led, or this one has transferred leadership, it keeps leadership for
/// this long, in ms, however slow its disk. This bounds how often leadership moves even where disks
/// are slow by turns.
pub(crate) const REST_MS: i64 = 60_000;

/// This member's flushes, and what the others report of theirs.
#[derive(Debug, Default)]
pub(crate) struct FlushLatency {
    due_ms: i64,
    window: Window,
    reports: BTreeMap<ServerId, Report>,
    /// Consecutive slow windows, including the last.
    slow: Slow,
    /// When another member last led, or this one transferred leadership.
    rest_from_ms: Option<i64>,
}

#[derive(Debug, Default)]
struct Window {
    flushes: u64,
    total_us: u64,
}

#[derive(Debug)]
struct Report {
    mean_us: u64,
    at_ms: i64,
}

#[derive(Debug, Default)]
struct Slow {
    windows: u32,
    flushes: u64,
}

/// The group would be faster under another leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SlowLeader {
    /// Mean flush of this member, in µs.
    pub(crate) own_us: u64,
    /// Mean flush of the slowest member in the fastest majority without this member, in µs.
    pub(crate) others_us: u64,
    /// Members fast enough to lead, fastest first.
    pub(crate) quick: Vec<ServerId>,
}

impl FlushLatency {
    /// A flush of this member took `took_us`.
    pub(crate) fn flushed(&mut self, took_us: u64) {
        self.window.flushes += 1;
        self.window.total_us += took_us;
    }

    /// A server reports its mean flush.
    pub(crate) fn reported(&mut self, server: ServerId, mean_us: u64, now_ms: i64) {
        self.reports.insert(server, Report { mean_us, at_ms: now_ms });
    }

    /// Whether the current window is over.
    pub(crate) fn is_due(&self, now_ms: i64) -> bool {
        now_ms >= self.due_ms
    }

    /// Another member leads. Returns the mean of the window that ends now, to be reported to it, if
    /// there was a flush.
    pub(crate) fn follow(&mut self, now_ms: i64) -> Option<u64> {
        self.rest_from_ms = Some(now_ms);
        self.slow = Slow::default();
        self.close_window(now_ms).map(|(mean_us, _)| mean_us)
    }

    /// This member leads, and these are the other voters: returns a result if they wait for its
    /// disk. Ends the window.
    pub(crate) fn lead(&mut self, now_ms: i64, others: &[ServerId]) -> Option<SlowLeader> {
        // A window without flushes is no evidence for or against.
        let (own_us, flushes) = self.close_window(now_ms)?;
        let Some(slow_leader) = self.compare(now_ms, own_us, others) else {
            self.slow = Slow::default();
            return None;
        };
        self.slow.windows += 1;
        self.slow.flushes += flushes;
        let lasts = self.slow.windows >= WINDOWS && self.slow.flushes >= FLUSHES;
        (lasts && self.may_hand_over(now_ms)).then_some(slow_leader)
    }

    /// Whether leadership has stayed in place for long enough.
    pub(crate) fn may_hand_over(&self, now_ms: i64) -> bool {
        self.rest_from_ms.is_none_or(|from_ms| now_ms - from_ms >= REST_MS)
    }

    /// A leadership transfer has begun.
    pub(crate) fn handed_over(&mut self, now_ms: i64) {
        self.rest_from_ms = Some(now_ms);
        self.slow = Slow::default();
    }

    fn close_window(&mut self, now_ms: i64) -> Option<(u64, u64)> {
        self.due_ms = now_ms + WINDOW_MS;
        let Window { flushes, total_us } = std::mem::take(&mut self.window);
        Some((total_us.checked_div(flushes)?, flushes))
    }

    fn compare(&self, now_ms: i64, own_us: u64, others: &[ServerId]) -> Option<SlowLeader> {
        let fresh = |report: &&Report| now_ms - report.at_ms < FRESH_MS;
        let mut known: Vec<(u64, ServerId)> = others
            .iter()
            .filter_map(|server| Some((self.reports.get(server).filter(fresh)?.mean_us, *server)))
            .collect();
        known.sort_unstable();
        // A majority of all voters, without this member.
        let needed = others.len().div_ceil(2) + 1;
        let others_us = known.get(needed - 1)?.0;
        let is_slow = |than_us: u64| own_us >= RATIO * than_us;
        (own_us >= SLOW_US && is_slow(others_us)).then(|| SlowLeader {
            own_us,
            others_us,
            quick: known.iter().filter(|(us, _)| is_slow(*us)).map(|(_, server)| *server).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds windows of a leader with `flushes` flushes of `own_us` each, while the others report
    /// these means. Returns the window, counted from 1, in which it would transfer leadership.
    fn windows(
        latency: &mut FlushLatency,
        from_ms: i64,
        count: i64,
        own: (u64, u64),
        others: &[(ServerId, u64)],
    ) -> Option<i64> {
        let voters: Vec<ServerId> = others.iter().map(|(server, _)| *server).collect();
        (1..=count).find(|number| {
            let now_ms = from_ms + number * WINDOW_MS;
            assert!(latency.is_due(now_ms));
            let (own_us, flushes) = own;
            (0..flushes).for_each(|_| latency.flushed(own_us));
            others.iter().for_each(|(server, us)| latency.reported(*server, *us, now_ms));
            latency.lead(now_ms, &voters).is_some()
        })
    }

    #[test]
    fn it_hands_over_when_a_majority_of_others_is_clearly_quicker() {
        let ms = |ms: u64| ms * 1_000;
        let both = |one, other| vec![(2, ms(one)), (3, ms(other))];
        for (what, own_ms, others, expected) in [
            ("a slow disk beside two quick ones", 50, both(1, 1), Some(5)),
            ("the least that is slow", 20, both(5, 5), Some(5)),
            ("slow, but not in absolute terms", 19, both(1, 1), None),
            ("all are slow alike", 80, both(70, 75), None),
            ("three times as slow is not enough", 60, both(20, 20), None),
            (
                "one of the others is slow too: two of three would wait for a slow disk all the same",
                50,
                both(1, 50),
                None,
            ),
            ("two voters can never do without one", 50, vec![(2, ms(1))], None),
            (
                "five voters, two of them slow",
                50,
                vec![(2, ms(1)), (3, ms(2)), (4, ms(1)), (5, ms(60))],
                Some(5),
            ),
            (
                "five voters, three of them slow",
                50,
                vec![(2, ms(1)), (3, ms(2)), (4, ms(50)), (5, ms(60))],
                None,
            ),
        ] {
            let found = windows(&mut FlushLatency::default(), 0, 60, (ms(own_ms), 10), &others);
            assert_eq!(found, expected, "{what}");
        }
    }

    #[test]
    fn the_quick_are_named_in_their_order() {
        let mut latency = FlushLatency::default();
        let others = [(2, 9_000), (3, 2_000), (4, 1_000), (5, 60_000)];
        for (server, us) in others {
            latency.reported(server, us, 0);
        }
        let slow_leader = latency.compare(0, 40_000, &[2, 3, 4, 5]).expect("it is slow");
        assert_eq!(slow_leader, SlowLeader { own_us: 40_000, others_us: 9_000, quick: vec![4, 3, 2] });
    }

    #[test]
    fn a_few_slow_flushes_are_not_enough() {
        let quick = [(2, 1_000), (3, 1_000)];
        let mut latency = FlushLatency::default();
        assert_eq!(windows(&mut latency, 0, 4, (50_000, 10), &quick), None, "for four seconds");
        assert_eq!(windows(&mut latency, 4_000, 1, (1_000, 10), &quick), None, "then it recovers");
        assert_eq!(
            windows(&mut latency, 5_000, 9, (50_000, 10), &quick),
            Some(5),
            "and counts from the start"
        );
        assert_eq!(
            windows(&mut FlushLatency::default(), 0, 60, (50_000, 1), &quick),
            Some(20),
            "one in a second"
        );
    }

    #[test]
    fn a_window_without_flushes_says_nothing() {
        let quick = [(2, 1_000), (3, 1_000)];
        let mut latency = FlushLatency::default();
        assert_eq!(windows(&mut latency, 0, 4, (50_000, 10), &quick), None);
        assert_eq!(windows(&mut latency, 4_000, 10, (0, 0), &quick), None);
        assert_eq!(windows(&mut latency, 14_000, 10, (50_000, 10), &quick), Some(1));
    }

    #[test]
    fn what_was_reported_long_ago_does_not_count() {
        let mut latency = FlushLatency::default();
        (2..=3).for_each(|server| latency.reported(server, 1_000, 0));
        let found = (1..=60).find(|second| {
            (0..10).for_each(|_| latency.flushed(50_000));
            latency.lead(FRESH_MS - 2_000 + second * WINDOW_MS, &[2, 3]).is_some()
        });
        assert_eq!(found, None, "two windows are not enough");
    }

    #[test]
    fn leadership_goes_round_once_in_a_minute() {
        let quick = [(2, 1_000), (3, 1_000)];
        let mut latency = FlushLatency::default();
        assert_eq!(latency.follow(0), None, "nothing to report");
        latency.flushed(3_000);
        latency.flushed(5_000);
        assert_eq!(latency.follow(1_000), Some(4_000));
        assert_eq!(
            windows(&mut latency, 1_000, 100, (50_000, 10), &quick),
            Some(60),
            "another led until then"
        );
        latency.handed_over(61_000);
        assert_eq!(windows(&mut latency, 61_000, 100, (50_000, 10), &quick), Some(60), "it was in vain");
    }
}

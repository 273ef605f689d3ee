//! Several threads pick from one picker.
#![allow(clippy::disallowed_methods, reason = "the test has threads; the crate has none")]

use std::collections::BTreeMap;
use std::thread;

use balance::{Choice, Pick, Picker};

use crate::common::{equal, picker};

const THREADS: usize = 4;
const PICKS: usize = 1_000;

/// What the threads picked and hold.
fn pick_together(picker: &Picker) -> Vec<Pick> {
    thread::scope(|scope| {
        let work = |thread: usize| {
            move || {
                let key = |number: usize| (number * THREADS + thread).to_le_bytes();
                (0..PICKS).map(|number| picker.pick(&key(number)).expect("a pick")).collect::<Vec<_>>()
            }
        };
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(work(thread))).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("the thread ends")).collect()
    })
}

#[test]
fn every_pick_of_every_thread_is_counted_until_it_is_dropped() {
    for choice in Choice::all() {
        let picker = picker(choice, &equal(7));
        let held = pick_together(&picker);
        let mut counts = BTreeMap::new();
        held.iter().for_each(|pick| *counts.entry(pick.instance().id().to_owned()).or_insert(0) += 1);
        for (instance, outstanding) in picker.instances() {
            let expected = counts.get(instance.id()).copied().unwrap_or(0);
            assert_eq!(outstanding, expected, "{choice} {}", instance.id());
        }
        drop(held);
        assert!(picker.instances().all(|(_, outstanding)| outstanding == 0), "{choice}");
    }
}

#[test]
fn the_bound_and_the_turns_hold_between_threads() {
    let requests = (THREADS * PICKS) as u64;
    for choice in [Choice::RingBounded, Choice::RendezvousBounded] {
        let picker = picker(choice, &equal(7));
        let held = pick_together(&picker);
        let most = held.iter().map(Pick::outstanding).max().expect("picks");
        // While requests only come, no thread counts more of them than there are in the end.
        assert!(most <= (125 * requests).div_ceil(100 * 7), "{choice}: {most}");
    }
    for choice in [Choice::RoundRobin, Choice::Weighted] {
        let picker = picker(choice, &equal(5));
        let held = pick_together(&picker);
        assert!(held.iter().all(|pick| pick.outstanding() == requests / 5), "{choice}");
    }
}

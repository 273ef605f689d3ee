//! Counters, groups, double barriers, barriers and leases under faults: several programs use them
//! at three servers while servers and programs are killed, stopped for longer than their sessions
//! live, and cut off.
//!
//! A counter has every addition that was acknowledged, and besides them only such as may have been
//! made; no sum is told twice. A group lists those that live, and no others once their sessions are
//! over. No one enters a double barrier before all have come, or leaves it before all that are left
//! want to. No one passes a closed barrier. No two have a lease at a time, unless one was stopped:
//! then what it writes comes with a token that is too low.

use std::time::{Duration, Instant};

use ostler_tests::contest::{Contest, PATIENCE};
use ostler_tests::ensemble::Engine;
use ostler_tests::waiting::await_that;

/// How long faults go on. `OSTLER_FAULT_SECONDS` sets another time.
const SECONDS: u64 = 10;
/// What must be done after the last fault, of each kind.
const AFTERWARDS: usize = 8;

/// Each kind of fault once, and then any until the time is over.
fn suffer(contest: &mut Contest) {
    let seconds = std::env::var("OSTLER_FAULT_SECONDS").ok().and_then(|text| text.parse().ok());
    let ends = Instant::now() + Duration::from_secs(seconds.unwrap_or(SECONDS));
    let mut faults = 0;
    while faults < 2 || Instant::now() < ends {
        match faults % 10 {
            0 => contest.stop_some(),
            1 => contest.cut_some_off(),
            _ => contest.suffer(),
        }
        faults += 1;
    }
    println!("{faults} faults");
}

/// How much was done: sums, rounds, passes, turns.
fn done(contest: &Contest) -> [usize; 4] {
    let rounds = contest.rounds().left.values().sum();
    [contest.counts().sums.len(), rounds, contest.gate().passes, contest.leases().turns]
}

fn conclude(contest: &mut Contest) {
    let before = done(contest);
    await_that(PATIENCE, &format!("all go on after {before:?}"), || {
        let pairs = done(contest).into_iter().zip(before);
        pairs.into_iter().all(|(now, before)| now >= before + AFTERWARDS).then_some(())
    });
    contest.kill_members();
    contest.end("stop");
}

fn check(contest: &mut Contest) {
    let number = contest.number();
    let (counts, rounds, gate, leases) =
        (contest.counts(), contest.rounds(), contest.gate(), contest.leases());
    println!("counter: {number}, {} told, {} unsure", counts.sums.len(), counts.unsure);
    println!("double barriers: {} rounds; barrier: {} passes", rounds.left.len(), gate.passes);
    println!("lease: {} turns, {} late writes", leases.turns, leases.refused);
    let mut violations = [
        ("counter", counts.check(number)),
        ("group", contest.unlisted()),
        ("double barrier", rounds.violations),
        ("barrier", gate.violations),
        ("lease", leases.violations),
    ]
    .to_vec();
    violations.retain(|(_, found)| !found.is_empty());
    assert!(violations.is_empty(), "{violations:#?}");
}

fn promises_hold_under_faults(engine: Engine) {
    let mut contest = Contest::start(engine);
    contest.use_recipes();
    suffer(&mut contest);
    conclude(&mut contest);
    check(&mut contest);
}

#[test]
fn promises_hold_under_faults_with_raft() {
    promises_hold_under_faults(Engine::Raft);
}

#[test]
fn promises_hold_under_faults_with_paxos() {
    promises_hold_under_faults(Engine::Paxos);
}

//! Locks, elections, semaphores and a queue under faults: several programs use them at three
//! servers while servers and programs are killed, stopped for longer than their sessions live, and
//! cut off.
//!
//! No two lead or hold a lock together, and no more hold leases than there are, unless one of them
//! was stopped: then what it writes comes with a token that is too low. Each item of the queue is
//! acknowledged, and does not come back afterwards.

use std::time::{Duration, Instant};

use ostler_tests::contest::{Contest, PATIENCE, Prize, QUEUE};
use ostler_tests::ensemble::Engine;
use ostler_tests::waiting::await_that;

const LOCK: Prize = Prize { command: "lock", options: "", leases: 1 };
const ELECTION: Prize = Prize { command: "elect", options: "", leases: 1 };
const SEMAPHORE: Prize = Prize { command: "semaphore", options: "--leases 2", leases: 2 };
const PRIZES: [Prize; 3] = [LOCK, ELECTION, SEMAPHORE];
const LOGS: [&str; 4] = ["lock", "elect", "semaphore", QUEUE];

/// Contenders for each prize, and workers that take items.
const CONTENDERS: usize = 4;
const WORKERS: usize = 4;
/// How long faults go on. `OSTLER_FAULT_SECONDS` sets another time.
const SECONDS: u64 = 10;
/// Turns that must be taken after the last fault, for each prize.
const TURNS_AFTERWARDS: usize = 8;

fn start(engine: Engine) -> Contest {
    let mut contest = Contest::start(engine);
    PRIZES.iter().for_each(|prize| contest.contend(*prize, CONTENDERS));
    contest.work("put", 2, "stop");
    contest.work("take", WORKERS, "stop-taking");
    contest
}

/// Each kind of fault once, and then any until the time is over.
fn suffer(contest: &mut Contest) {
    let seconds = std::env::var("OSTLER_FAULT_SECONDS").ok().and_then(|text| text.parse().ok());
    let ends = Instant::now() + Duration::from_secs(seconds.unwrap_or(SECONDS));
    let mut faults = 0;
    while faults < 2 || Instant::now() < ends {
        match faults % 10 {
            0 => contest.stop_holders(&LOGS),
            1 => contest.cut_holders_off(&LOGS),
            _ => contest.suffer(),
        }
        faults += 1;
    }
    println!("{faults} faults");
}

fn conclude(contest: &mut Contest) {
    for prize in PRIZES {
        let before = contest.holds(prize).turns;
        let enough = || (contest.holds(prize).turns >= before + TURNS_AFTERWARDS).then_some(());
        await_that(PATIENCE, &format!("turns of {prize:?} go on after {before}"), enough);
    }
    contest.end("stop");
    let is_decided = || {
        let items = contest.items();
        (items.left().is_empty() || !items.violations.is_empty()).then_some(())
    };
    await_that(PATIENCE, "every item is acknowledged", is_decided);
    contest.end("stop-taking");
}

fn check(contest: &mut Contest) {
    let (mut violations, mut refused) = (Vec::new(), 0);
    for prize in PRIZES {
        let holds = contest.holds(prize);
        println!("{}: {} turns, {} late writes", prize.command, holds.turns, holds.refused);
        refused += holds.refused;
        violations.push((prize.command, holds.violations));
        assert!(holds.holders.is_empty(), "{prize:?}: {:?}", holds.holders);
    }
    let items = contest.items();
    println!("queue: {} items, {} times taken", items.put.len(), items.takes);
    violations.push((QUEUE, items.violations));
    violations.retain(|(_, found)| !found.is_empty());
    assert!(violations.is_empty(), "{violations:#?}");
    assert_eq!(contest.queue_length(), 0, "what was acknowledged is gone");
    assert!(refused > 0, "one that was stopped writes late, and its token tells");
    assert!(items.takes > items.put.len(), "an item of one that was stopped comes back");
}

fn promises_hold_under_faults(engine: Engine) {
    let mut contest = start(engine);
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

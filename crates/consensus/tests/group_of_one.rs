//! A group of one, as in a standalone server, with either engine.

use bytes::Bytes;
use consensus::engine::{Engine, Ready, Role, Settings, Start};
use consensus::entry::{EntryKind, MemberId};
use consensus::paxos::PaxosEngine;
use consensus::raft::RaftEngine;

type Make = fn(Start) -> Box<dyn Engine>;

fn settings() -> Settings {
    Settings::new(7, MemberId(1), 1, 1)
}

const ENGINES: [Make; 2] = [
    |start| Box::new(RaftEngine::new(settings(), start)),
    |start| Box::new(PaxosEngine::new(settings(), start)),
];

fn founding() -> Start {
    Start::bootstrap(&[MemberId(1)])
}

/// Handles all pending work, flushing at once.
fn run(engine: &mut dyn Engine) -> Vec<Ready> {
    let mut seen = Vec::new();
    let mut ready = Ready::default();
    while engine.ready(&mut ready) {
        if ready.must_sync {
            engine.persisted(ready.number);
        }
        seen.push(std::mem::take(&mut ready));
    }
    seen
}

#[test]
fn a_group_of_one_leads_without_a_tick() {
    for alone in ENGINES {
        let mut engine = alone(founding());
        assert_eq!(engine.role().role, Role::Leader);
        let committed =
            run(engine.as_mut()).into_iter().flat_map(|ready| ready.committed).collect::<Vec<_>>();
        assert_eq!(committed.len(), 1);
        assert_eq!((committed[0].kind, committed[0].index), (EntryKind::Leadership, 2));
    }
}

#[test]
fn a_batch_is_one_flush_and_nothing_commits_before_it() {
    for alone in ENGINES {
        let mut engine = alone(founding());
        run(engine.as_mut());
        for number in 0..100u8 {
            engine.propose(Bytes::copy_from_slice(&[number])).expect("it leads");
        }
        let mut ready = Ready::default();
        assert!(engine.ready(&mut ready));
        assert!(ready.must_sync && ready.entries.len() == 100 && ready.committed.is_empty());
        let number = ready.number;
        assert!(!engine.ready(&mut ready), "no work until the flush");
        engine.persisted(number);
        assert!(engine.ready(&mut ready));
        assert_eq!(
            ready.committed.iter().map(|entry| entry.data[0]).collect::<Vec<_>>(),
            (0..100).collect::<Vec<_>>()
        );
        assert!(!ready.must_sync, "the commit alone needs no flush");
        assert!(!engine.ready(&mut ready));
    }
}

#[test]
fn reporting_the_last_flush_covers_earlier_ones() {
    for alone in ENGINES {
        let mut engine = alone(founding());
        run(engine.as_mut());
        let mut ready = Ready::default();
        let mut number = 0;
        for name in ["a", "b", "c"] {
            engine.propose(Bytes::from_static(name.as_bytes())).expect("it leads");
            assert!(engine.ready(&mut ready));
            assert_eq!(ready.entries.len(), 1);
            number = ready.number;
        }
        engine.persisted(number);
        assert!(engine.ready(&mut ready));
        assert_eq!(ready.committed.len(), 3);
    }
}

#[test]
fn a_restart_gives_out_the_entries_after_the_snapshot_again() {
    for alone in ENGINES {
        let mut engine = alone(founding());
        let mut log = run(engine.as_mut());
        for name in ["a", "b", "c"] {
            engine.propose(Bytes::from_static(name.as_bytes())).expect("it leads");
            log.extend(run(engine.as_mut()));
        }
        engine.applied(4);
        let snapshot = engine.snapshot_meta(4).expect("applied");
        let entries = log.iter().flat_map(|ready| ready.entries.clone()).collect::<Vec<_>>();
        let hard_state = log.iter().filter_map(|ready| ready.hard_state).next_back().expect("a term");

        let mut again = alone(Start { hard_state, snapshot, entries });
        assert_eq!(again.role().role, Role::Leader);
        assert!(again.role().term > engine.role().term);
        let committed = run(again.as_mut()).into_iter().flat_map(|ready| ready.committed).collect::<Vec<_>>();
        assert_eq!(committed[0].data, "c");
        assert_eq!((committed[1].kind, committed.len()), (EntryKind::Leadership, 2));
    }
}

#[test]
fn a_read_is_answered_by_the_next_ready() {
    for alone in ENGINES {
        let mut engine = alone(founding());
        engine.read_barrier(5).expect("few reads wait");
        let first = run(engine.as_mut());
        let barriers = first.iter().flat_map(|ready| ready.barriers.clone()).collect::<Vec<_>>();
        assert_eq!((barriers.len(), barriers[0].context, barriers[0].index), (1, 5, 2));
    }
}

//! Ensembles of real servers under faults: the guarantees to clients hold.

use std::time::{Duration, Instant};

use ostler_tests::change::SETTINGS;
use ostler_tests::ensemble::{Engine, Ensemble, Layout, PATIENCE};
use ostler_tests::faults::{
    FAULTS_OF_FIVE, FAULTS_OF_THREE, FAULTS_WHILE_CHANGING, FAULTS_WITH_OBSERVER, Fault, suffer,
    suffer_while_changing,
};
use ostler_tests::generate::Random;
use ostler_tests::load::{Load, prepare};
use ostler_tests::session::{Session, create, get_data, ping};
use ostler_tests::trial::conclude;

#[test]
fn a_wiped_disk_is_filled_again_and_counts() {
    for engine in [Engine::Raft, Engine::Paxos] {
        let mut ensemble = Ensemble::start(engine, 3, &[]);
        let leader = ensemble.await_leader();
        let others: Vec<u8> = ensemble.servers().into_iter().filter(|server| *server != leader).collect();
        let mut session = Session::open(ensemble.address(leader), 20_000).expect("a session");
        session.must(&create("/kept", b"data", 0));
        ensemble.kill(others[0]);
        ensemble.wipe(others[0]);
        ensemble.launch(others[0]);
        ensemble.await_serving();
        ensemble.await_votes();
        ensemble.kill(leader);
        ensemble.await_serving();
        let mut session = Session::open(ensemble.address(others[0]), 20_000).expect("a session");
        assert_eq!(session.must(&get_data("/kept")).buffer(), b"data", "{engine:?}");
    }
}

/// It serves, and it never votes: counting it as half of a majority loses what was acknowledged. An
/// observer that had lost every other member kept serving as well, because a member that never
/// stands for election took the last leader for the leader for ever.
#[test]
fn an_observer_serves_and_never_votes() {
    for engine in [Engine::Raft, Engine::Paxos] {
        let layout = Layout { observers: 1, ..Layout::voters(3) };
        let mut ensemble = Ensemble::start_as(engine, layout, &[]);
        let observer = ensemble.observers()[0];
        let mut session = Session::open(ensemble.address(observer), 20_000).expect("a session");
        session.must(&create("/through-it", b"data", 0));
        assert_eq!(ensemble.mode(observer).as_deref(), Some("observer"), "{engine:?}");
        let leader = ensemble.await_leader();
        ensemble
            .voters()
            .into_iter()
            .filter(|server| *server != leader)
            .for_each(|other| ensemble.kill(other));
        // Two processes of four are left, and one vote of three.
        ensemble.await_that("the leader without a majority serves nobody", |ensemble| {
            ensemble.mode(leader).is_none().then_some(())
        });
        ensemble
            .await_that("nor does the observer", |ensemble| ensemble.mode(observer).is_none().then_some(()));
        ensemble.launch(leader % 3 + 1);
        ensemble.await_serving();
        assert_ne!(ensemble.leader(), Some(observer), "{engine:?}");
        let mut session = Session::open(ensemble.address(observer), 20_000).expect("a session");
        assert_eq!(session.must(&get_data("/through-it")).buffer(), b"data", "{engine:?}");
    }
}

/// The thread that flushes is the one that would notice that there is no leader; while its disk
/// hung, the members' other threads kept answering reads from a state that got older and older, and
/// writes hung as long as the disk did.
#[test]
fn clients_of_a_member_whose_disk_hangs_are_sent_to_others() {
    for engine in [Engine::Raft, Engine::Paxos] {
        let mut ensemble = Ensemble::start_as(engine, Layout { slow_disks: true, ..Layout::voters(3) }, &[]);
        let leader = ensemble.await_leader();
        let other = leader % 3 + 1;
        let mut of_leader = Session::open(ensemble.address(leader), 40_000).expect("a session");
        // With one busy client its connection's own thread would flush and hang, and there would be
        // no read to be wrong.
        let mut second = Session::open(ensemble.address(leader), 40_000).expect("a session");
        ensemble.slow_down(leader, Duration::from_secs(86_400));
        for _ in 0..10 {
            of_leader.must(&ping());
            second.must(&ping());
        }
        of_leader.send(&create("/hangs", b"", 0));
        assert!(of_leader.is_closed_within(PATIENCE), "{engine:?}: its client is told");
        assert!(second.is_closed_within(PATIENCE), "{engine:?}: and one that waits for nothing");
        assert_eq!(ensemble.mode(leader), None, "{engine:?}: and four-letter words get no answer");
        assert!(
            Session::open(ensemble.address(leader), 40_000).is_none(),
            "{engine:?}: it takes no new ones"
        );
        ensemble.await_that("another leads", |ensemble| ensemble.leader().filter(|new| *new != leader));
        let mut session = Session::open(ensemble.address(other), 40_000).expect("a session");
        session.must(&create("/goes-on", b"data", 0));
        ensemble.slow_down(leader, Duration::ZERO);
        ensemble.await_serving();
        let mut session = Session::open(ensemble.address(leader), 40_000).expect("a session");
        assert_eq!(session.must(&get_data("/goes-on")).buffer(), b"data", "{engine:?}: it has caught up");
    }
}

/// A shared disk stalls for a second now and then. The thread that flushes also sends heartbeats,
/// so a server with nothing to flush stopped hearing from the stalled ones: a follower from its
/// leader, and a leader from its followers.
#[test]
fn disks_that_stall_for_a_while_cause_no_election() {
    for (engine, of_leader) in
        [Engine::Raft, Engine::Paxos].into_iter().flat_map(|engine| [(engine, true), (engine, false)])
    {
        let mut ensemble = Ensemble::start_as(engine, Layout { slow_disks: true, ..Layout::voters(3) }, &[]);
        let (leader, term) = (ensemble.await_leader(), ensemble.term());
        let mut session = Session::open(ensemble.address(leader % 3 + 1), 40_000).expect("a session");
        let mut still = ensemble.servers();
        still.retain(|server| (*server == leader) == of_leader);
        still.iter().for_each(|server| ensemble.slow_down(*server, Duration::from_secs(86_400)));
        session.send(&create("/waits", b"", 0));
        std::thread::sleep(Duration::from_millis(800));
        still.iter().for_each(|server| ensemble.slow_down(*server, Duration::ZERO));
        assert_eq!(session.reply().map(|reply| reply.err), Some(0), "{engine:?}, {still:?} of {leader}");
        assert_eq!((ensemble.leader(), ensemble.term()), (Some(leader), term), "{engine:?}, {still:?}");
    }
}

/// An ensemble, its faults, and how many of these are in the short form, from the begin
/// of their list.
struct Ordeal {
    layout: Layout,
    faults: &'static [Fault],
    short: usize,
}

impl Ordeal {
    fn of_three() -> Ordeal {
        let layout = Layout { slow_disks: true, ..Layout::voters(3) };
        Ordeal { layout, faults: &FAULTS_OF_THREE, short: 11 }
    }

    fn of_five() -> Ordeal {
        Ordeal { layout: Layout::voters(5), faults: &FAULTS_OF_FIVE, short: 3 }
    }

    fn with_observer() -> Ordeal {
        let layout = Layout { observers: 1, ..Layout::voters(3) };
        Ordeal { layout, faults: &FAULTS_WITH_OBSERVER, short: 3 }
    }

    /// Its members change at every fault.
    fn of_change() -> Ordeal {
        let layout = Layout { spares: 1, slow_disks: true, ..Layout::voters(3) };
        Ordeal { layout, faults: &FAULTS_WHILE_CHANGING, short: 5 }
    }
}

/// Clients at work for each member.
const CLIENTS: usize = 2;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text}")))
}

/// The faults in the order of the list; in the long form, then any fault at random until the time
/// is over.
fn suffer_all(ensemble: &mut Ensemble, load: &Load, ordeal: &Ordeal, random: &mut Random) {
    let begun = Instant::now();
    let long = number("OSTLER_FAULT_SECONDS").map(Duration::from_secs);
    let count = if long.is_some() { ordeal.faults.len() } else { ordeal.short };
    let mut faults: Vec<_> = ordeal.faults[..count].iter().copied().rev().collect();
    while let Some(fault) = faults.pop().filter(|_| !load.has_failed()) {
        println!("{:?} {fault:?}", begun.elapsed());
        if ordeal.layout.spares > 0 {
            suffer_while_changing(ensemble, load, fault, random);
        } else {
            suffer(ensemble, load, fault, random);
        }
        if faults.is_empty() && long.is_some_and(|long| begun.elapsed() < long) {
            faults.push(random.pick(ordeal.faults));
        }
    }
}

fn promises_hold(engine: Engine, ordeal: &Ordeal) {
    let seed = number("OSTLER_FAULT_SEED").unwrap_or(1);
    // Snapshots and new segments of the log come often, so that members catch up in every way.
    let mut settings = vec!["snapCount=3000", "preAllocSize=4096", "maxSessionTimeout=60000"];
    if ordeal.layout.spares > 0 {
        settings.extend(SETTINGS);
    }
    let mut ensemble = Ensemble::start_as(engine, ordeal.layout.clone(), &settings);
    if ordeal.layout.spares > 0 {
        ensemble.settle();
        ensemble.launch_spares();
    }
    prepare(ensemble.address(1));
    let clients = CLIENTS * ensemble.servers().len();
    let load = Load::start(ensemble.all_addresses(), clients, seed);
    suffer_all(&mut ensemble, &load, ordeal, &mut Random::new(seed));
    conclude(&mut ensemble, load, &format!("{engine:?}"), number("OSTLER_FAULT_SECONDS").is_some());
}

#[test]
fn promises_hold_with_raft() {
    promises_hold(Engine::Raft, &Ordeal::of_three());
}

#[test]
fn promises_hold_with_paxos() {
    promises_hold(Engine::Paxos, &Ordeal::of_three());
}

#[test]
fn promises_hold_among_five_with_raft() {
    promises_hold(Engine::Raft, &Ordeal::of_five());
}

#[test]
fn promises_hold_among_five_with_paxos() {
    promises_hold(Engine::Paxos, &Ordeal::of_five());
}

#[test]
fn promises_hold_beside_an_observer_with_raft() {
    promises_hold(Engine::Raft, &Ordeal::with_observer());
}

#[test]
fn promises_hold_beside_an_observer_with_paxos() {
    promises_hold(Engine::Paxos, &Ordeal::with_observer());
}

#[test]
fn promises_hold_while_members_come_and_go_with_raft() {
    promises_hold(Engine::Raft, &Ordeal::of_change());
}

#[test]
fn promises_hold_while_members_come_and_go_with_paxos() {
    promises_hold(Engine::Paxos, &Ordeal::of_change());
}

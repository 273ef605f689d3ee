//! One round: the leader fails, others take over, it comes back.

use std::fmt;
use std::time::{Duration, Instant, SystemTime};

use clap::ValueEnum;
use ostler_tests::ensemble::{Engine, Ensemble, PATIENCE};
use ostler_tests::generate::Random;
use ostler_tests::links::Link;

use crate::clients::{Ack, Client};

/// The leader's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Fault {
    /// `kill -9` of its process.
    Kill,
    /// Its process is stopped, with all connections open.
    Stop,
    /// Messages between it and the others are lost, and no connection is closed.
    Partition,
    /// It is asked to end (SIGTERM), as for maintenance.
    Handover,
}

impl Fault {
    /// Its name among the arguments.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Fault::Kill => "kill",
            Fault::Stop => "stop",
            Fault::Partition => "partition",
            Fault::Handover => "handover",
        }
    }

    /// Whether it can be done to such an ensemble. ZooKeeper's servers tell each other their
    /// addresses, and would dial past a proxy.
    pub(crate) fn can_befall(self, engine: Engine) -> bool {
        self != Fault::Partition || engine != Engine::ZooKeeper
    }

    fn begin(self, ensemble: &mut Ensemble, leader: u8) {
        match self {
            Fault::Kill => ensemble.kill(leader),
            Fault::Stop => ensemble.pause(leader, true),
            Fault::Partition => ensemble.links.set_around(leader, Link::Hole),
            Fault::Handover => drop(ensemble.stop(leader)),
        }
    }

    fn end(self, ensemble: &mut Ensemble, leader: u8) {
        match self {
            Fault::Kill | Fault::Handover => ensemble.launch(leader),
            Fault::Stop => ensemble.pause(leader, false),
            Fault::Partition => ensemble.links.heal(),
        }
    }
}

/// Writes that every client has acknowledged before the fault: it is well connected.
const WRITES_BEFORE: usize = 10;

/// Rounds must not always begin at the same point of a server's ticks.
const WAIT_MS: u64 = 200;

/// The result of a round.
#[derive(Clone, Debug)]
pub(crate) struct Round {
    leader: u8,
    /// When the leader failed.
    pub(crate) at: SystemTime,
    /// From the fault until a client of another server had a write acknowledged that it sent after
    /// the fault and that is of a new leadership.
    pub(crate) first_ms: f64,
    /// The same of the client that was connected to the leader.
    pub(crate) moved_ms: f64,
    /// The longest time that a client of another server waited for an acknowledgement.
    pub(crate) stall_ms: f64,
    /// Connections to other servers that were closed.
    pub(crate) closed: usize,
    /// The longest time until then without an acknowledged write. A leader that transfers
    /// leadership may continue for a while.
    pub(crate) silence_ms: f64,
    lost_sessions: usize,
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Round { leader, first_ms, stall_ms, moved_ms, silence_ms, closed, lost_sessions, .. } = self;
        write!(f, "first write {first_ms:>8.1} ms, longest stall {stall_ms:>8.1} ms, ")?;
        write!(f, "the leader's client {moved_ms:>8.1} ms, silence {silence_ms:>8.1} ms, leader {leader}")?;
        if *closed > 0 {
            write!(f, ", {closed} connections closed")?;
        }
        if *lost_sessions > 0 {
            write!(f, ", {lost_sessions} sessions lost")?;
        }
        Ok(())
    }
}

/// Runs one, and leaves the ensemble with all members in step.
///
/// # Panics
/// If anything takes longer than [`PATIENCE`].
pub(crate) fn run(ensemble: &mut Ensemble, fault: Fault, random: &mut Random) -> Round {
    loop {
        ensemble.await_in_step();
        let leader = ensemble.await_leader();
        let clients = connect(ensemble, leader);
        await_that("every client writes", || {
            clients.iter().all(|client| client.acks().len() >= WRITES_BEFORE).then_some(())
        });
        std::thread::sleep(Duration::from_millis(random.below(WAIT_MS)));
        let round = (ensemble.leader() == Some(leader)).then(|| strike(ensemble, fault, leader, &clients));
        clients.into_iter().for_each(Client::end);
        if let Some(round) = round {
            ensemble.await_in_step();
            return round;
        }
        println!("an election without a fault: the round begins again");
    }
}

/// One client of the leader, and one of each of the others. Those do not know the leader: what they
/// find out is when the others serve again, and not how long they wait for a server that is silent.
fn connect(ensemble: &Ensemble, leader: u8) -> Vec<Client> {
    let mut others = ensemble.servers();
    others.retain(|server| *server != leader);
    let reversed = others.iter().rev().copied().collect();
    let lists = [[&[leader], &others[..]].concat(), others.clone(), reversed];
    let start = |list: Vec<u8>| Client::start(list.iter().map(|server| ensemble.address(*server)).collect());
    lists.into_iter().map(start).collect()
}

fn strike(ensemble: &mut Ensemble, fault: Fault, leader: u8, clients: &[Client]) -> Round {
    let before = clients.iter().filter_map(|client| Some(client.acks().last()?.epoch)).max();
    let before = before.expect("every client has written");
    // The leader's client is the first one.
    let connections = || clients.iter().skip(1).map(Client::connections).sum::<usize>();
    let connected = connections();
    let (at, struck) = (SystemTime::now(), Instant::now());
    fault.begin(ensemble, leader);
    // The old leader may acknowledge a write that was sent after the fault, when it is not yet
    // felt.
    let next = |client: &Client| {
        let acks = client.acks();
        acks.into_iter().find(|ack| ack.sent >= struck && ack.epoch > before)
    };
    let (moved, first, last) = await_that("every client writes again", || {
        let all: Option<Vec<Ack>> = clients.iter().map(next).collect();
        let (moved, others) = (all.as_ref()?.first()?, all.as_ref()?.iter().skip(1));
        let others: Vec<Instant> = others.map(|ack| ack.acked).collect();
        Some((moved.acked, *others.iter().min()?, *others.iter().max()?))
    });
    fault.end(ensemble, leader);
    let since = |acked: Instant| milliseconds(acked - struck);
    Round {
        leader,
        at,
        first_ms: since(first),
        moved_ms: since(moved),
        stall_ms: clients.iter().skip(1).map(|client| stall(client.acks(), struck, last)).fold(0.0, f64::max),
        closed: connections() - connected,
        silence_ms: stall(clients.iter().flat_map(Client::acks).collect(), struck, first),
        lost_sessions: clients.iter().filter(|client| client.has_lost_session()).count(),
    }
}

/// The longest time between two acknowledgements, the later of which came after the fault and no
/// later than `until`.
fn stall(acks: Vec<Ack>, struck: Instant, until: Instant) -> f64 {
    let mut acked: Vec<Instant> = acks.into_iter().map(|ack| ack.acked).collect();
    acked.sort_unstable();
    let pairs = acked.windows(2).filter(|pair| pair[1] > struck && pair[1] <= until);
    let longest = pairs.map(|pair| pair[1] - pair[0]).max();
    milliseconds(longest.expect("a write after the fault, and one before it"))
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn await_that<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "after {PATIENCE:?} it is not so that {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

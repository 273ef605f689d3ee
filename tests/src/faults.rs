//! Faults of an ensemble, one after the other, while clients work.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::change::{Change, Operator};
use crate::ensemble::{Ensemble, Role};
use crate::generate::Random;
use crate::links::Link;
use crate::load::Load;

/// Writes that must be acknowledged while a majority can still commit.
const WRITES: u64 = 20;

/// A flush that does not end within any test.
const FOR_EVER: Duration = Duration::from_secs(86_400);

/// One fault. Each leaves a majority that can commit, unless noted otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9` of the leader.
    KillLeader,
    /// `kill -9` of a follower.
    KillFollower,
    /// `kill -9` of all at once: nothing can be committed.
    KillAll,
    /// The leader is stopped with all connections open.
    PauseLeader,
    /// A follower does.
    PauseFollower,
    /// The leader is cut off, in one of the ways of [`Link`].
    IsolateLeader(Link),
    /// A follower is.
    IsolateFollower(Link),
    /// The leader hears every member, and no member hears it.
    LeaderUnheard,
    /// Every member hears the leader, and it hears none.
    LeaderDeaf,
    /// The leader and one follower do not reach each other, and the other follower reaches both.
    Bridge(Link),
    /// The leader's links come and go: there may be no majority that can commit.
    Flap,
    /// The leader dies in the moment in which a follower comes back that has missed much: it is
    /// needed before it has caught up.
    KillLeaderOfTheLate,
    /// The leader's messages, in both directions, are delayed.
    SlowLeader,
    /// A follower loses its disk.
    WipeFollower,
    /// A bit of a follower's log is inverted while it is away.
    DamageFollower,
    /// Each is asked to stop and started again, one by one.
    RollingRestart,
    /// The ways between all members lose packets.
    Lossy,
    /// Each flush of the leader takes longer than a heartbeat.
    SlowDiskOfLeader,
    /// A flush of the leader does not end.
    HungDiskOfLeader,
    /// A flush of a follower does not end.
    HungDiskOfFollower,
    /// `kill -9` of the leader and a follower, of five.
    KillTwo,
    /// The leader and a follower are cut off from the others and from each other, of five.
    IsolateTwo(Link),
    /// The leader and a follower are cut off together from the other three, of five.
    SplitOffTwo(Link),
    /// `kill -9` of a member without a vote.
    KillObserver,
    /// A member without a vote is stopped.
    PauseObserver,
    /// A member without a vote is cut off.
    IsolateObserver(Link),
}

/// Every fault of three members, in the order of the short form.
pub const FAULTS_OF_THREE: [Fault; 26] = [
    Fault::KillLeader,
    Fault::IsolateLeader(Link::Hole),
    Fault::KillFollower,
    Fault::HungDiskOfLeader,
    Fault::PauseLeader,
    Fault::WipeFollower,
    Fault::DamageFollower,
    Fault::Bridge(Link::Cut),
    Fault::Lossy,
    Fault::IsolateLeader(Link::Stall),
    Fault::RollingRestart,
    Fault::Flap,
    Fault::KillLeaderOfTheLate,
    Fault::LeaderUnheard,
    Fault::LeaderDeaf,
    Fault::IsolateFollower(Link::Stall),
    Fault::SlowDiskOfLeader,
    Fault::SlowLeader,
    Fault::KillAll,
    Fault::HungDiskOfFollower,
    Fault::IsolateLeader(Link::Cut),
    Fault::PauseFollower,
    Fault::Bridge(Link::Hole),
    Fault::Bridge(Link::Stall),
    Fault::IsolateFollower(Link::Cut),
    Fault::IsolateFollower(Link::Hole),
];

/// Every fault of five members, in the order of the short form.
pub const FAULTS_OF_FIVE: [Fault; 12] = [
    Fault::KillTwo,
    Fault::IsolateTwo(Link::Hole),
    Fault::SplitOffTwo(Link::Stall),
    Fault::IsolateTwo(Link::Stall),
    Fault::SplitOffTwo(Link::Cut),
    Fault::SplitOffTwo(Link::Hole),
    Fault::Lossy,
    Fault::WipeFollower,
    Fault::RollingRestart,
    Fault::KillAll,
    Fault::KillLeader,
    Fault::IsolateTwo(Link::Cut),
];

/// Every fault of three members with a vote and one without, in the order of the short form.
pub const FAULTS_WITH_OBSERVER: [Fault; 12] = [
    Fault::KillObserver,
    Fault::IsolateObserver(Link::Hole),
    Fault::KillLeader,
    Fault::IsolateObserver(Link::Stall),
    Fault::IsolateLeader(Link::Hole),
    Fault::PauseObserver,
    Fault::IsolateObserver(Link::Cut),
    Fault::RollingRestart,
    Fault::KillFollower,
    Fault::Lossy,
    Fault::WipeFollower,
    Fault::KillAll,
];

/// Every fault during which the members of four servers are changed, in the order of the short
/// form.
pub const FAULTS_WHILE_CHANGING: [Fault; 21] = [
    Fault::KillLeader,
    Fault::IsolateLeader(Link::Hole),
    Fault::Lossy,
    Fault::WipeFollower,
    Fault::PauseLeader,
    Fault::KillFollower,
    Fault::IsolateFollower(Link::Stall),
    Fault::HungDiskOfLeader,
    Fault::RollingRestart,
    Fault::Bridge(Link::Hole),
    Fault::KillAll,
    Fault::IsolateLeader(Link::Stall),
    Fault::PauseFollower,
    Fault::LeaderUnheard,
    Fault::LeaderDeaf,
    Fault::Flap,
    Fault::SlowLeader,
    Fault::SlowDiskOfLeader,
    Fault::HungDiskOfFollower,
    Fault::IsolateFollower(Link::Cut),
    Fault::DamageFollower,
];

impl Fault {
    /// Whether the ensemble must keep working meanwhile.
    fn leaves_majority(self) -> bool {
        !matches!(self, Fault::KillAll | Fault::Flap)
    }
}

/// One fault from begin to end: it happens, writes continue where they can, it is repaired, and all
/// members recover.
pub fn suffer(ensemble: &mut Ensemble, load: &Load, fault: Fault, random: &mut Random) {
    strike(ensemble, load, fault, random);
    recover(ensemble, load, fault);
}

/// The same while an operator changes the members. Then every server knows the members.
pub fn suffer_while_changing(ensemble: &mut Ensemble, load: &Load, fault: Fault, random: &mut Random) {
    let change = Change::pick(ensemble, random);
    println!("  {:?}", change.roles);
    change.begin(ensemble);
    let operator = Operator::ask(ensemble.all_addresses(), change.clone());
    // Changes take tens of milliseconds: the fault meets any part of them.
    std::thread::sleep(Duration::from_millis(random.below(150)));
    strike(ensemble, load, fault, random);
    ensemble.await_that(&format!("{:?} in spite of {fault:?}", change.roles), |_| {
        operator.is_finished().then_some(())
    });
    operator.end();
    change.end(ensemble);
    for (server, _) in change.roles.iter().filter(|(_, role)| *role == Role::Outside) {
        dismiss(ensemble, *server, random);
    }
    recover(ensemble, load, fault);
}

/// A removed server keeps serving its clients, and serves none after a restart, whether it has data
/// or not.
fn dismiss(ensemble: &mut Ensemble, server: u8, random: &mut Random) {
    let (again, anew) = random.pick(&[(false, false), (true, false), (true, true)]);
    if !again {
        ensemble.await_that(&format!("server.{server} goes on for its clients"), |ensemble| {
            ensemble.mode(server).is_some().then_some(())
        });
        return;
    }
    ensemble.kill(server);
    if anew {
        ensemble.wipe(server);
    }
    ensemble.launch(server);
    let outside =
        if anew { "this server has no data" } else { "was removed from the ensemble: it serves nobody" };
    ensemble.await_that(&format!("server.{server} says that it is no member"), |ensemble| {
        ensemble.log(server).contains(outside).then_some(())
    });
    assert_eq!(ensemble.mode(server), None, "server.{server} serves nobody");
}

fn strike(ensemble: &mut Ensemble, load: &Load, fault: Fault, random: &mut Random) {
    load.shared.generation.fetch_add(1, Ordering::Relaxed);
    let leader = ensemble.await_leader();
    let mut others = ensemble.voters();
    others.retain(|server| *server != leader);
    let victim = random.pick(&others);
    begin(ensemble, fault, leader, victim);
    if fault.leaves_majority() {
        let before = load.written();
        ensemble
            .await_that(&format!("writes go on during {fault:?} (leader {leader}, victim {victim})"), |_| {
                (load.written() >= before + WRITES || load.has_failed()).then_some(())
            });
    }
    std::thread::sleep(Duration::from_millis(200 + random.below(1000)));
    mend(ensemble, fault, leader, victim);
}

fn recover(ensemble: &mut Ensemble, load: &Load, fault: Fault) {
    ensemble.await_serving();
    ensemble.await_votes();
    let before = load.answered();
    ensemble.await_that(&format!("every client goes on after {fault:?}"), |_| {
        let goes_on = load.answered().iter().zip(&before).all(|(now, before)| now > before);
        (goes_on || load.has_failed()).then_some(())
    });
}

fn begin(ensemble: &mut Ensemble, fault: Fault, leader: u8, victim: u8) {
    match fault {
        Fault::KillLeader => ensemble.kill(leader),
        Fault::KillFollower | Fault::WipeFollower | Fault::DamageFollower => ensemble.kill(victim),
        Fault::KillTwo => [leader, victim].into_iter().for_each(|server| ensemble.kill(server)),
        Fault::KillAll => ensemble.servers().into_iter().for_each(|server| ensemble.kill(server)),
        Fault::KillObserver => ensemble.kill(observer(ensemble)),
        Fault::PauseLeader => ensemble.pause(leader, true),
        Fault::PauseFollower => ensemble.pause(victim, true),
        Fault::PauseObserver => ensemble.pause(observer(ensemble), true),
        Fault::KillLeaderOfTheLate => {
            ensemble.links.set_around(victim, Link::Stall);
            std::thread::sleep(Duration::from_secs(1));
            ensemble.links.heal();
            ensemble.kill(leader);
        }
        Fault::RollingRestart => restart_each(ensemble),
        Fault::SlowDiskOfLeader => ensemble.slow_down(leader, Duration::from_millis(40)),
        Fault::HungDiskOfLeader => ensemble.slow_down(leader, FOR_EVER),
        Fault::HungDiskOfFollower => ensemble.slow_down(victim, FOR_EVER),
        _ => begin_on_links(ensemble, fault, leader, victim),
    }
}

fn begin_on_links(ensemble: &Ensemble, fault: Fault, leader: u8, victim: u8) {
    let links = &ensemble.links;
    match fault {
        Fault::IsolateLeader(link) => links.set_around(leader, link),
        Fault::IsolateFollower(link) => links.set_around(victim, link),
        Fault::IsolateObserver(link) => links.set_around(observer(ensemble), link),
        Fault::IsolateTwo(link) => {
            [leader, victim].into_iter().for_each(|server| links.set_around(server, link))
        }
        Fault::SplitOffTwo(link) => {
            let others = ensemble.servers().into_iter().filter(|server| ![leader, victim].contains(server));
            others.for_each(|other| {
                links.set_between(leader, other, link);
                links.set_between(victim, other, link);
            });
        }
        Fault::LeaderUnheard => links.set_outgoing(leader, Link::Hole),
        Fault::LeaderDeaf => links.set_incoming(leader, Link::Hole),
        Fault::Bridge(link) => links.set_between(leader, victim, link),
        Fault::Flap => flap(ensemble, leader),
        Fault::SlowLeader => links.set_around(leader, Link::Slow(Duration::from_millis(20))),
        Fault::Lossy => links.set_all(Link::Lossy),
        other => unreachable!("{other:?} does not inject links"),
    }
}

fn observer(ensemble: &Ensemble) -> u8 {
    *ensemble.observers().first().expect("a member without a vote")
}

fn mend(ensemble: &mut Ensemble, fault: Fault, leader: u8, victim: u8) {
    match fault {
        Fault::KillLeader | Fault::KillLeaderOfTheLate => ensemble.launch(leader),
        Fault::KillFollower => ensemble.launch(victim),
        Fault::KillTwo => [leader, victim].into_iter().for_each(|server| ensemble.launch(server)),
        Fault::WipeFollower => {
            ensemble.wipe(victim);
            ensemble.launch(victim);
        }
        Fault::DamageFollower => launch_damaged(ensemble, victim),
        Fault::KillAll => ensemble.servers().into_iter().for_each(|server| ensemble.launch(server)),
        Fault::KillObserver => ensemble.launch(observer(ensemble)),
        Fault::PauseLeader => ensemble.pause(leader, false),
        Fault::PauseFollower => ensemble.pause(victim, false),
        Fault::PauseObserver => ensemble.pause(observer(ensemble), false),
        Fault::SlowDiskOfLeader | Fault::HungDiskOfLeader => ensemble.slow_down(leader, Duration::ZERO),
        Fault::HungDiskOfFollower => ensemble.slow_down(victim, Duration::ZERO),
        _ => ensemble.links.heal(),
    }
}

/// It finds out and gives up its identity; what follows is as after the loss of a disk.
fn launch_damaged(ensemble: &mut Ensemble, server: u8) {
    let given_up = |ensemble: &Ensemble| ensemble.log(server).matches("gives up its vote").count();
    let before = given_up(ensemble);
    ensemble.damage(server);
    ensemble.launch(server);
    ensemble.await_that(&format!("server.{server} finds its log damaged"), |ensemble| {
        (given_up(ensemble) > before).then_some(())
    });
}

/// Shorter than an election and longer, down and up.
fn flap(ensemble: &Ensemble, leader: u8) {
    for millis in [100, 50, 400, 100, 700, 30, 30, 200] {
        ensemble.links.set_around(leader, Link::Cut);
        std::thread::sleep(Duration::from_millis(millis));
        ensemble.links.heal();
        std::thread::sleep(Duration::from_millis(millis / 2));
    }
}

fn restart_each(ensemble: &mut Ensemble) {
    for server in ensemble.servers() {
        let status = ensemble.stop(server);
        assert_eq!(status.code(), Some(0), "server.{server} stops cleanly");
        ensemble.launch(server);
        ensemble.await_serving();
    }
}

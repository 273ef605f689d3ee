//! What befalls an ensemble, one fault after the other, while clients work.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::ensemble::Ensemble;
use crate::generate::Random;
use crate::links::Link;
use crate::load::Load;

/// Writes that must be acknowledged while a majority can still agree.
const WRITES: u64 = 20;

/// One fault. Of three members each leaves two that can agree, but for those that say otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9` of the leader.
    KillLeader,
    /// `kill -9` of a follower.
    KillFollower,
    /// `kill -9` of all at once: nobody can agree.
    KillAll,
    /// The leader stands still with all connections open.
    PauseLeader,
    /// A follower does.
    PauseFollower,
    /// The leader is cut off, in one of the ways of [`Link`].
    IsolateLeader(Link),
    /// A follower is.
    IsolateFollower(Link),
    /// The leader hears everybody and is heard by nobody.
    LeaderUnheard,
    /// The leader is heard by everybody and hears nobody.
    LeaderDeaf,
    /// The leader and one follower do not reach each other, and the other follower reaches both.
    Bridge(Link),
    /// The ways of the leader come and go: nobody may be able to agree.
    Flap,
    /// The leader dies in the moment in which a follower comes back that has missed much: it is needed before it has caught up.
    KillLeaderOfTheLate,
    /// What the leader sends and hears comes late.
    SlowLeader,
    /// A follower loses its disk.
    WipeFollower,
    /// Each is asked to stop and started again, one by one.
    RollingRestart,
}

/// Every fault, in the order of the short form.
pub const FAULTS: [Fault; 21] = [
    Fault::KillLeader,
    Fault::IsolateLeader(Link::Hole),
    Fault::KillFollower,
    Fault::PauseLeader,
    Fault::WipeFollower,
    Fault::Bridge(Link::Cut),
    Fault::IsolateLeader(Link::Stall),
    Fault::IsolateFollower(Link::Stall),
    Fault::RollingRestart,
    Fault::LeaderUnheard,
    Fault::LeaderDeaf,
    Fault::Flap,
    Fault::KillLeaderOfTheLate,
    Fault::SlowLeader,
    Fault::KillAll,
    Fault::IsolateLeader(Link::Cut),
    Fault::PauseFollower,
    Fault::Bridge(Link::Hole),
    Fault::Bridge(Link::Stall),
    Fault::IsolateFollower(Link::Cut),
    Fault::IsolateFollower(Link::Hole),
];

impl Fault {
    /// Whether the ensemble must go on meanwhile.
    fn leaves_majority(self) -> bool {
        !matches!(self, Fault::KillAll | Fault::Flap)
    }
}

/// One fault from begin to end: it happens, writes go on where they can, it is mended, and everybody recovers.
pub fn suffer(ensemble: &mut Ensemble, load: &Load, fault: Fault, random: &mut Random) {
    load.shared.generation.fetch_add(1, Ordering::Relaxed);
    let leader = ensemble.await_leader();
    let mut others = ensemble.servers();
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
        Fault::KillFollower | Fault::WipeFollower => ensemble.kill(victim),
        Fault::KillAll => ensemble.servers().into_iter().for_each(|server| ensemble.kill(server)),
        Fault::PauseLeader => ensemble.pause(leader, true),
        Fault::PauseFollower => ensemble.pause(victim, true),
        Fault::IsolateLeader(link) => ensemble.links.set_around(leader, link),
        Fault::IsolateFollower(link) => ensemble.links.set_around(victim, link),
        Fault::LeaderUnheard => ensemble.links.set_outgoing(leader, Link::Hole),
        Fault::LeaderDeaf => ensemble.links.set_incoming(leader, Link::Hole),
        Fault::Bridge(link) => ensemble.links.set_between(leader, victim, link),
        Fault::KillLeaderOfTheLate => {
            ensemble.links.set_around(victim, Link::Stall);
            std::thread::sleep(Duration::from_secs(1));
            ensemble.links.heal();
            ensemble.kill(leader);
        }
        Fault::Flap => flap(ensemble, leader),
        Fault::SlowLeader => ensemble.links.set_around(leader, Link::Slow(Duration::from_millis(20))),
        Fault::RollingRestart => restart_each(ensemble),
    }
}

fn mend(ensemble: &mut Ensemble, fault: Fault, leader: u8, victim: u8) {
    match fault {
        Fault::KillLeader | Fault::KillLeaderOfTheLate => ensemble.launch(leader),
        Fault::KillFollower => ensemble.launch(victim),
        Fault::WipeFollower => {
            ensemble.wipe(victim);
            ensemble.launch(victim);
        }
        Fault::KillAll => ensemble.servers().into_iter().for_each(|server| ensemble.launch(server)),
        Fault::PauseLeader => ensemble.pause(leader, false),
        Fault::PauseFollower => ensemble.pause(victim, false),
        _ => ensemble.links.heal(),
    }
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

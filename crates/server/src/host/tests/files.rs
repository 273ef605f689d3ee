//! Membership by the configuration files: with `reconfig` off, which is how most ensembles run.

use super::ensemble::{ENGINES, Trio, config_of, facts, member};
use crate::config::{Config, EngineKind, ServerId};
use crate::observe::stats::{FileDifference, MemberRole};
use group::GroupId;

/// A server whose file names these servers.
fn by_file(server: ServerId, engine: EngineKind, servers: &[ServerId]) -> Config {
    let mut config = config_of(server, engine);
    let ensemble = config.ensemble.as_mut().expect("an ensemble");
    ensemble.members = servers.iter().map(|server| (*server, member(*server))).collect();
    config
}

impl Trio {
    /// Restarts a server with another file.
    fn restart_as(&mut self, config: Config) {
        let server = config.server_id;
        self.crash(server);
        self.configs.insert(server, config);
        self.start(server);
    }

    fn differences(&self, server: ServerId) -> Vec<FileDifference> {
        facts(self, server).file_differences
    }
}

/// Two of five servers are stopped, and their lines removed from every zoo.cfg, one server after
/// the other. A past bug: all five kept their votes, without a message, and the loss of one more
/// ended the service.
#[test]
fn lines_taken_out_of_every_file_take_votes() {
    for engine in ENGINES {
        let all = [1, 2, 3, 4, 5];
        let mut ensemble = Trio::of(all.map(|server| by_file(server, engine, &all)));
        ensemble.until("all serve", Trio::all_serve);
        ensemble.write_through(1, "/of-five");
        ensemble.crash(5);
        ensemble.crash(4);
        for server in 1..=3 {
            ensemble.until("three of five serve", Trio::all_serve);
            if server == 3 {
                let leader = ensemble.leader().expect("somebody leads");
                assert_eq!(ensemble.voters(leader).len(), 5, "{engine}: two files are no majority");
            }
            ensemble.restart_as(by_file(server, engine, &[1, 2, 3]));
            (0..100).for_each(|_| ensemble.step());
        }
        ensemble.until("three serve", Trio::all_serve);
        let leader = ensemble.leader().expect("somebody leads");
        ensemble.until_voters(leader, &[1, 2, 3]);
        ensemble.crash(leader);
        let rest: Vec<ServerId> = ensemble.members.keys().copied().collect();
        ensemble.until("two of three go on", |e| e.leader().is_some_and(|new| new != leader));
        ensemble.write_through(rest[0], "/of-two");
        (0..300).for_each(|_| ensemble.step());
        assert_eq!(
            ensemble.differences(rest[0]),
            [],
            "{engine}: the committed members are those in the files"
        );
    }
}

#[test]
fn a_server_is_replaced_in_the_files() {
    for engine in ENGINES {
        let mut ensemble = Trio::of([1, 2, 3].map(|server| by_file(server, engine, &[1, 2, 3])));
        ensemble.until("all serve", Trio::all_serve);
        ensemble.crash(3);
        for server in [1, 2] {
            ensemble.restart_as(by_file(server, engine, &[1, 2, 4]));
            ensemble.until("two of three serve", Trio::all_serve);
        }
        ensemble.add(by_file(4, engine, &[1, 2, 4]));
        ensemble.until("the new one serves", Trio::all_serve);
        let leader = ensemble.leader().expect("somebody leads");
        ensemble.until_voters(leader, &[1, 2, 4]);
    }
}

#[test]
fn a_voter_becomes_an_observer_by_the_files() {
    for engine in ENGINES {
        let mut ensemble = Trio::of([1, 2, 3].map(|server| by_file(server, engine, &[1, 2, 3])));
        ensemble.until("all serve", Trio::all_serve);
        for server in [3, 1, 2] {
            let mut config = by_file(server, engine, &[1, 2, 3]);
            let third = config.ensemble.as_mut().and_then(|ensemble| ensemble.members.get_mut(&3));
            third.expect("server 3").observer = true;
            ensemble.restart_as(config);
            ensemble.until("all serve again", Trio::all_serve);
        }
        ensemble.until("it has no vote", |e| facts(e, 3).role == MemberRole::Learner { observer: true });
        let leader = ensemble.leader().expect("somebody leads");
        ensemble.until_voters(leader, &[1, 2]);
        ensemble.write_through(3, "/of-the-one-without-a-vote");
        (0..300).for_each(|_| ensemble.step());
        assert!([1, 2, 3].iter().all(|server| ensemble.differences(*server).is_empty()), "{engine}");
    }
}

/// One out-of-date file removes no vote, not even that of a server that is down.
#[test]
fn one_file_alone_takes_no_vote() {
    for engine in ENGINES {
        let mut ensemble = Trio::of([1, 2, 3].map(|server| by_file(server, engine, &[1, 2, 3])));
        ensemble.until("all serve", Trio::all_serve);
        for (stale, out) in [(1, 2), (2, 3)] {
            let both: Vec<ServerId> = [1, 2, 3].into_iter().filter(|server| *server != out).collect();
            ensemble.restart_as(by_file(stale, engine, &both));
            ensemble.until("all serve again", Trio::all_serve);
            ensemble.members[&stale].ask_lead(GroupId::ROOT);
            ensemble.until("it leads", |e| e.leader() == Some(stale));
            ensemble.crash(out);
            (0..1_000).for_each(|_| ensemble.step());
            assert_eq!(ensemble.voters(stale), [1, 2, 3], "{engine}");
            let differences = ensemble.differences(stale);
            assert!(differences.contains(&FileDifference::Votes(out)), "{engine}: {differences:?}");
            let other = 6 - stale - out;
            assert!(differences.contains(&FileDifference::OtherFile(other)), "{engine}: {differences:?}");
            ensemble.start(out);
            ensemble.until("it is back", Trio::all_serve);
            ensemble.restart_as(by_file(stale, engine, &[1, 2, 3]));
            ensemble.until("all serve again", Trio::all_serve);
        }
    }
}

/// The server is up and votes according to its own file: the others keep listening to it, and
/// report the difference. Once it is stopped, it is removed.
#[test]
fn a_server_that_is_up_keeps_its_vote_until_it_is_stopped() {
    for engine in ENGINES {
        let all = [1, 2, 3, 4];
        let mut ensemble = Trio::of(all.map(|server| by_file(server, engine, &all)));
        ensemble.until("all serve", Trio::all_serve);
        for server in 1..=3 {
            ensemble.restart_as(by_file(server, engine, &[1, 2, 3]));
            ensemble.until("all serve again", Trio::all_serve);
        }
        (0..1_000).for_each(|_| ensemble.step());
        let leader = ensemble.leader().expect("somebody leads");
        assert_eq!(ensemble.voters(leader), all, "{engine}");
        ensemble.write_through(4, "/of-the-fourth");
        for server in 1..=3 {
            assert!(ensemble.differences(server).contains(&FileDifference::Votes(4)), "{engine}: {server}");
        }
        ensemble.crash(4);
        ensemble.until("somebody leads", |e| e.leader().is_some_and(|leader| leader != 4));
        let leader = ensemble.leader().unwrap();
        ensemble.until_voters(leader, &[1, 2, 3]);
        // It is no member any more when the leader has not heard it for 10 s.
        (0..6_000).for_each(|_| ensemble.step());
        ensemble.start(4);
        (0..2_000).for_each(|_| ensemble.step());
        assert!(!ensemble.members[&4].is_serving(GroupId::ROOT), "{engine}");
        assert_eq!(ensemble.voters(leader), [1, 2, 3], "{engine}");
    }
}

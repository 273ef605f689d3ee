//! Members come and go while clients work: the guarantees to them hold, and what would lose a
//! quorum is refused.

use ostler_tests::change::{
    BAD_ARGUMENTS, BAD_VERSION, Change, NEW_CONFIG_NO_QUORUM, SETTINGS, config, config_of, operator,
    reconfig, version_in,
};
use ostler_tests::ensemble::{Engine, Ensemble, Layout, Role};
use ostler_tests::load::{Load, prepare};
use ostler_tests::trial::conclude;

/// Clients at work, all of which know all servers.
const CLIENTS: usize = 6;

/// Writes that are acknowledged between two changes.
const WRITES: u64 = 30;

/// An ensemble whose members change, and what works on it.
struct Trial {
    ensemble: Ensemble,
    load: Load,
}

impl Trial {
    /// One server, and five that may come.
    fn of_one(engine: Engine) -> Trial {
        let layout = Layout { spares: 5, ..Layout::voters(1) };
        let settings = [&SETTINGS[..], &["standaloneEnabled=false", "maxSessionTimeout=60000"]].concat();
        let mut ensemble = Ensemble::start_as(engine, layout, &settings);
        ensemble.settle();
        prepare(ensemble.address(1));
        let load = Load::start(ensemble.all_addresses(), CLIENTS, 1);
        Trial { ensemble, load }
    }

    /// Makes a change, which is in force when it is answered, and lets the clients continue.
    fn change(&mut self, roles: &[(u8, Role)]) {
        let change = Change::of(&self.ensemble, roles);
        let leader = self.ensemble.await_leader();
        change.begin(&mut self.ensemble);
        self.ensemble.await_that(&format!("{roles:?}"), |ensemble| {
            // The answer of a leader that goes may be lost with its connections.
            let through = ensemble.servers().into_iter().find(|server| *server != leader).unwrap_or(leader);
            let mut operator = operator(ensemble.address(through))?;
            operator.send(&change.request(-1));
            let reply = operator.reply()?;
            assert!([0, NEW_CONFIG_NO_QUORUM].contains(&reply.err), "{roles:?} is answered {}", reply.err);
            (reply.err == 0).then(|| assert!(change.is_done_in(&config_of(&reply))))
        });
        change.end(&mut self.ensemble);
        self.ensemble.await_serving();
        self.ensemble.await_votes();
        self.go_on();
    }

    /// All clients write, whichever servers remain.
    fn go_on(&mut self) {
        let (written, answered) = (self.load.written(), self.load.answered());
        self.ensemble.await_that("every client goes on", |_| {
            let goes_on = self.load.answered().iter().zip(&answered).all(|(now, before)| now > before);
            let goes_on = goes_on && self.load.written() >= written + WRITES;
            (goes_on || self.load.has_failed()).then_some(())
        });
    }

    fn launch(&mut self, servers: &[u8]) {
        servers.iter().for_each(|server| self.ensemble.launch(*server));
    }

    /// A removed server keeps serving its clients until it is stopped, and serves none
    /// when it starts again.
    fn dismiss(&mut self, server: u8) {
        self.ensemble.await_that("a server that was removed goes on for its clients", |ensemble| {
            ensemble.mode(server).is_some().then_some(())
        });
        let status = self.ensemble.stop(server);
        assert_eq!(status.code(), Some(0), "server.{server} stops cleanly");
        self.ensemble.launch(server);
        self.ensemble.await_log(server, "was removed from the ensemble: it serves nobody");
        assert_eq!(self.ensemble.mode(server), None, "server.{server} serves nobody");
        let status = self.ensemble.stop(server);
        assert_eq!(status.code(), Some(0), "server.{server} stops cleanly");
    }

    /// A client asks for a change that removes the very member it is connected to: it is answered,
    /// and goes on there. (No answer came, and the connection ended.)
    fn removes_its_own_member(&mut self) {
        let leader = self.ensemble.await_leader();
        let own = self.ensemble.voters().into_iter().find(|server| *server != leader).expect("a follower");
        let mut operator = operator(self.ensemble.address(own)).expect("a session");
        let reply = operator.call(&reconfig("", &own.to_string(), -1));
        assert_eq!(reply.err, 0, "it is answered");
        assert!(!config_of(&reply).contains(&format!("server.{own}=")), "and done");
        assert_eq!(config(&mut operator), config_of(&reply), "and the connection goes on");
        let back = Change::of(&self.ensemble, &[(own, Role::Voter)]);
        assert_eq!(operator.call(&back.request(-1)).err, 0, "it comes back");
        self.ensemble.await_votes();
        self.go_on();
    }

    fn refuses_what_cannot_be(&self) {
        let mut operator = operator(self.ensemble.address(1)).expect("a session");
        let absent = Change::of(&self.ensemble, &[(2, Role::Voter), (3, Role::Voter)]);
        let before = config(&mut operator);
        let reply = operator.call(&absent.request(-1));
        assert_eq!(reply.err, NEW_CONFIG_NO_QUORUM, "they do not run");
        let reply = operator.call(&absent.request(version_in(&before) + 1));
        assert_eq!(reply.err, BAD_VERSION);
        assert_eq!(operator.call(&reconfig("", "1", -1)).err, BAD_ARGUMENTS, "nobody would be left");
        assert_eq!(config(&mut operator), before);
    }
}

fn grows_and_shrinks(engine: Engine) {
    let mut trial = Trial::of_one(engine);
    trial.go_on();
    trial.refuses_what_cannot_be();
    trial.launch(&[2, 3]);
    trial.change(&[(2, Role::Voter), (3, Role::Voter)]);
    trial.launch(&[4, 5]);
    trial.change(&[(4, Role::Voter), (5, Role::Voter)]);
    trial.removes_its_own_member();
    trial.launch(&[6]);
    trial.change(&[(3, Role::Outside), (6, Role::Voter)]);
    trial.dismiss(3);
    let leader = trial.ensemble.await_leader();
    trial.change(&[(leader, Role::Outside)]);
    trial.dismiss(leader);
    let leader = trial.ensemble.await_leader();
    let follower = trial.ensemble.voters().into_iter().find(|server| *server != leader).expect("a follower");
    trial.change(&[(follower, Role::Outside)]);
    trial.dismiss(follower);
    // Those that are left are a majority of three, not of five.
    let leader = trial.ensemble.await_leader();
    trial.ensemble.kill(leader);
    trial.go_on();
    trial.ensemble.launch(leader);
    trial.ensemble.await_serving();
    conclude(&mut trial.ensemble, trial.load, &format!("{engine:?}"), false);
}

#[test]
fn one_server_grows_to_five_and_shrinks_to_three_others_with_raft() {
    grows_and_shrinks(Engine::Raft);
}

#[test]
fn one_server_grows_to_five_and_shrinks_to_three_others_with_paxos() {
    grows_and_shrinks(Engine::Paxos);
}

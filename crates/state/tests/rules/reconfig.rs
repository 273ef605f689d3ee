//! Reconfiguration of the members. What the leader does between proposing a configuration and
//! completing it is not part of the machine.

use crate::world::{ALL_FEATURES, CXID, World};
use state::command::{Features, PROPOSE_CONFIG, SET_MEMBERS};
use state::members::ProposedConfig;
use wire::jute::Put as _;
use wire::record::{Reconfig, Request};

const ONE: &str = "server.1=a:1:2:participant;0.0.0.0:3\n";
const TWO: &str = "server.2=b:1:2:participant;0.0.0.0:3\n";
const THREE: &str = "server.3=c:1:2:participant;0.0.0.0:3\n";

fn of_two() -> World {
    let mut world = World::new();
    let mut body = Vec::new();
    body.put_str(&format!("{ONE}{TWO}"));
    world.play("3: get -w /zookeeper/config =>");
    assert_eq!(world.internal(0, SET_MEMBERS, &body), "ok");
    world
}

fn add_third(world: &mut World, session: i64) -> String {
    world.events.clear();
    let request = Reconfig {
        joining_servers: Some("server.3=c:1:2;3"),
        leaving_servers: None,
        new_members: None,
        cur_config_id: 4,
    };
    let mut all = vec![world.request(session, &Request::Reconfig(request))];
    all.splice(0..0, world.events.drain(..));
    all.join("; ")
}

fn propose(world: &mut World, session: i64, text: &str) {
    let mut body = Vec::new();
    ProposedConfig { text: text.to_owned(), session, cxid: CXID }.put(&mut body);
    assert_eq!(world.internal(0, PROPOSE_CONFIG, &body), "ok");
}

#[test]
fn the_leader_sets_the_first_configuration() {
    let mut world = of_two();
    assert_eq!(world.events.concat(), "!3 NodeDataChanged /zookeeper/config");
    assert_eq!(world.say(1, "get /zookeeper/config"), format!("{ONE}{TWO}version=4"));
    world.play("1: exists /zookeeper/config => z0/4/0 v-1/0/-1 o0 l83 n0");
}

#[test]
fn a_configuration_is_proposed_before_it_is_in_force() {
    let mut world = of_two();
    world.play("1: auth super:test => ok");
    assert_eq!(add_third(&mut world, 1), "NewConfigNoQuorum", "the leader did not propose it");
    let all = format!("{ONE}{TWO}{THREE}");
    propose(&mut world, 1, &all);
    world.play("2: auth super:test => ok");
    assert_eq!(add_third(&mut world, 2), "ReconfigInProgress", "another session proposed it");
    let done = format!("{all}version=7 z0/7/0 v-1/0/-1 o0 l120 n0");
    assert_eq!(add_third(&mut world, 1), done);
    assert_eq!(world.machine.members().proposed, None);
    assert_eq!(add_third(&mut world, 1), "BadVersion", "the version has changed");
}

#[test]
fn a_proposed_configuration_can_be_withdrawn_and_the_first_one_counts() {
    let mut world = of_two();
    propose(&mut world, 1, ONE);
    propose(&mut world, 2, TWO);
    assert_eq!(world.machine.members().proposed.as_ref().unwrap().text, ONE);
    assert_eq!(world.internal(0, PROPOSE_CONFIG, b""), "ok");
    assert_eq!(world.machine.members().proposed, None);
}

#[test]
fn permissions_are_checked_last() {
    let mut world = of_two();
    assert_eq!(add_third(&mut world, 1), "NoAuth");
    assert_eq!(world.machine.members().proposed, None);
    world.play(
        "1: auth super:test => ok
         1: setacl /zookeeper/config world:anyone:rw => a0",
    );
    assert_eq!(add_third(&mut world, 2), "NewConfigNoQuorum");
}

#[test]
fn without_the_feature_or_an_ensemble_there_is_no_reconfig() {
    let mut world = World::new();
    world.features = Features::NONE;
    assert_eq!(add_third(&mut world, 1), "ReconfigDisabled");
    world.features = ALL_FEATURES;
    assert_eq!(add_third(&mut world, 1), "Unimplemented");
    assert_eq!(world.internal(1, 16, b""), "MarshallingError");
}

#[test]
fn data_set_by_a_client_are_not_the_configuration() {
    let mut world = of_two();
    world.play(
        "1: auth super:test => ok
         1: set /zookeeper/config x => v0
         1: get /zookeeper/config => x",
    );
    assert_eq!(world.machine.members().current.as_ref().unwrap().text, format!("{ONE}{TWO}"));
}

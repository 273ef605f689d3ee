//! Configurations with several `server.N`.

use super::*;
use crate::config::ServerId;

const THREE: &str =
    "initLimit=10\nsyncLimit=5\nserver.1=a:2888:3888\nserver.2=b:2888:3888\nserver.3=c:2888:3888\n";

/// Loads these lines as server `myid`; empty = there is no such file.
fn load(lines: &str, myid: &str) -> Result<Loaded, ConfigError> {
    let text = format!("dataDir=/d\nclientPort=2181\n{lines}");
    let myid = [("/d/myid", myid)];
    load_text(&text, if myid[0].1.is_empty() { &[] } else { &myid }, &[])
}

fn shown(result: Result<Loaded, ConfigError>) -> Vec<String> {
    problems_of(result).iter().map(ToString::to_string).collect()
}

fn warnings(lines: &str) -> Vec<String> {
    load(lines, "1").unwrap().warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn an_ensemble_is_read_whole() {
    let lines = "initLimit=10\nsyncLimit=5\nelectionAlg=3\npeerType=observer\nweight.1=1\n\
        server.1=zoo1:2888:3888:participant;2183\n\
        server.2=zoo2:2888:3888|10.0.0.2:2889:3889:participant;10.0.0.2:2181\n\
        server.3=[::1]:2890:3890\nserver.4=zoo4:2888:3888:observer\n";
    let loaded = load_text(&format!("dataDir=/d\n{lines}"), &[("/d/myid", "4")], &[]).unwrap();
    let ensemble = loaded.config.ensemble.unwrap();
    let addresses = |id: ServerId| ensemble.members[&id].addresses.clone();
    assert_eq!(ensemble.members.keys().copied().collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(addresses(1), [("zoo1".to_owned(), 2888)]);
    assert_eq!(addresses(2), [("zoo2".to_owned(), 2888), ("10.0.0.2".to_owned(), 2889)]);
    assert_eq!(addresses(3), [("::1".to_owned(), 2890)]);
    assert_eq!(ensemble.members[&2].client, Some((Some("10.0.0.2".to_owned()), 2181)));
    assert_eq!(ensemble.voters().collect::<Vec<_>>(), [1, 2, 3]);
    assert!(ensemble.members[&4].observer);
    assert_eq!(loaded.config.server_id, 4);
    assert_eq!((ensemble.engine, ensemble.linearizable_reads), (EngineKind::Raft, false));
    assert_eq!((ensemble.election_timeout_ms, ensemble.heartbeat_ms), (300, 30));
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings, ["clientPort: is not set; clients connect to 2181"]);
    // Clients of server 1 connect to the address in its entry.
    let one = load_text(&format!("dataDir=/d\n{lines}"), &[("/d/myid", "1")], &[]).unwrap();
    assert_eq!((one.config.server_id, one.config.listen.port), (1, 2183));
}

#[test]
fn one_server_is_not_an_ensemble() {
    assert_eq!(load("server.1=a:2888:3888", "1").unwrap().config.ensemble, None);
    let shown = warnings("server.1=a:2888:3888\nostler.consensus=paxos\npeerType=participant");
    assert_eq!(shown, ["ostler.consensus: has no effect: there is one server"]);
}

#[test]
fn one_server_is_an_ensemble_unless_standalone_is_enabled() {
    let loaded = load("server.5=a:2888:3888\nstandaloneEnabled=false\nostler.consensus=paxos", "5").unwrap();
    let ensemble = loaded.config.ensemble.unwrap();
    assert_eq!(ensemble.voters().collect::<Vec<_>>(), [5]);
    assert_eq!((loaded.config.server_id, ensemble.engine), (5, EngineKind::Paxos));
    assert_eq!(load("standaloneEnabled=false", "1").unwrap().config.ensemble, None);
}

#[test]
fn impossible_ensembles_are_refused() {
    for (lines, myid, expected) in [
        (
            THREE,
            "",
            "/d/myid: myid: is missing; it must hold the number of this server, one of the 3 server.N",
        ),
        (THREE, "4", "/d/myid: myid = 4: is the number of this server, and there is no server.4"),
        ("syncLimit=5\nserver.1=a:1\nserver.2=b:1", "1", "initLimit: is not set"),
        ("initLimit=5\nserver.1=a:1\nserver.2=b:1", "1", "syncLimit: is not set"),
        (
            "syncLimit=5\ninitLimit=0\nserver.1=a:1\nserver.2=b:1",
            "1",
            "initLimit = 0: must be the number of ticks",
        ),
        (
            "server.1=a:1:2:observer\nserver.2=b:1:2:observer",
            "1",
            "server.1 = a:1:2:observer: at least one server must be a participant",
        ),
        ("server.1=a:1:2\nserver.2=a:1:3", "1", "server.2 = a:1:3: has the same address as server.1 (a:1)"),
        ("server.1=a:1|b:1\nserver.2=b:1", "1", "has the same address as server.1 (b:1)"),
        ("server.1=a:0:2\nserver.2=b:1:3", "1", "server.1 = a:0:2: the quorum port must be from 1 to 65535"),
        ("server.1=a:1:2\nserver.01=b:1:2", "1", "server.01 = b:1:2: the number of a server must be"),
        ("server.1=a:1:2\nserver.2=b", "1", "zoo.cfg line 4: server.2 = b: must be host:port:port"),
        ("server.1=a:1:2\nserver.2=b:1:2\nelectionAlg=1", "1", "electionAlg = 1: only 3 is supported"),
        (
            "server.1=a:1:2\nserver.2=b:1:2\nclientPort=1\nserver.1=a:1:2;2",
            "1",
            "differs from the client port 2",
        ),
        ("peerType=leader", "1", "peerType = leader: must be participant or observer"),
        ("ostler.consensus=zab", "1", "ostler.consensus = zab: must be raft or paxos"),
        ("ostler.electionTimeoutMs=50", "1", "must be a whole number (ms) from 100 to 60000"),
        (
            "ostler.heartbeatMs=100",
            "1",
            "a heartbeat (100 ms) must come more than three times in an election timeout (300 ms)",
        ),
        ("ostler.electionTimeoutMs=100\nostler.heartbeatMs=34", "1", "a heartbeat (34 ms)"),
    ] {
        let shown = shown(load(lines, myid));
        assert!(shown.iter().any(|problem| problem.contains(expected)), "{lines}: {shown:?}");
    }
    assert_eq!(
        warnings(&format!("{THREE}jute.maxbuffer=1073741824")),
        ["jute.maxbuffer: 1073741824 is not possible; 33554432 is used"]
    );
}

#[test]
fn a_bad_myid_is_reported_once() {
    assert_eq!(shown(load(THREE, "x")), ["/d/myid: myid = x: must be a whole number from 0 to 1048575"]);
}

#[test]
fn heartbeats_just_often_enough_are_accepted() {
    let ensemble = |lines: &str| load(&format!("{THREE}{lines}"), "2").unwrap().config.ensemble.unwrap();
    assert_eq!(ensemble("ostler.heartbeatMs=99").heartbeat_ms, 99);
    assert_eq!(ensemble("ostler.electionTimeoutMs=100").election_timeout_ms, 100);
}

#[test]
fn useless_numbers_of_servers_are_warnings() {
    let limits = "initLimit=10\nsyncLimit=5\n";
    let servers = |voters: ServerId, observers: ServerId| -> String {
        let line =
            |n: ServerId| format!("server.{n}=h{n}:1:2{}\n", if n > voters { ":observer" } else { "" });
        (1..=voters + observers).map(line).collect()
    };
    let shown = |voters, observers| warnings(&format!("{limits}{}", servers(voters, observers)));
    assert_eq!(
        shown(2, 0),
        ["server.*: 2 participants survive the loss of 0, as 1 would; use an odd number"]
    );
    assert_eq!(
        shown(4, 1),
        ["server.*: 4 participants survive the loss of 1, as 3 would; use an odd number"]
    );
    assert_eq!(shown(1, 2), ["server.*: there is one participant: when it is down, nothing works"]);
    assert!(shown(3, 2).is_empty() && shown(5, 0).is_empty());
}

#[test]
fn the_role_in_the_entry_wins_over_peer_type() {
    let shown = warnings(&format!("{THREE}peerType=observer"));
    assert_eq!(shown, ["peerType: differs from the role in server.N; this server is a participant"]);
}

#[test]
fn a_relative_dynamic_file_is_found_in_either_place() {
    let static_file = "dataDir=/d\ndynamicConfigFile=zoo.dynamic\ninitLimit=1\nsyncLimit=1\n";
    let members = "server.1=a:1:2;2183\nserver.2=b:1:2\nserver.3=c:1:2\nversion=100000000\n";
    for place in ["zoo.dynamic", "/etc/zk/zoo.dynamic"] {
        let files = [("/etc/zk/zoo.cfg", static_file), (place, members), ("/d/myid", "1")];
        let files = Files(files.map(|(name, text)| (name.to_owned(), text.to_owned())).into());
        let command_line = CommandLine { config: Some("/etc/zk/zoo.cfg".into()), ..CommandLine::default() };
        let config = load_with(&command_line, &files).unwrap().config;
        assert_eq!((config.ensemble.unwrap().members.len(), config.listen.port), (3, 2183), "{place}");
    }
}

#[test]
fn a_secret_is_read_from_a_file_that_others_cannot_read() {
    let lines = format!("dataDir=/d\nclientPort=2181\n{THREE}ostler.quorumSecretFile=/secret\n");
    let load_as = |contents| load_text(&lines, &[("/d/myid", "1"), ("/secret", contents)], &[]);
    let ensemble = load_as("0123456789abcdef\n").unwrap().config.ensemble.unwrap();
    assert!(ensemble.secret.is_some() && ensemble.is_secret_required);
    assert!(!format!("{ensemble:?}").contains("0123456789"), "it is never shown");
    let long = "x".repeat(5_000);
    for (result, expected) in [
        (load_as("0123456789abcde"), "must hold 16 to 4096 bytes"),
        (load_as(&long), "must hold 16 to 4096 bytes"),
        (load_text(&lines, &[("/d/myid", "1")], &[]), "cannot be read"),
    ] {
        let problems = shown(result);
        assert!(
            problems[0].contains("ostler.quorumSecretFile") && problems[0].contains(expected),
            "{problems:?}"
        );
    }
    let without = warnings(&format!("{THREE}ostler.quorumSecretRequired=false\n"));
    assert!(
        without.iter().any(|warning| warning.contains("ostler.quorumSecretFile is not set")),
        "{without:?}"
    );

    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    let path = std::env::temp_dir().join(format!("ostler-quorum-secret-{}", std::process::id()));
    for (mode, is_private) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false)] {
        fs::write(&path, "secret").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let read = crate::config::Outside::read_private(&crate::config::RealOutside, &path).unwrap();
        assert_eq!(read, is_private.then(|| b"secret".to_vec()), "{mode:o}");
        fs::remove_file(&path).unwrap();
    }
}

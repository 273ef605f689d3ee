//! Programs in Java, with Curator, in Python, with kazoo, and `ostler` share locks, elections,
//! semaphores and services.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use ostler_tests::client::{java_class, python_program};
use ostler_tests::process::{Kind, Server, ostler_binary};

/// Turns of each program.
const TURNS: usize = 15;

fn spawn(command: &mut Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    command.spawn().unwrap_or_else(|error| panic!("start {command:?}: {error}"))
}

fn java(arguments: &[&str]) -> Option<Child> {
    java_class("Turns").map(|mut command| spawn(command.args(arguments)))
}

fn python(arguments: &[&str]) -> Option<Child> {
    python_program("turns.py").map(|mut command| spawn(command.args(arguments)))
}

/// `ostler` once for each turn, by a shell.
fn ostler(options: &str, path: &str, folder: &Path, address: &str) -> Child {
    let visit = "set -C; : > inside || exit 9; echo ostler >> turns; sleep 0.002; rm inside";
    let run = format!("{} {options} -s {address} {path} -- sh -c '{visit}'", ostler_binary().display());
    let script = format!("for turn in $(seq {TURNS}); do {run} || exit; done; echo PASSED");
    spawn(Command::new("sh").arg("-c").arg(script).current_dir(folder))
}

/// Starts a program with arguments; `None` without what it needs.
type Start = fn(&[&str]) -> Option<Child>;

/// Runs `ostler` with these options and the others at one place.
fn take_turns(options: &str, kind: &str, others: &[Start]) {
    let Some(server) = Server::start(Kind::under_test()) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (path, address) = ("/turns/at", server.address().to_string());
    let place = folder.path().to_str().expect("a printable path");
    let count = TURNS.to_string();
    let arguments = [kind, path, &count, place, &address];
    let mut programs = Vec::new();
    for other in others {
        let Some(program) = other(&arguments) else { return };
        programs.push(program);
    }
    programs.push(ostler(options, path, folder.path(), &address));
    let expected = programs.len();
    for program in programs {
        let output = program.wait_with_output().expect("a program");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("PASSED"), "{kind}: {output:?}");
    }
    let turns = fs::read_to_string(folder.path().join("turns")).expect("the turns");
    let mut counted: BTreeMap<&str, usize> = BTreeMap::new();
    turns.lines().for_each(|name| *counted.entry(name).or_default() += 1);
    assert!(counted.len() == expected && counted.values().all(|count| *count == TURNS), "{counted:?}");
}

#[test]
fn ostler_and_curator_share_a_lock() {
    take_turns("lock", "lock", &[java]);
}

#[test]
fn ostler_and_curator_share_an_election() {
    take_turns("elect --id ostler", "elect", &[java]);
}

#[test]
fn ostler_and_curator_share_a_semaphore() {
    take_turns("semaphore --leases 1", "semaphore", &[java]);
}

#[test]
fn ostler_and_kazoo_share_a_lock() {
    take_turns("lock --layout kazoo", "lock", &[python]);
}

#[test]
fn ostler_and_kazoo_share_an_election() {
    take_turns("elect --layout kazoo", "elect", &[python]);
}

#[test]
fn ostler_curator_and_kazoo_take_turns_at_one_lock() {
    take_turns("lock", "lock-of-all", &[java, python]);
}

/// Each finds what the other has registered.
#[test]
fn ostler_and_curator_share_a_service() {
    let Some(server) = Server::start(Kind::under_test()) else { return };
    let address = server.address().to_string();
    let service = |words: &[&str]| {
        let mut command = Command::new(ostler_binary());
        command.arg("service").args([words[0], "-s", &address]).args(&words[1..]);
        command
    };
    let Some(mut java) = java_class("Services") else { return };
    java.args(["register", "/services", "web", &address]);
    java.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut java = java.spawn().expect("start Java");
    let mut line = String::new();
    BufReader::new(java.stdout.as_mut().expect("a pipe")).read_line(&mut line).expect("a line");
    assert_eq!(line.trim(), "REGISTERED");
    let listed = service(&["list", "--json", "web"]).output().expect("run ostler");
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.status.success() && text.contains("10.0.0.1") && text.contains("south"), "{listed:?}");

    let list = format!(
        "while ! {0} service list -s {address} web | grep -q 10.0.0.2; do :; done",
        ostler_binary().display()
    );
    let mut own =
        service(&["register", "web", "10.0.0.2:80", "--id", "own", "--weight", "3", "--", "sleep", "600"]);
    let mut own = own.spawn().expect("run ostler");
    assert!(Command::new("sh").args(["-c", &list]).status().expect("run a shell").success());
    let mut found = java_class("Services").expect("Java is there");
    let found = found.args(["list", "/services", "web", &address]).output().expect("run Java");
    let text = String::from_utf8_lossy(&found.stdout).into_owned();
    assert!(text.contains("own 10.0.0.2:80 true {weight=3"), "{found:?}");
    assert!(text.contains("java 10.0.0.1:8080 true {zone=south}"), "{text}");
    own.kill().expect("kill ostler");
    own.wait().expect("it ends");
    drop(java.stdin.take());
    java.wait().expect("Java ends");
}

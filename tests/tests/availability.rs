//! What remains available in which failure: the table of docs/build/consistency.md, made by making
//! each failure happen to three servers and asking those that are left.

use std::fmt::Write as _;
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ostler_tests::ensemble::{Engine, Ensemble};
use ostler_tests::links::Link;
use ostler_tests::process::{ostler_binary, repository};

const BEGIN: &str = "<!-- made by tests/tests/availability.rs: begin -->\n";
const END: &str = "<!-- end -->\n";

/// How long a failure may take to have its full effect.
const SETTLING: Duration = Duration::from_secs(60);

/// What a client asks of one server, by `ostler shell`.
#[derive(Clone, Copy)]
enum Ask {
    Read,
    /// A sync, then a read.
    Linearizable,
    Write,
    /// A read by a client that accepts a server which can only read.
    ReadOnly,
}

const ASKED: [Ask; 4] = [Ask::Read, Ask::Linearizable, Ask::Write, Ask::ReadOnly];

impl Ask {
    fn script(self) -> &'static str {
        match self {
            Self::Read | Self::ReadOnly => "get /a\n",
            Self::Linearizable => "sync /\nget /a\n",
            Self::Write => "set /a x\n",
        }
    }
}

/// Whether the server answers. A session that is refused at once is an answer, too.
fn answers(ensemble: &Ensemble, server: u8, ask: Ask) -> bool {
    let mut command = Command::new(ostler_binary());
    command.args(["shell", "-s", &ensemble.address(server).to_string(), "--timeout", "4000"]);
    if matches!(ask, Ask::ReadOnly) {
        command.arg("--read-only");
    }
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().expect("run the shell");
    let mut stdin = child.stdin.take().expect("a pipe");
    // It may have ended already.
    let _ = std::io::Write::write_all(&mut stdin, ask.script().as_bytes());
    drop(stdin);
    child.wait().expect("the shell ends").success()
}

/// Asks until the server answers as it does from then on.
fn settled(ensemble: &Ensemble, server: u8, expected: [bool; 4]) -> [bool; 4] {
    let begun = Instant::now();
    loop {
        let found = ASKED.map(|ask| answers(ensemble, server, ask));
        if found == expected || begun.elapsed() > SETTLING {
            return found;
        }
    }
}

/// One failure.
struct Failure {
    what: &'static str,
    /// Which server is asked, as the table says it.
    at: &'static str,
    /// Read, linearizable read, write, read by a client that accepts a read-only server.
    expected: [bool; 4],
    /// Makes it happen; returns the server to ask. The leader is given.
    happen: fn(&mut Ensemble, u8) -> u8,
}

/// The servers beside this one.
fn others(server: u8) -> [u8; 2] {
    match server {
        1 => [2, 3],
        2 => [1, 3],
        _ => [1, 2],
    }
}

const ALL: [bool; 4] = [true; 4];
const ONLY_READ: [bool; 4] = [false, false, false, true];

const FAILURES: [Failure; 7] = [
    Failure { what: "none", at: "any server", expected: ALL, happen: |_, leader| others(leader)[0] },
    Failure {
        what: "a follower is killed",
        at: "another server",
        expected: ALL,
        happen: |ensemble, leader| {
            ensemble.kill(others(leader)[0]);
            others(leader)[1]
        },
    },
    Failure {
        what: "the leader is killed",
        at: "another server, after the election",
        expected: ALL,
        happen: |ensemble, leader| {
            ensemble.kill(leader);
            others(leader)[0]
        },
    },
    Failure {
        what: "the leader is stopped (SIGSTOP)",
        at: "another server, after the election",
        expected: ALL,
        happen: |ensemble, leader| {
            ensemble.pause(leader, true);
            others(leader)[0]
        },
    },
    Failure {
        what: "a network partition",
        at: "the side with two servers",
        expected: ALL,
        happen: |ensemble, leader| {
            ensemble.links.set_around(leader, Link::Hole);
            others(leader)[0]
        },
    },
    Failure {
        what: "a network partition",
        at: "the side with one server",
        expected: ONLY_READ,
        happen: |ensemble, leader| {
            ensemble.links.set_around(leader, Link::Hole);
            leader
        },
    },
    Failure {
        what: "two of three servers are killed",
        at: "the one that is left",
        expected: ONLY_READ,
        happen: |ensemble, leader| {
            others(leader).into_iter().for_each(|other| ensemble.kill(other));
            leader
        },
    },
];

/// The rows of the table, from what happens.
fn table(engine: Engine) -> String {
    let mut table = String::from(
        "| failure of three servers | client at | read | linearizable read | write | read-only client reads |\n\
         |---|---|---|---|---|---|\n",
    );
    for Failure { what, at, expected, happen } in FAILURES {
        let mut ensemble = Ensemble::start(engine, 3, &["readonlymode.enabled=true"]);
        let leader = ensemble.await_leader();
        let mut created = Command::new(ostler_binary());
        created.args(["shell", "-s", &ensemble.address(leader).to_string(), "create", "/a", "x"]);
        assert!(created.stdout(Stdio::null()).status().expect("run the shell").success());
        ensemble.await_in_step();
        let server = happen(&mut ensemble, leader);
        let found = settled(&ensemble, server, expected).map(|answers| if answers { "yes" } else { "no" });
        writeln!(table, "| {what} | {at} | {} |", found.join(" | ")).expect("a string takes all");
    }
    table
}

fn documented() -> String {
    let page = fs::read_to_string(repository().join("docs/build/consistency.md")).expect("read the page");
    let (_, rest) = page.split_once(BEGIN).expect("the beginning of the table");
    rest.split_once(END).expect("the end of the table").0.to_owned()
}

#[test]
fn what_remains_available_is_as_documented_with_raft() {
    assert_eq!(table(Engine::Raft), documented());
}

#[test]
fn what_remains_available_is_as_documented_with_paxos() {
    assert_eq!(table(Engine::Paxos), documented());
}

//! `ostler shell` in conversation with a server, as transcripts.
//!
//! A file of `testdata/shell` is a list of steps. A line `$ …` is a command of `sh`, in which
//! `shell` is `ostler shell` at the server under test; lines `> …` after it are its standard input.
//! What follows is what it must print: standard output as it is, standard error after `! `, and
//! `exit N` if the exit code is not 0. Times, zxids, session ids and the address are masked, and an
//! empty line is written out. Lines that start with `#` are comments.
//!
//! The transcripts were recorded from Apache ZooKeeper. `OSTLER_TEST_SERVER_ADDRESS=host:port` runs
//! them against a server that is already there, with an empty tree; `OSTLER_RECORD_TRANSCRIPTS=1`
//! writes what was printed into the files. Those of `testdata/shell-own` are of what ZooKeeper does
//! not have.

mod interactive;
mod server;

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use server::Server;

const OSTLER: &str = env!("CARGO_BIN_EXE_ostler");

#[test]
fn transcripts() {
    let given = std::env::var("OSTLER_TEST_SERVER_ADDRESS").ok();
    let server = given.is_none().then(Server::start);
    let address = given.unwrap_or_else(|| server.as_ref().expect("started").address());
    compare("testdata/shell", &address);
}

#[test]
fn transcripts_of_what_zookeeper_does_not_have() {
    let server = Server::start_with(&[
        "-Dostler.grants=true",
        "-Dzookeeper.DigestAuthenticationProvider.superDigest=super:D/InIHSb7yEEbrWz8b9l71RjZJU=",
    ]);
    compare("testdata/shell-own", &server.address());
}

#[test]
fn grants_are_not_put_in_force_without_the_setting() {
    let server = Server::start();
    let printed = run("shell grants add /p r world:anyone", "", &server.address());
    assert!(printed.contains("! Unimplemented: the leader does not put grants in force"), "{printed}");
    assert!(run("shell ls /zookeeper", "", &server.address()).contains("[config, quota]"));
}

/// Runs the transcripts of a folder.
fn compare(folder: &str, address: &str) {
    let record = std::env::var("OSTLER_RECORD_TRANSCRIPTS").is_ok_and(|value| value == "1");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<PathBuf> =
        folder.read_dir().expect("transcripts").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    assert!(!files.is_empty(), "there are no transcripts");
    let mut different = Vec::new();
    for file in &files {
        let expected = std::fs::read_to_string(file).expect("a transcript");
        let actual = replay(&expected, address);
        if record {
            std::fs::write(file, &actual).expect("a transcript can be written");
        } else if actual != expected {
            different.push(format!("{}\n{}", file.display(), first_difference(&expected, &actual)));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

fn first_difference(expected: &str, actual: &str) -> String {
    let (expected, actual): (Vec<_>, Vec<_>) = (expected.lines().collect(), actual.lines().collect());
    let same = expected.iter().zip(&actual).take_while(|(a, b)| a == b).count();
    let around = |lines: &[&str]| {
        lines[same.saturating_sub(4).min(lines.len())..].iter().take(8).fold(
            String::new(),
            |mut text, line| {
                let _ = writeln!(text, "    {line}");
                text
            },
        )
    };
    format!("line {}, expected:\n{}actual:\n{}", same + 1, around(&expected), around(&actual))
}

/// Executes the steps of a transcript, and returns it with what was printed.
fn replay(transcript: &str, address: &str) -> String {
    let mut out = String::new();
    let mut lines = transcript.lines().peekable();
    while let Some(line) = lines.next() {
        if line.starts_with('#') || line.is_empty() {
            let _ = writeln!(out, "{line}");
        }
        let Some(command) = line.strip_prefix("$ ") else { continue };
        let _ = writeln!(out, "{line}");
        let mut input = String::new();
        while let Some(line) = lines.next_if(|line| line.starts_with("> ")) {
            let _ = writeln!(out, "{line}");
            let _ = writeln!(input, "{}", &line[2..]);
        }
        out.push_str(&run(command, &input, address));
    }
    out
}

fn run(command: &str, input: &str, address: &str) -> String {
    let script = format!("shell() {{ \"$OSTLER\" shell -s \"$ADDRESS$CHROOT\" \"$@\"; }}\n{command}");
    let mut child = Command::new("sh")
        .args(["-c", &script])
        .env("OSTLER", OSTLER)
        .env("ADDRESS", address)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("sh starts");
    // A command that does not read its input closes it.
    let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("sh ends");
    let mut out = String::from_utf8(output.stdout).expect("UTF-8");
    for line in String::from_utf8(output.stderr).expect("UTF-8").lines() {
        let _ = writeln!(out, "! {line}");
    }
    if !output.status.success() {
        let _ = writeln!(out, "exit {}", output.status.code().unwrap_or(-1));
    }
    out.lines().fold(String::new(), |mut out, line| {
        let line = if line.is_empty() { "(empty line)" } else { &mask(line).replace(address, "ADDRESS") };
        let _ = writeln!(out, "{line}");
        out
    })
}

/// Replaces what is different on every run. 0 stays: that something is 0 is no accident.
fn mask(line: &str) -> String {
    let mut line = line.to_owned();
    for name in ["ctime = ", "mtime = "] {
        if line.starts_with(name) {
            return format!("{name}TIME");
        }
    }
    for before in ["cZxid = 0x", "mZxid = 0x", "pZxid = 0x", "ephemeralOwner = 0x", "zxid: "] {
        line = mask_number(&line, before, |digit| digit.is_ascii_hexdigit());
    }
    for name in ["czxid", "mzxid", "pzxid", "zxid", "ctime", "mtime", "ephemeralOwner"] {
        line = mask_number(&line, &format!("\"{name}\":"), |digit| digit.is_ascii_digit());
    }
    line
}

fn mask_number(line: &str, before: &str, is_digit: impl Fn(char) -> bool) -> String {
    let Some((head, tail)) = line.split_once(before) else { return line.to_owned() };
    let rest = tail.trim_start_matches(&is_digit);
    let number = &tail[..tail.len() - rest.len()];
    let masked = if matches!(number, "" | "0") { number } else { "N" };
    format!("{head}{before}{masked}{}", mask_number(rest, before, is_digit))
}

/// A shell whose standard input stays open.
struct Conversation {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Conversation {
    fn start(servers: &str) -> Self {
        let mut child = Command::new(OSTLER)
            .args(["shell", "-s", servers, "--timeout", "20000"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("ostler shell starts");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, output }
    }

    fn say(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().expect("piped"), "{line}").expect("the shell listens");
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("UTF-8");
        line.trim_end().to_owned()
    }
}

/// A server that is killed and started again must find the shell's session alive: the ephemeral
/// znode, the watch that was set before and the identity that was added are all still there.
#[test]
fn the_session_outlives_a_crash_of_the_server() {
    let mut server = Server::start();
    // No process listens on port 1: the shell must go on to the next server, at first and again
    // when it reconnects.
    let mut shell = Conversation::start(&format!("127.0.0.1:1,{}", server.address()));
    shell.say("addauth digest bob:secret");
    shell.say("create /kept x auth::cdrwa");
    assert_eq!(shell.hear(), "Created /kept");
    shell.say("create -e /mine x");
    assert_eq!(shell.hear(), "Created /mine");
    shell.say("get -w /mine");
    assert_eq!(shell.hear(), "x");

    server.kill();
    server.launch();

    shell.say("getEphemerals");
    assert_eq!(shell.hear(), "[/mine]");
    shell.say("get /kept");
    assert_eq!(shell.hear(), "x");
    shell.say("set /mine y");
    let event = shell.hear();
    assert!(event.contains("NodeDataChanged path:/mine"), "{event}");

    drop(shell.child.stdin.take());
    let status = shell.child.wait().expect("the shell ends");
    let mut complaints = String::new();
    shell.child.stderr.take().expect("piped").read_to_string(&mut complaints).expect("UTF-8");
    assert!(status.success(), "{complaints}");
    assert!(complaints.contains("connection lost") && complaints.contains("continues"), "{complaints}");
    assert!(!complaints.contains("secret"), "{complaints}");
}

//! A hold that is lost before its command has started: `ostler lock`, `elect` and `semaphore` are
//! stopped when they have got what they asked for, and go on when somebody else has it.

use std::io::Read as _;
use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use ostler_tests::process::{Kind, Server, Signal, ostler_binary};
use ostler_tests::stopped_start::StoppedStart;
use ostler_tests::waiting::await_that;
use rustix::process::{Pid, kill_process};

/// Only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(60);
/// The shortest session timeout that the server of these tests grants.
const TIMEOUT_MS: u64 = 4_000;

fn hold(subcommand: &[&str], server: SocketAddr) -> Command {
    let mut command = Command::new(ostler_binary());
    command.args(subcommand).args(["-s", &server.to_string(), "--timeout", &TIMEOUT_MS.to_string()]);
    command.args(["/held", "--", "echo", "begun"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A process that does not outlive a test that fails, stopped or not.
struct Holder(Child);

impl Holder {
    /// Its exit code, and what it has printed.
    fn end(mut self) -> (Option<i32>, String, String) {
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.0.stdout.take().expect("a pipe").read_to_string(&mut stdout).expect("text");
        self.0.stderr.take().expect("a pipe").read_to_string(&mut stderr).expect("text");
        (self.0.wait().expect("it ends").code(), stdout, stderr)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn await_stop(pid: Pid) {
    let file = format!("/proc/{}/stat", pid.as_raw_nonzero());
    let is_stopped = || std::fs::read_to_string(&file).ok()?.contains(") T ").then_some(());
    await_that(PATIENCE, "the process is stopped", is_stopped);
}

fn a_lost_hold_starts_nothing(subcommand: &[&str]) {
    let server = Server::start(Kind::Ostler).expect("the server");
    let stopped = StoppedStart::build();
    let first = hold(subcommand, server.address()).envs([stopped.environment()]).spawn();
    let first = Holder(first.expect("run ostler"));
    let pid = Pid::from_child(&first.0);
    await_stop(pid);
    // The second one waits until the session of the first one is over.
    let second = hold(subcommand, server.address()).output().expect("run ostler");
    assert_eq!((second.status.code(), text(&second.stdout)), (Some(0), "begun\n".to_owned()), "{second:?}");
    kill_process(pid, Signal::CONT).expect("let it go on");
    let (code, stdout, stderr) = first.end();
    assert_eq!((code, stdout.as_str()), (Some(124), ""), "{stderr}");
    assert!(stderr.contains("the hold is lost: the command is not started"), "{stderr}");
}

#[test]
fn a_lock_that_is_lost_at_once_starts_nothing() {
    a_lost_hold_starts_nothing(&["lock"]);
}

#[test]
fn a_leadership_that_is_lost_at_once_starts_nothing() {
    a_lost_hold_starts_nothing(&["elect"]);
}

#[test]
fn a_lease_that_is_lost_at_once_starts_nothing() {
    a_lost_hold_starts_nothing(&["semaphore", "--leases", "1"]);
}

/// What becomes the command looks for itself, as its parent may have been stopped after its look.
#[test]
fn a_command_does_not_begin_when_its_time_is_over() {
    let own = std::process::id().to_string();
    let begin = |before: &str| -> Output {
        let mut command = Command::new(ostler_binary());
        command.args(["exec-with-parent", "--before", before, &own, "--", "echo", "begun"]);
        command.output().expect("run ostler")
    };
    let late = begin("1");
    assert_eq!((late.status.code(), text(&late.stdout)), (Some(124), String::new()), "{late:?}");
    assert!(text(&late.stderr).contains("not started"), "{late:?}");
    let early = begin(&u64::MAX.to_string());
    assert_eq!((early.status.code(), text(&early.stdout)), (Some(0), "begun\n".to_owned()), "{early:?}");
}

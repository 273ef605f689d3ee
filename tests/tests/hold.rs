//! `ostler lock`, `elect` and `semaphore`: commands that run while something is held, and what
//! becomes of them when it is lost.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use ostler_tests::process::{Kind, Server, Signal, ostler_binary};
use ostler_tests::waiting::await_that;
use rustix::process::{Pid, kill_process};
use tempfile::TempDir;

/// Only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(60);
/// The shortest session timeout that the servers of these tests grant.
const TIMEOUT_MS: u64 = 4_000;

fn server() -> Server {
    Server::start(Kind::Ostler).expect("the server")
}

/// `ostler lock` and the like, with a short session timeout.
fn ostler(server: &Server, subcommand: &str, options: &[&str], path: &str, script: &str) -> Command {
    let mut command = Command::new(ostler_binary());
    command.arg(subcommand).args(["-s", &server.address().to_string(), "--timeout", &TIMEOUT_MS.to_string()]);
    command.args(options).arg(path).arg("--").args(["sh", "-c", script]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn output(mut command: Command) -> Output {
    command.output().expect("run ostler")
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("{output:?}"))
}

/// Waits until a command has written its file.
fn await_file(path: &Path) -> String {
    let complete = || fs::read_to_string(path).ok().filter(|text| text.ends_with('\n'));
    await_that(PATIENCE, &format!("{} is written", path.display()), complete)
}

/// Waits until a process has ended. It may be a child of another process, which collects it.
fn await_end(id: i32) {
    let stat = || fs::read_to_string(format!("/proc/{id}/stat"));
    let runs = || stat().is_ok_and(|stat| !stat.contains(") Z "));
    await_that(PATIENCE, &format!("{id} has ended"), || (!runs()).then_some(()));
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).expect("send a signal");
}

/// A command that writes its process id, then waits.
struct Holder {
    child: Child,
    command: i32,
    folder: TempDir,
}

impl Holder {
    /// `script` runs behind the line that tells the process id; `$0` is not set.
    fn start(server: &Server, subcommand: &str, options: &[&str], path: &str, script: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let begun = folder.path().join("begun");
        let script = format!("cd {}; echo $$ > begun; {script}", folder.path().display());
        let mut command = ostler(server, subcommand, options, path, &script);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("run ostler");
        let command = await_file(&begun).trim().parse().expect("a process id");
        Self { child, command, folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_exit_code_is_that_of_the_command() {
    let server = server();
    for (subcommand, options) in [
        ("lock", &[][..]),
        ("lock", &["--layout", "kazoo"]),
        ("elect", &["--id", "me"]),
        ("semaphore", &["-l", "2"]),
    ] {
        let done =
            output(ostler(&server, subcommand, options, "/p", "echo $OSTLER_TOKEN $OSTLER_ZNODE; exit 3"));
        assert_eq!(code(&done), 3, "{done:?}");
        let said = String::from_utf8_lossy(&done.stdout);
        let (token, znode) = said.trim().split_once(' ').expect("two words");
        assert!(token.parse::<i64>().is_ok_and(|token| token > 0) && znode.starts_with("/p/"), "{said}");
        let killed = output(ostler(&server, subcommand, options, "/p", "kill -9 $$"));
        assert_eq!(code(&killed), 128 + 9, "{killed:?}");
    }
    let address = server.address().to_string();
    for (words, expected) in [
        (&["/l", "--", "/no/such/program"][..], 127),
        (&["/l", "--", "/etc/passwd"], 126),
        (&["no-slash", "--", "true"], 125),
        (&["--grace", "5", "/l", "--", "true"], 125),
        (&["/l"], 2),
        (&["--wait", "-1", "/l", "--", "true"], 2),
    ] {
        let mut command = Command::new(ostler_binary());
        command.args(["lock", "-s", &address, "--timeout", &TIMEOUT_MS.to_string()]).args(words);
        let done = output(command);
        assert_eq!(code(&done), expected, "{words:?}: {done:?}");
    }
}

/// Who holds the lock and who waits.
fn shown(server: &Server, path: &str) -> Vec<serde_json::Value> {
    let mut command = Command::new(ostler_binary());
    command.args(["lock", "-s", &server.address().to_string(), "--show", "--json", path]);
    let done = output(command);
    assert_eq!(code(&done), 0, "{done:?}");
    let text = String::from_utf8(done.stdout).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn a_lock_that_is_held_is_waited_for_or_not() {
    let server = server();
    let holder = Holder::start(&server, "lock", &[], "/l", "while ! test -e end; do sleep 0.05; done");
    for (options, expected) in
        [(&["--nonblock"][..], 1), (&["--try"], 1), (&["--wait", "0.2"], 1), (&["-n", "-E", "9"], 9)]
    {
        let refused = output(ostler(&server, "lock", options, "/l", "true"));
        assert_eq!(code(&refused), expected, "{options:?}: {refused:?}");
    }
    let shown = shown(&server, "/l");
    assert_eq!(shown.len(), 1, "{shown:?}");
    assert!(shown[0]["token"].as_i64().is_some_and(|token| token > 0), "{shown:?}");
    assert!(shown[0]["data"].as_str().is_some_and(|data| data.ends_with(&holder.child.id().to_string())));
    let waiting = ostler(&server, "lock", &[], "/l", "true").spawn().expect("run ostler");
    fs::write(holder.file("end"), "").expect("write a file");
    assert_eq!(code(&waiting.wait_with_output().expect("it ends")), 0);
}

/// Several that ask at the same moment: one leads, and no other one waits for it.
#[test]
fn of_several_that_do_not_wait_one_leads() {
    let server = server();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let script = format!("while ! test -e {}; do sleep 0.05; done", folder.path().join("end").display());
    let candidate = |_| ostler(&server, "elect", &["--nonblock"], "/e", &script).spawn().expect("run ostler");
    let mut candidates: Vec<Candidate> = (0..6).map(candidate).map(Candidate).collect();
    let mut codes = Vec::new();
    await_that(PATIENCE, "all but one have ended", || {
        candidates.retain_mut(|Candidate(one)| match one.try_wait().expect("ask for its end") {
            Some(status) => {
                codes.push(status.code());
                false
            }
            None => true,
        });
        (candidates.len() <= 1).then_some(())
    });
    assert_eq!(codes, [Some(1); 5]);
    fs::write(folder.path().join("end"), "").expect("write a file");
    assert!(candidates[0].0.wait().expect("it ends").success());
    assert_eq!(code(&output(ostler(&server, "elect", &["--nonblock"], "/e", "true"))), 0);
}

/// An `ostler` that does not outlive a test that fails.
struct Candidate(Child);

impl Drop for Candidate {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn signals_go_to_the_command_and_the_lock_is_released() {
    let server = server();
    let mut holder = Holder::start(
        &server,
        "lock",
        &[],
        "/l",
        "trap 'echo x > term; exit 5' TERM; while :; do sleep 0.05; done",
    );
    signal(&holder.child, Signal::TERM);
    await_file(&holder.file("term"));
    assert_eq!(holder.child.wait().expect("it ends").code(), Some(5));
    assert_eq!(code(&output(ostler(&server, "lock", &["--nonblock"], "/l", "true"))), 0);
}

/// The kernel ends the command with the process that holds the lock for it.
#[test]
fn a_command_does_not_outlive_a_holder_that_is_killed() {
    let server = server();
    let mut holder = Holder::start(&server, "lock", &[], "/l", "exec sleep 600");
    holder.child.kill().expect("kill ostler");
    holder.child.wait().expect("it ends");
    await_end(holder.command);
    // Nobody else gets the lock before the session expires, and then somebody does.
    let refused = output(ostler(&server, "lock", &["--nonblock"], "/l", "true"));
    assert_eq!(code(&refused), 1, "{refused:?}");
    assert_eq!(code(&output(ostler(&server, "lock", &[], "/l", "true"))), 0);
}

/// The server is gone: the command gets TERM, and KILL before the session could expire.
#[test]
fn a_command_is_stopped_before_its_lock_can_be_lost() {
    let mut server = server();
    let began = Instant::now();
    let script = "trap 'echo x > term' TERM; (trap '' TERM; echo $$ > other; exec sleep 600) & \
                  while :; do sleep 0.05; done";
    let mut holder = Holder::start(&server, "lock", &["--grace", "1"], "/l", script);
    server.kill();
    let killed = Instant::now();
    assert_eq!(holder.child.wait().expect("it ends").code(), Some(124));
    let (term, lasted) = (await_file(&holder.file("term")), killed.elapsed());
    assert_eq!(term, "x\n");
    // The session could have expired a timeout after the last answer, which was before the kill.
    assert!(lasted < Duration::from_millis(TIMEOUT_MS) + Duration::from_secs(2), "{lasted:?}");
    assert!(began.elapsed() < PATIENCE);
    await_end(holder.command);
}

/// What nothing that runs in the holder can prevent: it is stopped for longer than its session
/// timeout, and its command, which is not, goes on beside that of the next holder. What is written
/// with a token that is checked is right all the same.
#[test]
fn a_stopped_holder_overlaps_with_the_next_and_its_token_tells() {
    let server = server();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let shared = folder.path().join("shared");
    // Appends its token, and only if it is not lower than the last one to the fenced file.
    let write = format!(
        "write() {{ echo $OSTLER_TOKEN >> {0}; last=$(tail -n 1 {0}.fenced 2>/dev/null || echo 0); \
         if test $OSTLER_TOKEN -ge ${{last:-0}}; then echo $OSTLER_TOKEN >> {0}.fenced; fi; }}",
        shared.display()
    );
    let script =
        format!("{write}; write; while ! test -e go; do sleep 0.05; done; write; echo x > done; sleep 600");
    let first = Holder::start(&server, "lock", &[], "/l", &script);
    signal(&first.child, Signal::STOP);
    let second = output(ostler(&server, "lock", &[], "/l", &format!("{write}; write")));
    assert_eq!(code(&second), 0, "{second:?}");
    fs::write(first.file("go"), "").expect("write a file");
    await_file(&first.file("done"));
    let tokens = |path: &Path| -> Vec<i64> {
        let text = fs::read_to_string(path).expect("read the file");
        text.lines().map(|line| line.parse().expect("a token")).collect()
    };
    let (all, fenced) = (tokens(&shared), tokens(&folder.path().join("shared.fenced")));
    assert!(all.len() == 3 && all[0] == all[2] && all[1] > all[0], "the first one writes late: {all:?}");
    assert_eq!(fenced, all[..2], "and its token is refused");
    // Awake again, the holder learns that it has lost the lock, and stops its command.
    signal(&first.child, Signal::CONT);
    await_end(first.command);
}

/// The znodes of a lock belong to the identities of its file, so a stranger cannot break it.
#[test]
fn a_lock_belongs_to_the_identity_that_its_options_name() {
    let server = server();
    let folder = TempDir::new().expect("a folder");
    let (file, held) = (folder.path().join("identity"), folder.path().join("held"));
    fs::write(&file, "digest alice:secret\n").expect("write the identity");
    let file = file.to_str().expect("a printable path");
    let owned = ["--auth-file", file, "--acl", "auth::cdrwa"];
    let script = format!("echo held > {}; exec sleep 600", held.display());
    let mut holder = ostler(&server, "lock", &owned, "/owned/lock", &script).spawn().expect("run ostler");
    await_file(&held);
    let stranger = output(ostler(&server, "lock", &["--nonblock"], "/owned/lock", "true"));
    assert_eq!(code(&stranger), 125, "{stranger:?}");
    assert!(String::from_utf8_lossy(&stranger.stderr).contains("NoAuth"), "{stranger:?}");
    let friend =
        output(ostler(&server, "lock", &[&owned[..], &["--nonblock"]].concat(), "/owned/lock", "true"));
    assert_eq!(code(&friend), 1, "somebody holds it: {friend:?}");
    signal(&holder, Signal::TERM);
    holder.wait().expect("it ends");

    fs::write(file, "digest alice:secret\nhunter2\n").expect("write the identity");
    let wrong = output(ostler(&server, "lock", &owned, "/owned/lock", "true"));
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(code(&wrong) != 0 && said.contains("line 2") && !said.contains("hunter2"), "{wrong:?}");
    let wrong = output(ostler(&server, "lock", &["--acl", "auth:cdrwa"], "/owned/lock", "true"));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("scheme:id:perms"), "{wrong:?}");
}

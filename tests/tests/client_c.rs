//! The C client, through Debian's `cli_mt`: commands go to its standard input, what it has to say
//! comes on standard error.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use ostler_tests::client::{Subject, install};

const WAIT: Duration = Duration::from_secs(20);

/// A running `cli_mt`. Dropping it kills it, so that its session is not closed but left to expire.
struct Cli {
    child: Child,
    lines: Receiver<String>,
    session: i64,
}

impl Cli {
    fn start(program: &Path, server: &Subject) -> Cli {
        let mut command = Command::new(program);
        command.arg("-h").arg(server.connect_string());
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("start cli_mt");
        let output = child.stderr.take().expect("a pipe from cli_mt");
        let (sender, lines) = channel();
        // Ends with the program, whose exit closes the pipe.
        std::thread::spawn(move || {
            BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        let mut cli = Cli { child, lines, session: 0 };
        cli.expect(&["Watcher SESSION_EVENT state = CONNECTED_STATE"]);
        let line = cli.expect_one("Got a new session id: 0x");
        let digits = line.trim_start_matches("Got a new session id: 0x").trim();
        cli.session = i64::from_str_radix(digits, 16).expect("a session");
        cli
    }

    /// Gives a command and waits for the lines it must bring, in this order and perhaps among
    /// others.
    fn ask(&mut self, command: &str, expected: &[&str]) {
        let input = self.child.stdin.as_mut().expect("a pipe to cli_mt");
        writeln!(input, "{command}").expect("give a command");
        println!("> {command}");
        self.expect(expected);
    }

    fn expect(&mut self, expected: &[&str]) {
        expected.iter().for_each(|wanted| drop(self.expect_one(wanted)));
    }

    /// Waits for a line that begins so, and answers it.
    fn expect_one(&mut self, wanted: &str) -> String {
        let deadline = Instant::now() + WAIT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line =
                self.lines.recv_timeout(left).unwrap_or_else(|_| panic!("cli_mt did not say: {wanted}"));
            println!("{line}");
            if line.trim() == wanted || line.starts_with(wanted) {
                return line;
            }
        }
    }

    /// Closes the session as a client does that ends well.
    fn quit(mut self) {
        self.ask("quit", &["Quitting..."]);
        self.child.wait().expect("cli_mt ends");
    }
}

impl Drop for Cli {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_c_client_cannot_tell_the_server_from_zookeeper() {
    talk_to(Subject::one());
}

#[test]
fn the_c_client_survives_the_member_it_is_connected_to() {
    talk_to(Subject::three());
}

fn talk_to(subject: Option<Subject>) {
    let Some(program) = install("c", &["apt-get", "dpkg-deb"]) else { return };
    let Some(mut server) = subject else { return };
    let mut cli = Cli::start(&program, &server);
    let mut other = Cli::start(&program, &server);

    cli.ask("create /c", &["[/c]: rc = 0", "name = /c"]);
    cli.ask("create /c", &["[/c]: rc = -110"]);
    cli.ask(
        "create2 /c/child",
        &["[/c/child]: rc = 0", "name = /c/child", "version=0\taversion=0", "ephemeralOwner = 0"],
    );
    cli.ask("create +s /c/n-", &["[/c/n-]: rc = 0", "name = /c/n-0000000001"]);
    cli.ask("create +s /c/n-", &["[/c/n-]: rc = 0", "name = /c/n-0000000002"]);
    cli.ask("delete /c/n-0000000001", &["/c/n-0000000001: rc = 0"]);
    cli.ask("delete /c/n-0000000001", &["/c/n-0000000001: rc = -101"]);
    cli.ask("delete /c", &["/c: rc = -111"]);
    cli.ask("sync /c", &["[/c]: rc = 0", "name = /c"]);
    cli.ask("get /none", &["/none: rc = -101"]);

    // Every get, ls and wexists of this client sets a watch.
    cli.ask("get /c", &["/c: rc = 0", " value_len = 3", "new"]);
    other.ask("set /c longer", &["/c: rc = 0 Stat:", "version=1\taversion=0"]);
    cli.expect(&["Watcher CHANGED_EVENT state = CONNECTED_STATE for path /c"]);
    cli.ask("ls2 /c/child", &["/c/child: rc = 0"]);
    other.ask("create /c/child/below", &["[/c/child/below]: rc = 0"]);
    cli.expect(&["Watcher CHILD_EVENT state = CONNECTED_STATE for path /c/child"]);
    cli.ask("wexists /later", &["Error -101 for /later"]);
    other.ask("create /later", &["[/later]: rc = 0"]);
    cli.expect(&["Watcher CREATED_EVENT state = CONNECTED_STATE for path /later"]);
    cli.ask("get /later", &["/later: rc = 0"]);
    other.ask("delete /later", &["/later: rc = 0"]);
    cli.expect(&["Watcher DELETED_EVENT state = CONNECTED_STATE for path /later"]);
    cli.ask("addauth digest ann:secret", &[]);
    cli.ask("get /c/child", &["/c/child: rc = 0"]);

    // An ephemeral goes with its session, and its watcher is told.
    cli.ask("create +e /mine", &["[/mine]: rc = 0"]);
    cli.ask("create /mine/child", &["[/mine/child]: rc = -108"]);
    other.ask("create +es /c/e-", &["[/c/e-]: rc = 0", "name = /c/e-0000000003"]);
    cli.ask("get /c/e-0000000003", &["/c/e-0000000003: rc = 0"]);
    other.quit();
    cli.expect(&["Watcher DELETED_EVENT state = CONNECTED_STATE for path /c/e-0000000003"]);

    // The session, its ephemerals and its watches outlive the server's process.
    cli.ask("get /c", &["/c: rc = 0"]);
    cli.ask("ls /c/child", &["/c/child: rc = 0", "below"]);
    server.kill(cli.session);
    cli.expect(&["Watcher SESSION_EVENT state = CONNECTING_STATE"]);
    server.launch();
    cli.expect(&["Watcher SESSION_EVENT state = CONNECTED_STATE"]);
    let mut other = Cli::start(&program, &server);
    other.ask("get /mine", &["/mine: rc = 0"]);
    other.ask("set /c again", &["/c: rc = 0 Stat:", "version=2\taversion=0"]);
    cli.expect(&["Watcher CHANGED_EVENT state = CONNECTED_STATE for path /c"]);
    other.ask("delete /c/child/below", &["/c/child/below: rc = 0"]);
    cli.expect(&["Watcher CHILD_EVENT state = CONNECTED_STATE for path /c/child"]);
    cli.quit();
    other.expect(&["Watcher DELETED_EVENT state = CONNECTED_STATE for path /mine"]);
    other.ask("get /mine", &["/mine: rc = -101"]);
    other.quit();
}

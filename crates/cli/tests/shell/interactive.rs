//! `ostler shell` at a terminal: prompt, history, Tab, events that come while a line is typed,
//! Ctrl-C and Ctrl-D.
//!
//! Each step waits for the text that the one before must bring to the screen, and types only then.
//! The number in the prompt rises with each command, so that a prompt that was drawn again is not
//! taken for the next one.

use std::process::Command;

use rexpect::process::WaitStatus;
use rexpect::session::{Options, PtySession, spawn_with_options};

use crate::OSTLER;
use crate::server::Server;

/// How long something may take to appear. Only a test that fails waits for it.
const PATIENCE_MS: u64 = 60_000;

const UP: &str = "\x1b[A";
const ENTER: &str = "\r";
const TAB: &str = "\t";

/// A shell and its screen.
struct Terminal {
    screen: PtySession,
    address: String,
}

impl Terminal {
    /// Starts a shell which keeps its history below `state`.
    fn open(server: &Server, state: &tempfile::TempDir) -> Self {
        let address = server.address();
        let mut shell = Command::new(OSTLER);
        shell.args(["shell", "-s", &address]);
        shell.env("XDG_STATE_HOME", state.path()).env("TERM", "xterm").env("NO_COLOR", "1");
        let options = Options::new().timeout_ms(Some(PATIENCE_MS)).strip_ansi_escape_codes(true);
        let screen = spawn_with_options(shell, options).expect("ostler shell on a pseudo terminal");
        Self { screen, address }
    }

    /// Waits for a text; answers what came before it.
    fn see(&mut self, text: &str) -> String {
        self.screen.exp_string(text).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Waits for the prompt of the command of that number; answers what came before it.
    fn see_prompt(&mut self, number: usize) -> String {
        let prompt = format!("[{}(CONNECTED) {number}] ", self.address);
        self.see(&prompt)
    }

    fn press(&mut self, keys: &str) {
        self.screen.send(keys).expect("the shell takes keys");
        self.screen.flush().expect("the shell takes keys");
    }

    fn press_control(&mut self, key: char) {
        self.screen.send_control(key).expect("the shell takes keys");
    }

    /// Types a line and waits until it appears, so that the next text is no echo.
    fn type_text(&mut self, text: &str) {
        self.press(text);
        self.see(text);
    }

    /// Types a command at the prompt before that number, and waits for that prompt; answers what
    /// was printed.
    fn execute(&mut self, command: &str, next: usize) -> String {
        self.type_text(command);
        self.press(ENTER);
        self.see_prompt(next).trim().replace("\r\n", "\n")
    }

    /// Leaves by Ctrl-D and waits for the end.
    fn leave(mut self) {
        self.press_control('d');
        self.screen.exp_eof().unwrap_or_else(|error| panic!("Ctrl-D ends the shell: {error}"));
        let status = self.screen.process().wait().expect("the shell was not waited for yet");
        assert!(matches!(status, WaitStatus::Exited(_, 0)), "{status:?}");
    }
}

/// One command of another client.
fn elsewhere(server: &Server, command: &[&str]) -> String {
    let mut shell = Command::new(OSTLER);
    let output = shell.args(["shell", "-s", &server.address()]).args(command).output().expect("ostler shell");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
}

#[test]
fn commands_are_executed_at_a_prompt_that_counts_them() {
    let (server, state) = (Server::start(), tempfile::tempdir().expect("a folder"));
    let mut terminal = Terminal::open(&server, &state);
    terminal.see("Ostler shell ");
    terminal.see_prompt(0);
    assert_eq!(terminal.execute("create /a one", 1), "Created /a");
    assert_eq!(terminal.execute("get /a", 2), "one");
    let refusal = terminal.execute("get /none", 3);
    assert!(refusal.starts_with("NoNode"), "{refusal}");
    // Neither a blank line nor a typing error is counted.
    assert_eq!(terminal.execute("   ", 3), "");
    let refusal = terminal.execute("gte /a", 3);
    assert!(refusal.contains("gte"), "{refusal}");
    terminal.leave();
}

#[test]
fn the_arrow_brings_back_lines_of_this_shell_and_of_the_last_one() {
    let (server, state) = (Server::start(), tempfile::tempdir().expect("a folder"));
    let mut terminal = Terminal::open(&server, &state);
    terminal.see_prompt(0);
    terminal.execute("create /a one", 1);
    terminal.execute("get /a", 2);
    terminal.press(UP);
    terminal.see("get /a");
    terminal.press(UP);
    terminal.see("create /a one");
    // Executed again, as shown.
    terminal.press(ENTER);
    let refusal = terminal.see_prompt(3);
    assert!(refusal.contains("NodeExists"), "{refusal}");
    // Credentials are skipped, and are not on disk.
    terminal.execute("addauth digest bob:secret", 3);
    terminal.press(UP);
    terminal.see("create /a one");
    terminal.press_control('c');
    terminal.see_prompt(3);
    terminal.leave();

    let kept = std::fs::read_to_string(state.path().join("ostler/shell_history")).expect("the history");
    assert!(kept.contains("get /a") && !kept.contains("secret"), "{kept}");
    let mut terminal = Terminal::open(&server, &state);
    terminal.see_prompt(0);
    terminal.press(UP);
    terminal.see("create /a one");
    terminal.press(UP);
    terminal.see("get /a");
    terminal.press(ENTER);
    assert!(terminal.see_prompt(1).contains("one"));
    terminal.leave();
}

#[test]
fn tab_completes_commands_and_paths() {
    let (server, state) = (Server::start(), tempfile::tempdir().expect("a folder"));
    for path in ["/numbers", "/numbers/eleven", "/numbers/eighty", "/numbers/seventeen"] {
        elsewhere(&server, &["create", path]);
    }
    let mut terminal = Terminal::open(&server, &state);
    terminal.see_prompt(0);
    terminal.press("getAll");
    terminal.press(TAB);
    terminal.see("getAllChildrenNumber ");
    terminal.press("/num");
    terminal.press(TAB);
    terminal.see("/numbers");
    terminal.press(ENTER);
    assert_eq!(terminal.see_prompt(1).trim(), "3");
    // Two fit: what they have in common is filled in, and the next Tab lists them.
    terminal.press("get /numbers/");
    terminal.see("get /numbers/");
    terminal.press("e");
    terminal.press(TAB);
    terminal.press(TAB);
    let both = terminal.screen.exp_regex("(?s)eleven.*eighty|eighty.*eleven");
    both.unwrap_or_else(|error| panic!("{error}"));
    terminal.press("l");
    terminal.press(TAB);
    terminal.see("get /numbers/eleven");
    terminal.press(ENTER);
    assert_eq!(terminal.see_prompt(2).trim(), "null");
    terminal.leave();
}

#[test]
fn an_event_is_printed_above_the_line_that_is_being_typed() {
    let (server, state) = (Server::start(), tempfile::tempdir().expect("a folder"));
    let mut terminal = Terminal::open(&server, &state);
    terminal.see_prompt(0);
    terminal.execute("create /watched one", 1);
    assert_eq!(terminal.execute("get -w /watched", 2), "one");
    terminal.type_text("get /wat");
    elsewhere(&server, &["set", "/watched", "two"]);
    terminal.see("WATCHER:: WatchedEvent state:SyncConnected type:NodeDataChanged path:/watched");
    // What was typed is shown again and can be continued.
    terminal.see_prompt(2);
    terminal.see("get /wat");
    assert_eq!(terminal.execute("ched", 3), "two");
    terminal.leave();
}

#[test]
fn ctrl_c_gives_up_a_line_and_ctrl_d_the_session() {
    let (server, state) = (Server::start(), tempfile::tempdir().expect("a folder"));
    let mut terminal = Terminal::open(&server, &state);
    terminal.see_prompt(0);
    terminal.execute("create -e /mine", 1);
    terminal.type_text("delete /mine");
    terminal.press_control('c');
    terminal.see_prompt(1);
    assert_eq!(terminal.execute("getEphemerals", 2), "[/mine]");
    // In a line Ctrl-D is no end: it deletes what is under the cursor, which is nothing here.
    terminal.type_text("get /m");
    terminal.press_control('d');
    assert_eq!(terminal.execute("ine", 3), "null");
    terminal.leave();
    assert_eq!(elsewhere(&server, &["ls", "/"]), "[zookeeper]", "the session was closed, not left");
}

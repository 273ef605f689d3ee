//! One command of the command line, or many of standard input.

use std::io::Write;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use client::SessionEvent;

use super::Shell;
use super::commands::{self, Outcome};
use super::failure::Failure;
use super::input::Line;
use super::notices::{self, Stream};

/// Executes the command, waits for the watches it has set, and returns the exit code.
pub(super) fn one(shell: &mut Shell, events: &Receiver<SessionEvent>, words: &[String]) -> u8 {
    let outcome = commands::run(shell, words);
    let mut code = answer(shell, events, &outcome);
    if code == 0 {
        code = wait_for_watches(shell, events);
    }
    end(shell);
    code
}

/// Executes the lines up to the first that fails, or all of them, and returns the exit code of the
/// first that failed.
pub(super) fn lines(shell: &mut Shell, events: &Receiver<SessionEvent>, keep_going: bool) -> u8 {
    let mut code = 0;
    while !shell.quitting && (code == 0 || keep_going) {
        let outcome = match shell.read_line("") {
            Ok(Line::Text(line)) => {
                shell.remember(&line);
                shell.execute(&line)
            }
            Ok(Line::Interrupted | Line::End) => break,
            Err(failure) => {
                code = answer(shell, events, &Err(failure));
                break;
            }
        };
        if let Some(outcome) = outcome {
            let this = answer(shell, events, &outcome);
            code = if code == 0 { this } else { code };
        }
    }
    end(shell);
    code
}

fn answer(shell: &Shell, events: &Receiver<SessionEvent>, outcome: &Outcome) -> u8 {
    // Before the answer: an event that came before the reply is about something that happened
    // before it.
    events.try_iter().for_each(|event| print(shell, &event));
    shell.print(outcome);
    outcome.as_ref().map_or_else(Failure::exit_code, |_| 0)
}

fn print(shell: &Shell, event: &SessionEvent) {
    let Some((stream, line)) = notices::line(event, shell.json, shell.style) else { return };
    // The reader of our output is gone, so nothing can be reported.
    let _ = match stream {
        Stream::Out if shell.prints_watches() => writeln!(std::io::stdout(), "{line}"),
        Stream::Out => Ok(()),
        Stream::Err => writeln!(std::io::stderr(), "{line}"),
    };
    let _ = std::io::stdout().flush();
}

/// Prints events until no watch is left, for ever if one is persistent.
fn wait_for_watches(shell: &Shell, events: &Receiver<SessionEvent>) -> u8 {
    let Some(session) = shell.session.borrow().clone() else { return 0 };
    while session.has_watches() {
        match events.recv_timeout(Duration::from_millis(200)) {
            Ok(event) => {
                print(shell, &event);
                if matches!(event, SessionEvent::Expired | SessionEvent::AuthFailed) {
                    return 1;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    events.try_iter().for_each(|event| print(shell, &event));
    0
}

fn end(shell: &mut Shell) {
    // Every answer has been given; a session that cannot be closed ends with its timeout.
    let _ = shell.close_session();
}

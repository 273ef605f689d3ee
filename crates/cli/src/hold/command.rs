//! The command that runs while something is held.

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use recipes::Guard;
use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};

use crate::child_command::{ChildCommand, FAILED, STOPPED, TOO_LATE};
use crate::serve::fail;

/// Runs the command until it ends, or the hold is lost; returns the exit code. Does not start it if
/// the hold may be lost before.
pub(super) async fn supervise(command: &[String], foreground: bool, grace: Duration, guard: Guard) -> u8 {
    let environment =
        [("OSTLER_TOKEN", guard.token().to_string()), ("OSTLER_ZNODE", guard.path().to_owned())];
    // A hold that is sure for no longer than the grace time would end the command at once.
    let before = guard.sure_until() - grace;
    let mut running = match ChildCommand::start_before(before, command, !foreground, &environment) {
        Ok(Some(running)) => running,
        Ok(None) => {
            say(TOO_LATE);
            return STOPPED;
        }
        Err(error) => {
            fail(&error);
            return FAILED;
        }
    };
    let (code, is_held) = match watch(&mut running, grace, &guard).await {
        Ok(ended) => ended,
        Err(error) => {
            fail(&error);
            running.send(Signal::KILL);
            (FAILED, true)
        }
    };
    // What is lost is released with the session, and a server may not be there to say so.
    if is_held && let Err(error) = guard.release().await {
        fail(&error);
    }
    code
}

/// Waits for the end of the command; returns its exit code, and whether the hold was not lost.
async fn watch(running: &mut ChildCommand, grace: Duration, guard: &Guard) -> io::Result<(u8, bool)> {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut hung_up = signal(SignalKind::hangup())?;
    let lost = guard.lost_in(grace);
    tokio::pin!(lost);
    loop {
        tokio::select! {
            ended = running.ended() => return Ok((ended?, true)),
            () = &mut lost => break,
            _ = terminated.recv() => running.send(Signal::TERM),
            _ = interrupted.recv() => running.send(Signal::INT),
            _ = hung_up.recv() => running.send(Signal::HUP),
        }
    }
    say("the hold is lost: the command is stopped");
    // Before somebody else can hold what it holds.
    let left = guard.sure_until().saturating_duration_since(Instant::now());
    running.stop(grace.min(left)).await?;
    Ok((STOPPED, false))
}

/// Tells the user something, on standard error.
fn say(text: &str) {
    // The reader of our messages may be gone.
    let _ = writeln!(io::stderr(), "ostler: {text}");
}

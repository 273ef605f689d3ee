//! A command that this process runs, and that does not outlive it.

use std::io::{self, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, ExitCode, ExitStatus};
use std::time::Duration;

use clap::Args;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::Child;

use crate::serve::fail;

/// Exit codes as `timeout` has them: the command had to be stopped, this program failed, the
/// command cannot be run, it is not found.
pub(crate) const STOPPED: u8 = 124;
pub(crate) const FAILED: u8 = 125;
const CANNOT_RUN: u8 = 126;
const NOT_FOUND: u8 = 127;

/// Runs a command that is killed when the process that has started this one ends.
#[derive(Args, Debug)]
pub(crate) struct ExecArgs {
    /// The process that has started this one.
    parent: i32,
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

/// Replaces this process by the command. Kernels keep the wish to be killed with the parent over
/// that, unless the command changes its user.
pub(crate) fn exec(args: &ExecArgs) -> ExitCode {
    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(Signal::KILL)) {
        fail(&io::Error::from(error));
        return ExitCode::from(FAILED);
    }
    // It may have ended before this process asked.
    if rustix::process::getppid().map(Pid::as_raw_pid) != Some(args.parent) {
        return ExitCode::from(STOPPED);
    }
    let error = Command::new(&args.command[0]).args(&args.command[1..]).exec();
    // The reader of our errors may be gone.
    let _ = writeln!(io::stderr(), "ostler: {}: {error}", args.command[0]);
    ExitCode::from(if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { CANNOT_RUN })
}

/// The running command.
pub(crate) struct ChildCommand {
    child: Child,
    pid: Pid,
    /// Whether it has a process group of its own.
    is_group: bool,
}

impl ChildCommand {
    /// Starts it, with further variables in its environment. One that cannot be run ends with an
    /// exit code that says so.
    pub(crate) fn start(
        command: &[String],
        is_group: bool,
        environment: &[(&str, String)],
    ) -> io::Result<Self> {
        let mut starting = tokio::process::Command::new(std::env::current_exe()?);
        let own_id = std::process::id().to_string();
        starting.args(["exec-with-parent", &own_id, "--"]).args(command);
        starting.envs(environment.iter().map(|(name, value)| (name, value))).kill_on_drop(true);
        if is_group {
            starting.process_group(0);
        }
        let child = starting.spawn()?;
        let pid = child.id().and_then(|id| Pid::from_raw(id as i32));
        let pid = pid.ok_or_else(|| io::Error::other("the command has no process"))?;
        Ok(Self { child, pid, is_group })
    }

    /// Waits until it has ended, and returns its exit code.
    pub(crate) async fn ended(&mut self) -> io::Result<u8> {
        self.child.wait().await.map(code_of)
    }

    /// Sends a signal to its process group.
    pub(crate) fn send(&self, signal: Signal) {
        let to = if self.is_group { kill_process_group } else { kill_process };
        if let Err(error) = to(self.pid, signal) {
            tracing::debug!("the command has ended before a signal: {error}");
        }
    }

    /// Stops it: with TERM, and with KILL after the grace time.
    pub(crate) async fn stop(&mut self, grace: Duration) -> io::Result<()> {
        self.send(Signal::TERM);
        if tokio::time::timeout(grace, self.child.wait()).await.is_err() {
            self.send(Signal::KILL);
            self.child.wait().await?;
        }
        // What it has started may have ignored TERM.
        if self.is_group {
            self.send(Signal::KILL);
        }
        Ok(())
    }
}

fn code_of(status: ExitStatus) -> u8 {
    match (status.code(), status.signal()) {
        (Some(code), _) => code as u8,
        (None, Some(signal)) => 128_u8.saturating_add(signal as u8),
        (None, None) => FAILED,
    }
}

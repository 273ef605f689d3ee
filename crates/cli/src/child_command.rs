//! A command that this process runs, and that does not outlive it.

use std::io::{self, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, ExitCode, ExitStatus};
use std::time::{Duration, Instant};

use clap::Args;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use rustix::time::{ClockId, clock_gettime};
use tokio::process::Child;

use crate::serve::fail;

/// Exit codes as `timeout` has them: the command had to be stopped, this program failed, the
/// command cannot be run, it is not found.
pub(crate) const STOPPED: u8 = 124;
pub(crate) const FAILED: u8 = 125;
pub(crate) const TOO_LATE: &str = "the hold is lost: the command is not started";
const CANNOT_RUN: u8 = 126;
const NOT_FOUND: u8 = 127;

/// Runs a command that is killed when the process that has started this one ends.
#[derive(Args, Debug)]
pub(crate) struct ExecArgs {
    /// The process that has started this one.
    parent: i32,
    /// Do not run the command at this time or later, in nanoseconds of the monotonic clock.
    #[arg(long, value_name = "NANOSECONDS")]
    before: Option<u64>,
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
    // As late as can be: both processes may have been stopped since the parent has looked.
    if args.before.is_some_and(|before| monotonic() >= Duration::from_nanos(before)) {
        let _ = writeln!(io::stderr(), "ostler: {TOO_LATE}");
        return ExitCode::from(STOPPED);
    }
    let error = Command::new(&args.command[0]).args(&args.command[1..]).exec();
    // The reader of our errors may be gone.
    let _ = writeln!(io::stderr(), "ostler: {}: {error}", args.command[0]);
    ExitCode::from(if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { CANNOT_RUN })
}

/// The time of the clock that all processes of the machine share, and that `Instant` reads, too.
fn monotonic() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// The same moment in nanoseconds of [`monotonic`], or a little earlier. 0 if it is over.
fn nanoseconds(moment: Instant) -> u64 {
    // In this order, so that a pause between the two makes it earlier.
    let now = monotonic();
    let left = moment.checked_duration_since(Instant::now());
    left.map_or(0, |left| u64::try_from((now + left).as_nanos()).unwrap_or(u64::MAX))
}

/// A command, which is not to begin at the moment `before` or later.
fn prepare(
    command: &[String],
    is_group: bool,
    environment: &[(&str, String)],
    before: Option<Instant>,
) -> io::Result<tokio::process::Command> {
    let mut starting = tokio::process::Command::new(std::env::current_exe()?);
    starting.args(["exec-with-parent", &std::process::id().to_string()]);
    if let Some(before) = before {
        starting.args(["--before", &nanoseconds(before).to_string()]);
    }
    starting.arg("--").args(command);
    starting.envs(environment.iter().map(|(name, value)| (name, value))).kill_on_drop(true);
    if is_group {
        starting.process_group(0);
    }
    Ok(starting)
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
        Self::spawn(prepare(command, is_group, environment, None)?, is_group)
    }

    /// As [`Self::start`], unless the command could not begin before that moment: then there is
    /// none, or it ends with [`STOPPED`] and has done nothing.
    pub(crate) fn start_before(
        before: Instant,
        command: &[String],
        is_group: bool,
        environment: &[(&str, String)],
    ) -> io::Result<Option<Self>> {
        let starting = prepare(command, is_group, environment, Some(before))?;
        // This process may have been stopped until now.
        match before > Instant::now() {
            true => Self::spawn(starting, is_group).map(Some),
            false => Ok(None),
        }
    }

    fn spawn(mut starting: tokio::process::Command, is_group: bool) -> io::Result<Self> {
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

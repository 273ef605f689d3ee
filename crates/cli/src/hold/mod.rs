//! `ostler lock`, `ostler elect` and `ostler semaphore`: run a command while a lock, a leadership
//! or a lease is held.
//!
//! The command runs in a process group of its own. It gets TERM when the hold is sure for no longer
//! than the grace time, and KILL when it is not sure any more, so it never runs while somebody else
//! may hold the lock, unless this process is stopped: what the command changes should then refuse
//! its token.

mod command;
mod show;

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use client::Client;
use recipes::{Election, Guard, Layout, Mutex, Semaphore};

use crate::child_command::FAILED;
use crate::serve::fail;
use crate::session_options::{SessionArgs, SessionError, seconds};

/// How to hold something, and what to run.
#[derive(Args, Debug)]
struct HoldArgs {
    #[command(flatten)]
    session: SessionArgs,
    /// Do not wait: exit with the conflict code if somebody else holds the lock.
    #[arg(short, long, alias = "try", conflicts_with = "wait")]
    nonblock: bool,
    /// Wait for at most this long, then exit with the conflict code.
    #[arg(short, long, value_name = "SECONDS", value_parser = seconds)]
    wait: Option<Duration>,
    /// The exit code if the lock is not to be had.
    #[arg(short = 'E', long, value_name = "CODE", default_value_t = 1)]
    conflict_exit_code: u8,
    /// Time between TERM and KILL when the hold is about to be lost. At most a third of the session
    /// timeout, which is the default, up to 10 s.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    grace: Option<Duration>,
    /// Leave the command in this process group, for commands that read from the terminal. Then
    /// only the command itself is stopped, not what it has started.
    #[arg(long)]
    foreground: bool,
    /// Run nothing: show who holds it and who waits, the holder first, with fencing token and
    /// session.
    #[arg(long, conflicts_with_all = ["command", "nonblock", "wait"])]
    show: bool,
    /// With --show: one JSON object for each participant.
    #[arg(long, requires = "show")]
    json: bool,
    /// The znode.
    path: String,
    /// The command and its arguments. It finds the fencing token in OSTLER_TOKEN and the path of
    /// the holder's znode in OSTLER_ZNODE.
    #[arg(last = true, required_unless_present = "show")]
    command: Vec<String>,
}

/// Runs a command while holding a lock.
///
/// Exit code: that of the command; 1 if the lock is not to be had in time; 124 if the lock was lost
/// and the command was stopped or not started; 125 if this program fails; 126 if the command cannot
/// be run; 127 if it is not found; 128 and the signal's number if it was killed.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  ostler lock /locks/backup -- pg_dump -f /backup/db.sql db
  ostler lock --nonblock /locks/cron-daily -- /etc/cron.daily/job
  ostler lock --show --json /locks/backup
  ostler lock -s a:2181,b:2181 /locks/report -- sh -c 'report --fence $OSTLER_TOKEN'")]
pub(crate) struct LockArgs {
    /// Whose names the znodes have: curator or kazoo.
    #[arg(long, value_name = "LIBRARY", default_value = "curator", value_parser = layout)]
    layout: Layout,
    #[command(flatten)]
    hold: HoldArgs,
}

/// Runs a command while this process is the elected leader.
///
/// Exit codes as of `ostler lock`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  ostler elect /services/scheduler -- scheduler
  ostler elect --id $(hostname) /services/scheduler -- scheduler")]
pub(crate) struct ElectArgs {
    /// Who this candidate is, for those who observe the election.
    #[arg(long, default_value = "")]
    id: String,
    /// Whose names the znodes have: curator or kazoo.
    #[arg(long, value_name = "LIBRARY", default_value = "curator", value_parser = layout)]
    layout: Layout,
    #[command(flatten)]
    hold: HoldArgs,
}

/// Runs a command while holding one of several leases.
///
/// Exit codes as of `ostler lock`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  ostler semaphore --leases 3 /limits/import -- import file.csv")]
pub(crate) struct SemaphoreArgs {
    /// The number of leases. All participants have to name the same number.
    #[arg(short, long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    leases: u32,
    #[command(flatten)]
    hold: HoldArgs,
}

fn layout(text: &str) -> Result<Layout, String> {
    match text {
        "curator" => Ok(Layout::Curator),
        "kazoo" => Ok(Layout::Kazoo),
        _ => Err("curator or kazoo".to_owned()),
    }
}

/// Why there is nothing to hold.
#[derive(Debug, thiserror::Error)]
enum HoldError {
    #[error(transparent)]
    Client(#[from] client::Error),
    #[error(transparent)]
    Recipe(#[from] recipes::Error),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error("the znode {0} does not begin with a slash")]
    Path(String),
    #[error("the grace time must be at most a third of the session timeout, here {0} ms")]
    Grace(u64),
    #[error("cannot start the runtime: {0}")]
    Runtime(std::io::Error),
    #[error("cannot write: {0}")]
    Output(std::io::Error),
}

/// Runs `ostler lock`.
pub(crate) fn lock(args: &LockArgs) -> ExitCode {
    let mutex = |client: &Client| Mutex::new(client, &args.hold.path).with_layout(args.layout);
    if args.hold.show {
        return show::run(&args.hold, async |client| Ok(mutex(client).queue().await?));
    }
    run(&args.hold, async |client| {
        let mutex = mutex(client).with_holder(holder());
        match args.hold.nonblock {
            true => Ok(mutex.try_lock().await?),
            false => within(args.hold.wait, mutex.lock()).await,
        }
    })
}

/// Runs `ostler elect`.
pub(crate) fn elect(args: &ElectArgs) -> ExitCode {
    let election = |client: &Client| Election::new(client, &args.hold.path).with_layout(args.layout);
    if args.hold.show {
        return show::run(&args.hold, async |client| Ok(election(client).candidates().await?));
    }
    run(&args.hold, async |client| {
        let (election, id) = (election(client), args.id.as_bytes());
        match args.hold.nonblock {
            true => Ok(election.try_lead(id).await?),
            false => within(args.hold.wait, election.lead(id)).await,
        }
    })
}

/// Runs `ostler semaphore`.
pub(crate) fn semaphore(args: &SemaphoreArgs) -> ExitCode {
    let semaphore = |client: &Client| Semaphore::new(client, &args.hold.path, args.leases as usize);
    if args.hold.show {
        return show::run(&args.hold, async |client| Ok(semaphore(client)?.holders().await?));
    }
    run(&args.hold, async |client| {
        let semaphore = semaphore(client)?.with_holder(holder());
        match args.hold.nonblock {
            true => Ok(semaphore.try_acquire().await?),
            false => within(args.hold.wait, semaphore.acquire()).await,
        }
    })
}

/// What the znode of this process contains: which process it is.
fn holder() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{host} {}", std::process::id())
}

async fn within(
    patience: Option<Duration>,
    held: impl Future<Output = Result<Guard, recipes::Error>>,
) -> Result<Option<Guard>, HoldError> {
    let Some(patience) = patience else { return Ok(Some(held.await?)) };
    match tokio::time::timeout(patience, held).await {
        Ok(held) => Ok(Some(held?)),
        Err(_) => Ok(None),
    }
}

/// Gets hold of something, and runs the command meanwhile.
fn run(args: &HoldArgs, hold: impl AsyncFn(&Client) -> Result<Option<Guard>, HoldError>) -> ExitCode {
    with_client(args, async |client| {
        let grace = grace(args, client)?;
        Ok(match hold(client).await? {
            Some(guard) => command::supervise(&args.command, args.foreground, grace, guard).await,
            None => args.conflict_exit_code,
        })
    })
}

/// Does something with a session, and ends it.
fn with_client(args: &HoldArgs, act: impl AsyncFn(&Client) -> Result<u8, HoldError>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let code = runtime.map_err(HoldError::Runtime).and_then(|runtime| {
        runtime.block_on(async {
            if !args.path.starts_with('/') {
                return Err(HoldError::Path(args.path.clone()));
            }
            let client = Client::open(&args.session.server, args.session.settings()?).await?;
            let code = act(&client).await;
            // The session ends in any case, at the latest with its timeout.
            let _ = client.close().await;
            code
        })
    });
    code.map_or_else(
        |error| {
            fail(&error);
            ExitCode::from(FAILED)
        },
        ExitCode::from,
    )
}

/// The time between TERM and KILL, by the session timeout that the server has granted.
fn grace(args: &HoldArgs, client: &Client) -> Result<Duration, HoldError> {
    let third_ms = client.identity().timeout_ms.max(0) as u64 / 3;
    let most = Duration::from_millis(third_ms);
    match args.grace {
        Some(grace) if grace > most => Err(HoldError::Grace(third_ms)),
        Some(grace) => Ok(grace),
        None => Ok(most.min(Duration::from_secs(10))),
    }
}

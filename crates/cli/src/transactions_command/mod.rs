//! `ostler transactions`: what is prepared where, what was decided, and its end.

// A stream whose reader has gone makes these panic.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod look;
mod render;
mod resolve;
mod run;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use client::Client;
use transactions::{
    BadConfiguration, DatabaseCa, LogError, Office, OfficeError, Resources, Settings, Trouble, configured,
    configured_with_ca,
};

use crate::serve::fail;
use crate::session_options::{self, SessionArgs};
use crate::user::user_and_host;

/// How long the end of a session may take. It ends with its timeout otherwise.
const GOODBYE: Duration = Duration::from_secs(2);

/// Shows transactions over several databases, and finishes them.
///
/// A transaction that is prepared somewhere ends by itself, if the recovery runs: in each process
/// that uses the library, or here with `run`. One of them is active at a time.
///
/// Exit code: 0 done; 1 failed, or not finished everywhere; 2 wrong arguments; 3 there is no such
/// transaction; 4 it was decided otherwise.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  ostler transactions list --resources shop.json
  ostler transactions show --resources shop.json ostler-00000000000000ab-0000000100000002-0000000000000003
  ostler transactions orphans --json --resources shop.json
  ostler transactions run --resources shop.json

A file of resources:
  {\"resources\": {
    \"orders\": {\"postgres\": \"host=db1 user=shop dbname=shop\"},
    \"stock\": {\"mariadb\": \"mysql://shop:secret@db2/shop\"},
    \"config\": {\"znodes\": \"/transactions/shop-znodes\"},
    \"billing\": {\"http\": \"http://billing:8080\"}
  }}")]
pub(crate) struct TransactionsArgs {
    #[command(subcommand)]
    command: TransactionsCommand,
}

#[derive(Debug, Subcommand)]
enum TransactionsCommand {
    List(look::ListArgs),
    Show(look::ShowArgs),
    Orphans(look::OrphansArgs),
    Resolve(resolve::ResolveArgs),
    Run(run::RunArgs),
}

/// Where the decisions are, and what takes part.
#[derive(Args, Debug)]
struct PlaceArgs {
    #[command(flatten)]
    session: SessionArgs,
    /// The znode below which the decisions are.
    #[arg(long, value_name = "PATH", default_value = "/transactions")]
    path: String,
    /// A file with the resources: where they are, and how to log in. Without it only the log is
    /// asked.
    #[arg(long, value_name = "FILE")]
    resources: Option<PathBuf>,
    /// Connect to the databases with TLS, and trust the certificates of this file, PEM or DER,
    /// unless the text of a database says otherwise.
    #[arg(long, value_name = "FILE", requires = "resources")]
    database_ca: Option<PathBuf>,
    /// How long one exchange with a resource may take, in seconds.
    #[arg(long, value_name = "S", default_value = "2", value_parser = session_options::seconds)]
    step: Duration,
}

/// Why a command has failed.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Office(#[from] OfficeError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Client(#[from] client::Error),
    #[error(transparent)]
    Session(#[from] session_options::SessionError),
    #[error("cannot read {}", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{}", path.display())]
    Resources {
        path: PathBuf,
        #[source]
        source: BadConfiguration,
    },
    #[error(transparent)]
    DatabaseCa(#[from] Trouble),
    #[error("the session has ended")]
    SessionEnded,
    #[error(transparent)]
    System(#[from] io::Error),
}

impl CommandError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Office(OfficeError::NotFound(_)) => 3,
            Self::Office(OfficeError::Decided(_)) => 4,
            _ => 1,
        }
    }
}

/// Runs the command.
pub(crate) fn run(args: &TransactionsArgs) -> ExitCode {
    let done = match &args.command {
        TransactionsCommand::List(args) => with(&args.place, async |office| look::list(args, office).await),
        TransactionsCommand::Show(args) => with(&args.place, async |office| look::show(args, office).await),
        TransactionsCommand::Orphans(args) => {
            with(&args.place, async |office| look::orphans(args, office).await)
        }
        TransactionsCommand::Resolve(args) => {
            with(&args.place, async |office| resolve::resolve(args, office).await)
        }
        TransactionsCommand::Run(args) => with(&args.place, async |office| run::run(args, office).await),
    };
    match done {
        Ok(code) => code,
        // The reader of the output has seen enough.
        Err(CommandError::System(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            fail(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

/// Does something with the transactions, in a session that then ends.
fn with(
    place: &PlaceArgs,
    work: impl AsyncFnOnce(&Office) -> Result<ExitCode, CommandError>,
) -> Result<ExitCode, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = Client::open(&place.session.server, place.session.settings()?).await?;
        let resources = resources(place, &client)?;
        let by = user_and_host();
        let office = Office::open(&client, &place.path, resources, &by, Settings::default()).await?;
        let done = work(&office).await;
        // The session ends in any case, at the latest with its timeout.
        let _ = tokio::time::timeout(GOODBYE, client.close()).await;
        done
    })
}

fn resources(place: &PlaceArgs, client: &Client) -> Result<Resources, CommandError> {
    let Some(path) = &place.resources else { return Ok(Resources::new()) };
    let text =
        std::fs::read_to_string(path).map_err(|source| CommandError::File { path: path.clone(), source })?;
    let read = match &place.database_ca {
        Some(ca) => configured_with_ca(&text, client, place.step, &DatabaseCa::read(ca)?),
        None => configured(&text, client, place.step),
    };
    read.map_err(|source| CommandError::Resources { path: path.clone(), source })
}

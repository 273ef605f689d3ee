//! `ostler service`: registers, lists, follows and chooses instances of services, and is a proxy in
//! front of one.

mod proxy;
mod register;
mod show;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use client::Client;
use recipes::discovery::{self, CheckError, Discovery, ProbeError, Strategy};

use crate::child_command::FAILED;
use crate::serve::fail;
use crate::session_options::{self, SessionArgs};

/// How long the end of a session may take. It ends with its timeout otherwise.
const GOODBYE: Duration = Duration::from_secs(2);

/// The longest time that an option can ask for.
const DAY: Duration = Duration::from_secs(86_400);

/// Services: their instances, and what chooses among them.
///
/// Instances are ephemeral znodes in the layout of Apache Curator's service discovery.
///
/// Exit codes: 0; 1 if there is nothing to choose; 2 for wrong options; 124 if something had to be
/// stopped; 125 if this program fails; `register` has that of its command.
#[derive(Args, Debug)]
pub(crate) struct ServiceArgs {
    #[command(subcommand)]
    command: ServiceCommand,
}

#[derive(Debug, Subcommand)]
enum ServiceCommand {
    Register(Box<register::RegisterArgs>),
    List(show::ListArgs),
    Watch(show::WatchArgs),
    Resolve(show::ResolveArgs),
    Proxy(Box<proxy::ProxyArgs>),
}

/// Where the services are.
#[derive(Args, Debug)]
struct ConnectArgs {
    #[command(flatten)]
    session: SessionArgs,
    /// The znode below which the services are.
    #[arg(long, value_name = "PATH", default_value = "/services")]
    base: String,
}

/// How an instance is chosen.
#[derive(Args, Debug)]
struct ChoiceArgs {
    /// round-robin, weighted, random, least-loaded, two-choices, ring, ring-bounded, rendezvous,
    /// rendezvous-bounded, maglev or jump; zone-first: and one of them needs --zone.
    #[arg(long, value_name = "NAME", default_value = "two-choices")]
    strategy: Strategy,
    /// Choose instances of this zone while there are any.
    #[arg(long)]
    zone: Option<String>,
}

impl ChoiceArgs {
    fn strategy(&self) -> Strategy {
        Strategy { zone_first: self.strategy.zone_first || self.zone.is_some(), ..self.strategy }
    }

    fn settings(&self) -> Result<discovery::Settings, ServiceError> {
        let settings = discovery::Settings::default();
        match &self.zone {
            Some(zone) => settings.with_zone(zone).map_err(|error| ServiceError::Option(error.to_string())),
            None => Ok(settings),
        }
    }
}

/// Why a command has failed.
#[derive(Debug, thiserror::Error)]
enum ServiceError {
    #[error(transparent)]
    Recipe(#[from] recipes::Error),
    #[error(transparent)]
    Check(#[from] CheckError),
    #[error(transparent)]
    Probe(#[from] ProbeError),
    #[error(transparent)]
    Session(#[from] session_options::SessionError),
    #[error("{0}")]
    Option(String),
    #[error("cannot listen on {address}")]
    Listen {
        address: std::net::SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    System(#[from] io::Error),
}

/// Runs `ostler service`.
pub(crate) fn run(args: &ServiceArgs) -> ExitCode {
    let code = match &args.command {
        ServiceCommand::Register(args) => with(&args.connect, async |it| register::run(args, it).await),
        ServiceCommand::List(args) => with(&args.connect, async |it| show::list(args, it).await),
        ServiceCommand::Watch(args) => with(&args.connect, async |it| show::watch(args, it).await),
        ServiceCommand::Resolve(args) => with(&args.connect, async |it| show::resolve(args, it).await),
        ServiceCommand::Proxy(args) => with(&args.connect, async |it| proxy::run(args, it).await),
    };
    match code {
        Ok(code) => ExitCode::from(code),
        // The reader of the output has seen enough.
        Err(ServiceError::System(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            fail(&error);
            ExitCode::from(FAILED)
        }
    }
}

/// Runs something with the services, in sessions that follow each other.
fn with(
    args: &ConnectArgs,
    work: impl AsyncFnOnce(&Discovery) -> Result<u8, ServiceError>,
) -> Result<u8, ServiceError> {
    let (servers, settings) = (args.session.server.clone(), args.session.settings()?);
    let connect = move || {
        let (servers, settings) = (servers.clone(), settings.clone());
        async move { Client::open(&servers, settings).await }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let discovery = Discovery::keep(connect, &args.base).await?;
        let code = work(&discovery).await;
        // The session ends in any case, at the latest with its timeout.
        let _ = tokio::time::timeout(GOODBYE, discovery.close()).await;
        code
    })
}

/// At most a day.
fn seconds(text: &str) -> Result<Duration, String> {
    let duration = session_options::seconds(text).ok().filter(|duration| *duration <= DAY);
    duration.ok_or_else(|| format!("'{text}' is not a number of seconds from 0 to {}", DAY.as_secs()))
}

/// Tells the user something, on standard error.
fn say(text: std::fmt::Arguments<'_>) {
    // The reader of our messages may be gone.
    let _ = writeln!(io::stderr(), "ostler: {text}");
}

//! `ostler service register`: an instance that is registered for as long as a command runs.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use recipes::discovery::{Discovery, Health, HealthCheck, Instance, Probe, Registration, Thresholds, Weight};
use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};

use super::{ConnectArgs, GOODBYE, ServiceError, say, seconds};
use crate::child_command::{ChildCommand, FAILED, STOPPED};
use crate::session_options::{SessionArgs, SessionError};
use crate::tls_options::trusting;

/// Registers an instance of a service while a command runs.
///
/// The command runs in a process group of its own. On TERM and INT the instance is deregistered
/// first, then the command gets the signal; HUP goes to the command only. When the session expires
/// a new one is opened and the instance is registered again; the command goes on. When somebody
/// else deletes the znode or registers the same id, the command is stopped. Without a command the
/// instance is registered until TERM or INT.
///
/// With a check the instance is marked as failing until the check passes, and whenever it fails: it
/// stays listed, and is not chosen.
///
/// Exit code: that of the command; 124 if it was stopped because the registration was lost; 125 if
/// this program fails; 126 if the command cannot be run; 127 if it is not found; 128 and the
/// signal's number if it was killed.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  ostler service register web 10.0.0.7:8080 --check-http /health -- web-server --port 8080
  ostler service register cache 10.0.0.7:6379 --weight 4 --zone north --check-tcp -- redis-server
  ostler service register db 10.0.0.7:5432 --meta role=replica --check-command 'pg_isready -q'")]
pub(super) struct RegisterArgs {
    #[command(flatten)]
    pub(super) connect: ConnectArgs,
    /// The id of the instance: unique in the service. A random one unless given. An instance of the
    /// same id that an earlier process has left is replaced.
    #[arg(long)]
    id: Option<String>,
    /// The share of requests, relative to the others: 1 to 256.
    #[arg(long, value_name = "NUMBER", default_value = "1")]
    weight: Weight,
    /// Where the instance is.
    #[arg(long)]
    zone: Option<String>,
    /// Something else to say of it; can be given several times.
    #[arg(long = "meta", value_name = "KEY=VALUE", value_parser = pair)]
    metadata: Vec<(String, String)>,
    #[command(flatten)]
    check: CheckArgs,
    /// Time between TERM and KILL when the command is stopped because the registration was lost.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "10")]
    grace: Duration,
    /// The service.
    name: String,
    /// Where the instance is reached. An address of IPv6 has brackets.
    #[arg(value_name = "ADDRESS:PORT", value_parser = endpoint)]
    endpoint: (String, u16),
    /// The command and its arguments.
    #[arg(last = true)]
    command: Vec<String>,
}

/// Whether the instance works.
#[derive(Args, Debug)]
struct CheckArgs {
    /// It works if it accepts connections: at its own address unless another one is given.
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "",
        group = "kind",
        help_heading = "Check"
    )]
    check_tcp: Option<String>,
    /// It works if it answers a GET of this URL with a status from 200 to 399. A path alone is
    /// asked for at its own address.
    #[arg(long, value_name = "URL", group = "kind", help_heading = "Check")]
    check_http: Option<String>,
    /// Ask for a path alone by HTTPS, and trust the certificates of this file: PEM, PKCS12 or JKS.
    /// A URL with https is asked for with the options of TLS towards the servers unless this is
    /// given.
    #[arg(long, value_name = "FILE", requires = "check_http", help_heading = "Check")]
    check_ca: Option<PathBuf>,
    /// It works if this command of the shell exits with 0.
    #[arg(long, value_name = "COMMAND", group = "kind", help_heading = "Check")]
    check_command: Option<String>,
    /// The pause between two checks: 0.1 to 3600.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "5", help_heading = "Check")]
    interval: Duration,
    /// How long a check may take: 0.01 to 300.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "2", help_heading = "Check")]
    check_timeout: Duration,
    /// Successes in a row after which the instance is passing: 1 to 100.
    #[arg(long, value_name = "NUMBER", default_value_t = 1, help_heading = "Check")]
    rise: u32,
    /// Failures in a row after which it is failing: 1 to 100.
    #[arg(long, value_name = "NUMBER", default_value_t = 3, help_heading = "Check")]
    fall: u32,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("KEY=VALUE with a key that is not empty".to_owned()),
    }
}

fn endpoint(text: &str) -> Result<(String, u16), String> {
    let wrong = || "ADDRESS:PORT with a port from 1 to 65535; an address of IPv6 needs brackets".to_owned();
    let (address, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)?;
    let inner = address.strip_prefix('[').and_then(|address| address.strip_suffix(']'));
    match inner {
        Some(inner) => Ok((inner.to_owned(), port)),
        None if address.is_empty() || address.contains(':') => Err(wrong()),
        None => Ok((address.to_owned(), port)),
    }
}

impl RegisterArgs {
    fn instance(&self) -> Instance {
        let mut instance = Instance::new(&self.name, &self.endpoint.0, self.endpoint.1);
        if let Some(id) = &self.id {
            instance.id.clone_from(id);
        }
        instance.weight = self.weight;
        instance.zone.clone_from(&self.zone);
        instance.metadata = self.metadata.iter().cloned().collect();
        instance
    }
}

impl CheckArgs {
    fn check(&self, endpoint: &str, session: &SessionArgs) -> Result<Option<HealthCheck>, ServiceError> {
        let probe = match (&self.check_tcp, &self.check_http, &self.check_command) {
            (Some(own), ..) if own.is_empty() => Probe::tcp(endpoint)?,
            (Some(other), ..) => Probe::tcp(other)?,
            (_, Some(url), _) => self.http(url, endpoint, session)?,
            (.., Some(line)) => Probe::command(vec!["/bin/sh".to_owned(), "-c".to_owned(), line.clone()])?,
            (None, None, None) => return Ok(None),
        };
        let thresholds = Thresholds {
            interval: self.interval,
            timeout: self.check_timeout,
            rise: self.rise,
            fall: self.fall,
        };
        Ok(Some(HealthCheck::new(probe, thresholds)?))
    }

    fn http(&self, url: &str, endpoint: &str, session: &SessionArgs) -> Result<Probe, ServiceError> {
        let url = match (url.starts_with('/'), &self.check_ca) {
            (true, None) => format!("http://{endpoint}{url}"),
            (true, Some(_)) => format!("https://{endpoint}{url}"),
            (false, _) => url.to_owned(),
        };
        if !url.starts_with("https://") {
            return Ok(Probe::http(&url)?);
        }
        let tls = match &self.check_ca {
            Some(ca) => Some(trusting(ca).map_err(SessionError::Tls)?),
            None => session.tls()?,
        };
        let missing = || {
            ServiceError::Option(format!("{url} needs --check-ca or --ca, whose certificates are trusted"))
        };
        Ok(Probe::https(&url, tls.ok_or_else(missing)?)?)
    }
}

/// What ends the time in which the instance is registered.
enum End {
    Command(u8),
    Asked(Signal),
    Lost,
}

pub(super) async fn run(args: &RegisterArgs, discovery: &Discovery) -> Result<u8, ServiceError> {
    let mut instance = args.instance();
    instance.check()?;
    let check = args.check.check(&instance.endpoint(), &args.connect.session)?;
    if check.is_some() {
        instance.health = Health::Failing;
    }
    let mut running = match args.command.is_empty() {
        true => None,
        false => Some(ChildCommand::start(&args.command, true, &[])?),
    };
    let registration = match discovery.register(instance).await {
        Ok(registration) => registration,
        Err(error) => {
            if let Some(running) = &mut running {
                running.stop(args.grace).await?;
            }
            return Err(error.into());
        }
    };
    let end = until_end(&registration, check.as_ref(), &mut running).await?;
    leave(registration).await;
    match (end, &mut running) {
        (End::Command(code), _) => Ok(code),
        (End::Asked(_), None) => Ok(0),
        (End::Asked(signal), Some(running)) => {
            running.send(signal);
            await_end(running).await
        }
        (End::Lost, running) => {
            if let Some(running) = running {
                running.stop(args.grace).await?;
            }
            Ok(STOPPED)
        }
    }
}

async fn until_end(
    registration: &Registration,
    check: Option<&HealthCheck>,
    running: &mut Option<ChildCommand>,
) -> Result<End, ServiceError> {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut hung_up = signal(SignalKind::hangup())?;
    let checking = check_health(registration, check);
    tokio::pin!(checking);
    loop {
        let ended = async {
            match running.as_mut() {
                Some(running) => running.ended().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            code = ended => return Ok(End::Command(code?)),
            () = &mut checking => {}
            () = registration.ended() => return Ok(End::Lost),
            _ = terminated.recv() => return Ok(End::Asked(Signal::TERM)),
            _ = interrupted.recv() => return Ok(End::Asked(Signal::INT)),
            _ = hung_up.recv() => {}
        }
        if let Some(running) = running {
            running.send(Signal::HUP);
        }
    }
}

/// Never returns.
async fn check_health(registration: &Registration, check: Option<&HealthCheck>) {
    if let Some(check) = check {
        let report = |health: Health, reason: Option<&_>| {
            registration.set_health(health);
            match reason {
                Some(reason) => say(format_args!("the instance is {health}: {reason}")),
                None => say(format_args!("the instance is {health}")),
            }
        };
        check.run(report).await;
    }
    std::future::pending().await
}

/// The command has been asked to end. Further signals go to it as they come.
async fn await_end(running: &mut ChildCommand) -> Result<u8, ServiceError> {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    loop {
        tokio::select! {
            code = running.ended() => return Ok(code.unwrap_or(FAILED)),
            _ = terminated.recv() => running.send(Signal::TERM),
            _ = interrupted.recv() => running.send(Signal::INT),
        }
    }
}

async fn leave(registration: Registration) {
    match tokio::time::timeout(GOODBYE, registration.leave()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => say(format_args!("the registration is lost: {error}")),
        Err(_) => say(format_args!("no server: the instance is listed until its session expires")),
    }
}

//! `ostler serve`: one server, until it is told to stop.

// A stream whose reader has gone makes these panic.
#![deny(clippy::print_stdout, clippy::print_stderr)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use server::config::{self, CommandLine, Loaded};
use server::serve::{Certificates, Server, Stopper};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::messages::Messages;
use crate::user::become_user;

/// Starts a server.
#[derive(Args, Debug)]
pub(crate) struct ServeArgs {
    /// zoo.cfg, as ZooKeeper reads it. Without one the server listens on 127.0.0.1:2181 only.
    #[arg(long, value_name = "ZOO.CFG")]
    config: Option<PathBuf>,
    /// Where snapshots, the log and `myid` are; overrides `dataDir`.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Port for clients; overrides `clientPort`. 0 takes a free one.
    #[arg(long, value_name = "N")]
    client_port: Option<u16>,
    /// Address for clients; overrides `clientPortAddress`.
    #[arg(long, value_name = "A")]
    client_port_address: Option<String>,
    /// Any setting, as a ZooKeeper system property or a zoo.cfg key: -Djute.maxbuffer=2097152.
    #[arg(short = 'D', value_name = "KEY=VALUE")]
    definitions: Vec<String>,
    /// Started as root, become this user for good, before anything is read or opened.
    #[arg(long, value_name = "NAME[:GROUP]")]
    user: Option<String>,
}

/// Runs the server in this process.
pub(crate) fn run(args: ServeArgs) -> ExitCode {
    // There is one thread yet.
    if let Some(Err(e)) = args.user.as_deref().map(become_user) {
        return fail(&e);
    }
    let messages = match Messages::start() {
        Ok(messages) => messages,
        Err(e) => return fail(&e),
    };
    stop_at_the_first_bug(messages.clone());
    let ended = load_and_serve(args, &messages);
    if let Err(e) = &ended {
        messages.complain(&explain(e.as_ref()));
    }
    messages.finish();
    if ended.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn load_and_serve(args: ServeArgs, messages: &Messages) -> Result<(), Box<dyn std::error::Error>> {
    let command_line = CommandLine {
        config: args.config,
        data_dir: args.data_dir,
        client_port: args.client_port,
        client_port_address: args.client_port_address,
        definitions: args.definitions,
    };
    let Loaded { config, warnings } = config::load(&command_line)?;
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    let data_dir = config.storage.data_dir.clone();
    let server = Server::start(config)?;
    heed_signals(server.stopper(), server.certificates(), messages.clone())?;
    messages.print(&announcement(&server, &data_dir));
    server.wait()?;
    tracing::info!("stopped; all data is in {}", data_dir.display());
    Ok(())
}

/// Prints a few lines on what to try next. On standard output, so that a script can wait for it.
fn announcement(server: &Server, data_dir: &Path) -> String {
    let address = server.address();
    let data_dir = data_dir.canonicalize().unwrap_or_else(|_| data_dir.to_owned());
    // A server of an ensemble does not serve yet: it has to hear the others.
    let state = if server.shared().config.ensemble.is_some() { "has started." } else { "is ready." };
    let mut lines = vec![
        format!("Ostler {} {state}", env!("CARGO_PKG_VERSION")),
        format!("  clients:  {address}"),
        format!("  data:     {}", data_dir.display()),
    ];
    if let Some(secure) = server.secure_address() {
        lines.push(format!("  with TLS: {secure}"));
    }
    let config = &server.shared().config;
    if let Some(ensemble) = &config.ensemble {
        let (me, all) = (config.server_id, ensemble.members.len());
        lines.push(format!(
            "  ensemble: server {me} of {all} ({}); clients are served once there is a leader",
            ensemble.engine
        ));
    }
    if let Some(admin) = server.admin_address() {
        let scheme =
            if config.admin_tls.as_ref().is_some_and(|tls| tls.is_forced) { "https" } else { "http" };
        lines.push(format!("  admin:    {scheme}://{admin}/commands"));
    }
    if server.secure_address() != Some(address) {
        lines.push(format!("  try:      ostler shell -s {address} ls /"));
    }
    lines.push("  stop:     Ctrl-C\n".to_owned());
    lines.join("\n")
}

/// Stops at SIGINT and SIGTERM, and reads the certificates again at SIGHUP if there is TLS.
fn heed_signals(
    stopper: Stopper,
    certificates: Option<Certificates>,
    messages: Messages,
) -> std::io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    if certificates.is_some() {
        signals.add_signal(SIGHUP)?;
    }
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        let mut asked = false;
        for signal in &mut signals {
            if let Some(certificates) = certificates.as_ref().filter(|_| signal == SIGHUP) {
                certificates.reload();
                continue;
            }
            if asked {
                tracing::warn!("stopping at once; what was acknowledged is safe");
                messages.finish();
                std::process::exit(130);
            }
            asked = true;
            tracing::info!("stopping; once more to stop at once");
            stopper.stop();
        }
    })?;
    Ok(())
}

/// A failed assertion in any thread ends the process: a member that is wrong about its state must
/// not continue (docs/internals/rules.md, rule 10).
fn stop_at_the_first_bug(messages: Messages) {
    std::panic::set_hook(Box::new(move |panic| {
        messages.report_panic(panic);
        messages
            .complain("this is a bug in Ostler; the server stops. What was acknowledged is on the disk.\n");
        messages.finish();
        std::process::abort();
    }));
}

/// Prints the error and its causes on standard error. If no one reads that, the exit status
/// remains.
pub(crate) fn fail(error: &dyn std::error::Error) -> ExitCode {
    let _ = std::io::stderr().write_all(explain(error).as_bytes());
    ExitCode::FAILURE
}

/// What is wrong, with its causes, a line each.
fn explain(error: &dyn std::error::Error) -> String {
    let mut text = format!("ostler: {error}\n");
    let mut cause = error.source();
    while let Some(e) = cause {
        text.push_str(&format!("  because: {e}\n"));
        cause = e.source();
    }
    text
}

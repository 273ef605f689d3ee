//! `ostler serve`: one server, until it is told to stop.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use server::config::{self, CommandLine, Config, Loaded};
use server::serve::{Server, Stopper};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tracing_subscriber::EnvFilter;

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
}

/// Runs the server in this process.
pub(crate) fn run(args: ServeArgs) -> ExitCode {
    let filter = EnvFilter::try_from_env("OSTLER_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours).init();
    stop_at_the_first_bug();
    let command_line = CommandLine {
        config: args.config,
        data_dir: args.data_dir,
        client_port: args.client_port,
        client_port_address: args.client_port_address,
        definitions: args.definitions,
    };
    let Loaded { config, warnings } = match config::load(&command_line) {
        Ok(loaded) => loaded,
        Err(e) => return fail(&e),
    };
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    serve(config)
}

fn serve(config: Config) -> ExitCode {
    let data_dir = config.storage.data_dir.clone();
    let started = Server::start(config);
    let server = match started {
        Ok(server) => server,
        Err(e) => return fail(&e),
    };
    if let Err(e) = stop_on_signal(server.stopper()) {
        return fail(&e);
    }
    announce(&server, &data_dir);
    match server.wait() {
        Ok(()) => {
            tracing::info!("stopped; all data is in {}", data_dir.display());
            ExitCode::SUCCESS
        }
        Err(e) => fail(&e),
    }
}

/// Says in a few lines where to go from here. On standard output, so that a script can wait for it.
fn announce(server: &Server, data_dir: &std::path::Path) {
    let address = server.address();
    let data_dir = data_dir.canonicalize().unwrap_or_else(|_| data_dir.to_owned());
    println!("Ostler {} is ready.", env!("CARGO_PKG_VERSION"));
    println!("  clients:  {address}");
    println!("  data:     {}", data_dir.display());
    let config = &server.shared().config;
    if let Some(ensemble) = &config.ensemble {
        let (me, all) = (config.server_id, ensemble.members.len());
        println!(
            "  ensemble: server {me} of {all} ({}); clients are served once there is a leader",
            ensemble.engine
        );
    }
    if let Some(admin) = server.admin_address() {
        println!("  admin:    http://{admin}/commands");
    }
    println!("  try:      ostler shell -s {address} ls /");
    println!("  stop:     Ctrl-C");
}

fn stop_on_signal(stopper: Stopper) -> std::io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        let mut asked = false;
        for _ in &mut signals {
            if asked {
                tracing::warn!("stopping at once; what was acknowledged is safe");
                std::process::exit(130);
            }
            asked = true;
            tracing::info!("stopping; once more to stop at once");
            stopper.stop();
        }
    })?;
    Ok(())
}

/// A failed assertion in any thread ends the process: a member that is wrong about its state must not go on (DESIGN rule 10).
fn stop_at_the_first_bug() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        eprintln!("this is a bug in Ostler; the server stops. What was acknowledged is on the disk.");
        std::process::abort();
    }));
}

/// Says on standard error what is wrong, with its causes.
pub(crate) fn fail(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("ostler: {error}");
    let mut cause = error.source();
    while let Some(e) = cause {
        eprintln!("  because: {e}");
        cause = e.source();
    }
    ExitCode::FAILURE
}

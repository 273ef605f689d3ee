//! `ostler cluster`: an ensemble on this machine, for trying it out.
//!
//! [`layout`] makes a directory with a zoo.cfg for each server, or finds it; [`certificates`] makes
//! what TLS needs; [`children`] runs `ostler serve` on each; [`live`] reports their state until
//! Ctrl-C.

mod certificates;
mod children;
mod layout;
mod live;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::Args;
use client::SettingsError;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use self::children::Children;
use self::layout::Layout;

/// Starts an ensemble on this machine, for trying it out.
///
/// Each server has a directory with zoo.cfg, myid, data and server.log below the data directory.
/// They are kept: started again on the same directory, the ensemble continues.
#[derive(Args, Debug)]
pub(crate) struct ClusterArgs {
    /// Servers that vote [default: 3].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=9))]
    servers: Option<u8>,
    /// Additional servers without a vote [default: 0].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=9))]
    observers: Option<u8>,
    /// Directory for all files of the servers.
    #[arg(long, value_name = "DIR", default_value = "ostler-cluster")]
    data_dir: PathBuf,
    /// Consensus engine: raft or paxos [default: raft].
    #[arg(long, value_name = "ENGINE", value_parser = ["raft", "paxos"])]
    consensus: Option<String>,
    /// Port of the first server's clients; the next servers have the next ports [default: 2181].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=65_000))]
    client_port: Option<u16>,
    /// Clients and servers speak TLS and nothing else, with certificates that are made in the data
    /// directory: those in its folder tls.
    #[arg(long)]
    tls: bool,
    /// Start a server again when its process ends.
    #[arg(long)]
    restart: bool,
}

/// Why the ensemble cannot run, or no longer.
#[derive(Debug, thiserror::Error)]
enum ClusterError {
    /// The directory cannot be used.
    #[error(transparent)]
    Layout(#[from] layout::LayoutError),
    /// The certificates there cannot be used.
    #[error(transparent)]
    Tls(#[from] SettingsError),
    /// A process cannot be started or watched.
    #[error("cannot {action}: {source}")]
    System {
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// It did not begin to serve.
    #[error("the ensemble does not serve: {sentence}\n{said}")]
    Unserved {
        /// Its state instead.
        sentence: String,
        /// The last log lines of the servers.
        said: String,
    },
    /// No server is left.
    #[error("all servers have ended")]
    AllEnded,
}

/// Runs the ensemble until Ctrl-C.
pub(crate) fn run(args: &ClusterArgs) -> ExitCode {
    match try_run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "ostler: {error}");
            ExitCode::FAILURE
        }
    }
}

fn try_run(args: &ClusterArgs) -> Result<(), ClusterError> {
    let wanted = layout::Wanted {
        voters: args.servers,
        observers: args.observers,
        consensus: args.consensus.as_deref(),
        client_port: args.client_port,
        tls: args.tls,
    };
    let layout = Layout::prepare(&args.data_dir, &wanted)?;
    let stops = count_signals().map_err(|source| ClusterError::System { action: "catch signals", source })?;
    let mut children = Children::start(&layout.places)
        .map_err(|source| ClusterError::System { action: "start a server", source })?;
    let lived = live::run(&layout, &mut children, args.restart, &stops);
    children.stop(&stops);
    lived?;
    // The reader may be gone.
    let _ = writeln!(std::io::stdout(), "stopped; all data is in {}", layout.dir.display());
    Ok(())
}

/// How often the user has asked to stop.
pub(crate) struct Stops(Arc<AtomicUsize>);

impl Stops {
    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

fn count_signals() -> std::io::Result<Stops> {
    let stops = Stops(Arc::default());
    let count = Arc::clone(&stops.0);
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        for _ in &mut signals {
            count.fetch_add(1, Ordering::Relaxed);
        }
    })?;
    Ok(stops)
}

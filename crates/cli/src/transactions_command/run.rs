//! `ostler transactions run`.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use transactions::Office;

use super::{CommandError, PlaceArgs};
use crate::metrics_port;

/// Runs the recovery until it is told to stop.
///
/// It waits while another process recovers. SIGINT and SIGTERM end it.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  ostler transactions run --resources shop.json --timeout 4000
  ostler transactions run --resources shop.json --metrics 127.0.0.1:7001")]
pub(super) struct RunArgs {
    #[command(flatten)]
    pub(super) place: PlaceArgs,
    /// Serve metrics for Prometheus here, at /metrics.
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics: Option<SocketAddr>,
}

pub(super) async fn run(args: &RunArgs, office: &Office) -> Result<ExitCode, CommandError> {
    if let Some(address) = args.metrics {
        let listener = TcpListener::bind(address).await?;
        let metrics = Arc::clone(office.metrics());
        tokio::spawn(metrics_port::serve(listener, move || metrics.prometheus()));
    }
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        () = office.recover() => Err(CommandError::SessionEnded),
        _ = interrupt.recv() => Ok(ExitCode::SUCCESS),
        _ = terminate.recv() => Ok(ExitCode::SUCCESS),
    }
}

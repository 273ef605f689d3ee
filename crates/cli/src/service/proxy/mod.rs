//! `ostler service proxy`: a TCP proxy in front of a service.

mod connection;
mod metrics;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use recipes::discovery::{Discovery, Service};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::{ChoiceArgs, ConnectArgs, ServiceError, say, seconds};
use crate::child_command::STOPPED;
use crate::metrics_port;
use connection::Forwarder;
use metrics::Counters;

/// The pause after the system had no connection to give, for example for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Forwards TCP connections to instances of a service.
///
/// Each connection goes to an instance that the strategy chooses. If that cannot be connected to,
/// it is avoided for a while, and another one is chosen. The key of the strategies that choose by
/// key is the address of the client, without its port. While no server can be reached, the last
/// known instances stay in use.
///
/// On TERM or INT the proxy takes no more connections and waits until those that it has are over.
/// A second signal ends them at once.
///
/// Exit code: 0 after all connections were over; 124 if some were cut off; 125 if this program
/// fails.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  ostler service proxy --listen 127.0.0.1:8080 web
  ostler service proxy --listen 127.0.0.1:6379 --strategy ring-bounded cache
  ostler service proxy --listen 0.0.0.0:80 --zone north --metrics 127.0.0.1:9100 web")]
pub(super) struct ProxyArgs {
    #[command(flatten)]
    pub(super) connect: ConnectArgs,
    #[command(flatten)]
    choice: ChoiceArgs,
    /// Where clients connect.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// Where metrics are told, as text for Prometheus: at /metrics.
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics: Option<SocketAddr>,
    /// Connections at the same time; more wait in the system's queue.
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 1_024,
        value_parser = clap::value_parser!(u32).range(1..=1_000_000)
    )]
    max_connections: u32,
    /// How long a connection to an instance may take to be accepted.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "3")]
    connect_timeout: Duration,
    /// How many instances are tried for a connection.
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 3,
        value_parser = clap::value_parser!(u32).range(1..=100)
    )]
    tries: u32,
    /// How long an instance that could not be connected to is not chosen, unless all are avoided.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "10")]
    avoid: Duration,
    /// How long connections may go on after TERM.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "30")]
    drain: Duration,
    /// The service.
    name: String,
}

pub(super) async fn run(args: &ProxyArgs, discovery: &Discovery) -> Result<u8, ServiceError> {
    let mut stop = Stop::new()?;
    let service = discovery.service(&args.name, args.choice.strategy(), args.choice.settings()?).await?;
    let counters = Arc::new(Counters::new(&args.name));
    let listener = listen(args.listen).await?;
    let mut helpers = JoinSet::new();
    if let Some(address) = args.metrics {
        let (counters, service) = (Arc::clone(&counters), service.clone());
        helpers.spawn(metrics_port::serve(listen(address).await?, move || counters.text(&service)));
    }
    helpers.spawn(tell_faults(service.clone()));
    say(format_args!("{} is reached at {}", args.name, listener.local_addr()?));
    let forwarder = Arc::new(Forwarder {
        service,
        counters: Arc::clone(&counters),
        tries: args.tries,
        connect_timeout: args.connect_timeout,
        avoid: args.avoid,
    });
    let connections = accept_until(&mut stop, listener, args.max_connections, &forwarder).await;
    counters.begin_to_drain();
    Ok(drain(connections, args.drain, &mut stop).await)
}

async fn listen(address: SocketAddr) -> Result<TcpListener, ServiceError> {
    TcpListener::bind(address).await.map_err(|source| ServiceError::Listen { address, source })
}

/// What asks the proxy to end.
struct Stop {
    terminated: Signal,
    interrupted: Signal,
}

impl Stop {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminated: signal(SignalKind::terminate())?,
            interrupted: signal(SignalKind::interrupt())?,
        })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminated.recv() => {}
            _ = self.interrupted.recv() => {}
        }
    }
}

/// Takes connections until the proxy is to end, and returns those that it then has.
async fn accept_until(
    stop: &mut Stop,
    listener: TcpListener,
    connections_max: u32,
    forwarder: &Arc<Forwarder>,
) -> JoinSet<()> {
    let permits = Arc::new(Semaphore::new(connections_max as usize));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = accept(&listener, &permits) => match accepted {
                Ok((stream, client, permit)) => {
                    let forwarder = Arc::clone(forwarder);
                    connections.spawn(async move {
                        forwarder.forward(stream, client).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    say(format_args!("cannot accept a connection: {error}"));
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
            () = stop.asked() => return connections,
        }
    }
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, client) = listener.accept().await?;
    Ok((stream, client, permit))
}

/// Waits until the connections are over; returns the exit code.
async fn drain(mut connections: JoinSet<()>, patience: Duration, stop: &mut Stop) -> u8 {
    let over = async { while connections.join_next().await.is_some() {} };
    let is_over = tokio::select! {
        () = over => true,
        () = tokio::time::sleep(patience) => false,
        () = stop.asked() => false,
    };
    if is_over {
        return 0;
    }
    say(format_args!("{} connections are cut off", connections.len()));
    STOPPED
}

/// Says what keeps the set from being followed.
async fn tell_faults(mut service: Service) {
    loop {
        match service.changed().await {
            Ok(known) => {
                if let Some(fault) = &known.fault {
                    say(format_args!("the last instances stay in use: {fault}"));
                }
            }
            Err(error) => {
                say(format_args!("the last instances stay in use: {error}"));
                return;
            }
        }
    }
}

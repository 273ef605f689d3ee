//! The `ostler-floor` command: runs one of the baseline servers until it is stopped.

use clap::Parser;
use floor::epoll::{self, Flush};
use floor::log::Log;
use floor::{ensemble, tasks};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;

/// A server that only moves and flushes bytes: no real server can be faster than what `ostler
/// bench` measures here
#[derive(Debug, Parser)]
#[command(name = "ostler-floor")]
struct Args {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1:2191")]
    listen: SocketAddr,
    /// Number of poll loops, or of workers of the tokio runtime
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Length of the data in every getData reply, in bytes
    #[arg(long, default_value_t = 100)]
    data_bytes: usize,
    /// Serve each connection with a tokio task instead of poll loops
    #[arg(long, conflicts_with = "log")]
    tokio: bool,
    /// Append the frames of writes to this file and flush it before answering. The file is
    /// overwritten
    #[arg(long)]
    log: Option<PathBuf>,
    /// Length of that file in MiB; it is filled with zeros at the start, and writing wraps around
    #[arg(long, default_value_t = 64)]
    log_mib: u64,
    /// Which thread flushes the log
    #[arg(long, value_enum, default_value_t = Flush::Thread)]
    flush: Flush,
    /// Replicate writes among these members, which connect to the first one, the leader. Each
    /// member is one process with one poll loop
    #[arg(long, value_name = "ADDRESS,ADDRESS,…", value_delimiter = ',', requires_all = ["member", "log"])]
    #[arg(conflicts_with_all = ["threads", "tokio"])]
    members: Vec<SocketAddr>,
    /// Number of this process among the members, from 1
    #[arg(long, value_name = "NUMBER", requires = "members")]
    member: Option<usize>,
}

fn run(args: &Args) -> io::Result<()> {
    let listener = TcpListener::bind(args.listen)?;
    let log = args.log.as_ref().map(|path| Log::create(path, args.log_mib << 20)).transpose()?;
    match (log, args.member) {
        (Some(log), Some(member)) => {
            ensemble::serve(listener, &args.members, member, args.data_bytes, log, args.flush)
        }
        _ if args.tokio => tasks::serve(listener, args.threads, args.data_bytes),
        (log, _) => epoll::serve(listener, args.threads, args.data_bytes, log.map(|log| (log, args.flush))),
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ostler-floor: {}: {error}", args.listen);
            ExitCode::FAILURE
        }
    }
}

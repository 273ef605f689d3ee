//! The `ostler-floor` command: runs one of the floor servers until it is stopped.

use clap::Parser;
use floor::epoll::{self, Flush};
use floor::log::Log;
use floor::{ensemble, tasks};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;

/// A server that only moves and flushes bytes: what `ostler bench` measures against it, no real server can beat.
#[derive(Debug, Parser)]
#[command(name = "ostler-floor")]
struct Args {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:2191")]
    listen: SocketAddr,
    /// Poll loops, or workers of the tokio runtime.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Length of the data in every getData reply.
    #[arg(long, default_value_t = 100)]
    data_bytes: usize,
    /// Serve each connection by a tokio task instead of by poll loops.
    #[arg(long, conflicts_with = "log")]
    tokio: bool,
    /// Append the frames of writes to this file and flush it before they are answered. The file is overwritten.
    #[arg(long)]
    log: Option<PathBuf>,
    /// Length of that file, which is filled with zeros at the start and written round and round.
    #[arg(long, default_value_t = 64)]
    log_mib: u64,
    /// Who flushes it.
    #[arg(long, value_enum, default_value_t = Flush::Thread)]
    flush: Flush,
    /// Replicate writes among these members, which find each other at the address of the first. It leads. Each member is one
    /// process with one poll loop.
    #[arg(long, value_name = "ADDRESS,ADDRESS,…", value_delimiter = ',', requires_all = ["member", "log"])]
    #[arg(conflicts_with_all = ["threads", "tokio"])]
    members: Vec<SocketAddr>,
    /// Which of the members this process is, from 1.
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

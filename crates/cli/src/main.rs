//! The `ostler` command.

mod bench;
mod client_configuration;
mod cluster;
mod messages;
mod recover;
mod serve;
mod shell;
mod status;
mod tls_options;
mod user;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Returns freed memory to the system sooner and fragments less than the C library's.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A coordination service that ZooKeeper clients and applications can use unchanged.
#[derive(Debug, Parser)]
#[command(name = "ostler", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::ServeArgs),
    Shell(Box<shell::ShellArgs>),
    Bench(Box<bench::BenchArgs>),
    Status(status::StatusArgs),
    Cluster(cluster::ClusterArgs),
    Recover(recover::RecoverArgs),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(args) => serve::run(args),
        Command::Shell(args) => shell::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Cluster(args) => cluster::run(&args),
        Command::Recover(args) => recover::run(args),
    }
}

//! The `ostler` command.

mod bench;
mod child_command;
mod client_configuration;
mod cluster;
mod config_command;
mod hold;
mod messages;
mod metrics_port;
mod recover;
mod serve;
mod service;
mod session_options;
mod shell;
mod status;
mod tls_options;
mod transactions_command;
mod user;

use clap::{CommandFactory as _, Parser, Subcommand};
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
    Lock(Box<hold::LockArgs>),
    Elect(Box<hold::ElectArgs>),
    Semaphore(Box<hold::SemaphoreArgs>),
    Config(config_command::ConfigArgs),
    Service(service::ServiceArgs),
    Transactions(transactions_command::TransactionsArgs),
    /// Prints the completions of a shell: `source <(ostler completions bash)`.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    #[command(hide = true)]
    ExecWithParent(child_command::ExecArgs),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(args) => serve::run(args),
        Command::Shell(args) => shell::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Cluster(args) => cluster::run(&args),
        Command::Recover(args) => recover::run(args),
        Command::Lock(args) => hold::lock(&args),
        Command::Elect(args) => hold::elect(&args),
        Command::Semaphore(args) => hold::semaphore(&args),
        Command::Config(args) => config_command::run(&args),
        Command::Service(args) => service::run(&args),
        Command::Transactions(args) => transactions_command::run(&args),
        Command::Completions { shell } => completions(shell),
        Command::ExecWithParent(args) => child_command::exec(&args),
    }
}

/// Writes to memory first, because the library panics when it cannot write.
fn completions(shell: clap_complete::Shell) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "ostler", &mut script);
    match std::io::Write::write_all(&mut std::io::stdout(), &script) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

//! `ostler status`: all servers of an ensemble in one table, and whether it can lose another one.
//!
//! [`client::status`] asks the servers and judges what they say together, [`view`] prints it.

mod view;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use client::ConnectString;
use client::status::{self, Health, ServerStatus, Verdict};

use crate::serve::fail;
use crate::tls_options::TlsArgs;

/// Time between two rounds of `--watch`.
const PERIOD: Duration = Duration::from_secs(1);

/// A server that has not answered by then counts as unreachable.
const PATIENCE: Duration = Duration::from_secs(2);

/// Clears a terminal and goes to its first line.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Shows every server of an ensemble, and whether it can lose another one.
///
/// Exit code: 0 healthy, 1 degraded, 2 no quorum. Each server named is asked by the four-letter
/// word `srvr`, which needs to be in its 4lw.commands.whitelist, as it is by default.
#[derive(Args, Debug)]
pub(crate) struct StatusArgs {
    /// Servers to ask: best all of them.
    #[arg(short, long, value_name = "HOST:PORT[,…]", default_value = "127.0.0.1:2181")]
    server: ConnectString,
    /// Ask again every second until Ctrl-C.
    #[arg(short, long)]
    watch: bool,
    /// Print one JSON object for each round.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    tls: TlsArgs,
}

/// Asks, prints, and returns the state as the exit code.
pub(crate) fn run(args: &StatusArgs) -> ExitCode {
    let tls = match args.tls.read() {
        Ok(tls) => tls,
        Err(error) => return fail(&error),
    };
    loop {
        let servers = status::ask(args.server.servers(), tls.as_ref(), PATIENCE);
        let verdict = judge(&servers);
        let text = if args.json {
            format!("{}\n", view::json(&servers, &verdict))
        } else {
            format!("{}\n{}\n", view::table(&servers), verdict.sentence)
        };
        let mut out = std::io::stdout().lock();
        let clear = if args.watch && !args.json && out.is_terminal() { CLEAR } else { "" };
        // The reader of our output is gone, so nothing can be reported.
        let told = out.write_all(format!("{clear}{text}").as_bytes()).and_then(|()| out.flush());
        if !args.watch || told.is_err() {
            return ExitCode::from(exit_code(verdict.health));
        }
        drop(out);
        std::thread::sleep(PERIOD);
    }
}

/// The verdict, with what the user can do about a leader that was not asked.
fn judge(servers: &[ServerStatus]) -> Verdict {
    let mut verdict = status::verdict(servers);
    if verdict.unasked_leader.is_some() {
        verdict.sentence.push_str(" Name it with -s.");
    }
    verdict
}

/// What the process ends with.
fn exit_code(health: Health) -> u8 {
    match health {
        Health::Healthy => 0,
        Health::Degraded => 1,
        Health::NoQuorum => 2,
    }
}

//! A bank whose accounts are in PostgreSQL, MariaDB, znodes and a service, and that survives all
//! its servers.
//!
//! ```text
//! cargo run --release -p ostler-transactions --example bank -- --kill
//! ```
//!
//! It starts everything it needs, the databases from Debian's packages. Options: `--transfers N`,
//! by default 200; `--kill`: kill, stop and cut off tellers, stores and the leader;
//! `--faults N`: this many times.

mod scenario;

use std::process::ExitCode;

use scenario::{DOUBT_MAX, Fault, Plan};

fn main() -> ExitCode {
    testing::serve_if_asked();
    scenario::teller_if_asked();
    scenario::service_if_asked();
    let (mut transfers, mut faults) = (200, Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|text| text.parse::<usize>().ok());
        match argument.as_str() {
            "--kill" => faults = Fault::each(),
            "--transfers" => transfers = number().unwrap_or(transfers),
            "--faults" => faults = Fault::many(number().unwrap_or_default()),
            other => {
                eprintln!("{other} is not known; the options are --kill, --transfers N and --faults N");
                return ExitCode::FAILURE;
            }
        }
    }
    let Some(summary) = scenario::run(Plan { transfers, faults, arguments: &[] }) else {
        return ExitCode::FAILURE;
    };
    let [postgres, mariadb, znodes, service] = summary.balances;
    println!(
        "{} transfers committed, {} aborted, {} unknown, in {:.1} s",
        summary.committed,
        summary.aborted,
        summary.untold,
        summary.took.as_secs_f64()
    );
    println!(
        "balance: {postgres} in PostgreSQL, {mariadb} in MariaDB, {znodes} in znodes, {service} in the \
         service: {} in all, as at first",
        summary.balances.iter().sum::<i64>()
    );
    println!(
        "nothing is prepared anywhere; longest in doubt while everything worked: {:.2} s, allowed {} s",
        summary.longest_doubt.as_secs_f64(),
        DOUBT_MAX.as_secs()
    );
    ExitCode::SUCCESS
}

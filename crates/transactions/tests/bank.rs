//! The bank of the example `bank`, with every fault.
//!
//! `OSTLER_BANK_LONG=1` makes it 2,000 transfers and 200 faults, which takes some ten minutes.

#[path = "../examples/bank/scenario/mod.rs"]
mod scenario;

use scenario::{DOUBT_MAX, Fault, Plan, Summary};

/// What the program is started with to be a teller or a server.
const CHILD: &[&str] = &["child_process", "--exact", "--nocapture", "--test-threads=1"];

/// Does something only in a process that a test has started.
#[test]
fn child_process() {
    testing::serve_if_asked();
    scenario::teller_if_asked();
    scenario::service_if_asked();
}

#[test]
fn money_is_conserved_whatever_dies() {
    let (transfers, faults) = match std::env::var_os("OSTLER_BANK_LONG") {
        Some(_) => (2_000, Fault::many(200)),
        None => (100, Fault::each()),
    };
    let Some(summary) = scenario::run(Plan { transfers, faults, arguments: CHILD }) else { return };
    let Summary { committed, aborted, untold, longest_doubt, balances, took } = summary;
    println!("{committed} committed, {aborted} aborted, {untold} untold, in {took:?}");
    println!("longest in doubt: {longest_doubt:?}; balances: {balances:?}");
    assert!(committed >= transfers && longest_doubt <= DOUBT_MAX);
}

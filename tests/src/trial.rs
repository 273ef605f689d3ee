//! The end of a trial: the work ends, and everything that was promised meanwhile is checked.

use std::time::Duration;

use crate::ensemble::Ensemble;
use crate::history::Answer;
use crate::linear;
use crate::load::Load;
use crate::porcupine;
use crate::verdict::{Tree, difference, has_leftovers, history, judge, tree};

/// Ends the work of clients and holds what they were told against what every member shows.
///
/// `what` says of which trial it is; `twice` has the registers checked by porcupine as well.
pub fn conclude(ensemble: &mut Ensemble, load: Load, what: &str, twice: bool) {
    let epoch = load.shared.epoch;
    let (evidence, rest) = load.end();
    let servers = ensemble.servers();
    let first = ensemble.address(servers[0]);
    ensemble.await_that("the ephemerals of lost sessions are gone", |_| {
        std::thread::sleep(Duration::from_millis(300));
        (!has_leftovers(&tree(first)?, &evidence)).then_some(())
    });
    // A client that is refused once comes back.
    let trees: Vec<Tree> = ensemble
        .addresses()
        .into_iter()
        .map(|member| ensemble.await_that("a member shows its tree", |_| tree(member)))
        .collect();
    for (server, tree) in servers.iter().zip(&trees) {
        let difference = difference(&trees[0], tree);
        assert_eq!(difference, None, "server.{} and server.{server} show the same", servers[0]);
    }
    drop(rest);
    judge(&trees[0], &evidence);
    let calls = history(first, &evidence, epoch.elapsed().as_nanos() as u64);
    let unknown = calls.iter().filter(|call| call.answer == Answer::Unknown).count();
    let writes: usize = evidence.iter().map(|known| known.written.len()).sum();
    let expired: u64 = evidence.iter().map(|known| known.expired).sum();
    println!(
        "{what}, {servers:?}: {writes} writes, {} calls on registers, {unknown} without an answer; {expired} sessions expired",
        calls.len()
    );
    linear::check(&calls).unwrap_or_else(|broken| panic!("{broken}"));
    if twice {
        porcupine::check(&calls);
    }
}

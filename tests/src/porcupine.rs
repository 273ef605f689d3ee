//! A second opinion on the history of registers: porcupine, a checker by other people, in the Go
//! program under `checker/`.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::history::{Call, lines};
use crate::process::{cache, have_tools, lock_cache, repository, tools_required};

/// Has the history judged. Without Go, or without the network where porcupine was never fetched, it
/// says so and does not judge.
///
/// Panics if the history is not linearizable.
pub fn check(calls: &[Call]) {
    if !have_tools(&["go"]) {
        return;
    }
    let lock = lock_cache("checker");
    let built =
        Command::new(repository().join("tests/checker/install")).arg(cache().join("checker")).output();
    let built = built.expect("run tests/checker/install");
    drop(lock);
    if !built.status.success() {
        let why = String::from_utf8_lossy(&built.stderr);
        assert!(!tools_required(), "porcupine is missing and this run requires it: {why}");
        println!("skipped: no porcupine: {why}");
        return;
    }
    let mut command = Command::new(String::from_utf8_lossy(&built.stdout).trim());
    let mut checker =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("start the checker");
    let mut input = checker.stdin.take().expect("a pipe to the checker");
    input.write_all(lines(calls).as_bytes()).expect("the checker reads");
    drop(input);
    let said = checker.wait_with_output().expect("the checker's end");
    let text = String::from_utf8_lossy(&said.stdout);
    println!("porcupine: {}", text.trim());
    assert!(said.status.success(), "porcupine: {text}");
}

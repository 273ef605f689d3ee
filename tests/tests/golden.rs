//! Apache ZooKeeper's bytes, recorded once, and Ostler held to them.
//!
//! `OSTLER_GOLDEN=record` speaks the conversations with Apache ZooKeeper and writes their
//! transcripts anew; what changed is then to be read in the diff. Nothing else writes them. The
//! replay needs no Java.

use std::fs;
use std::path::PathBuf;

use ostler_tests::golden::{record, replay};
use ostler_tests::process::{Kind, Server, repository};
use ostler_tests::script::conversations;

fn transcript(name: &str) -> PathBuf {
    repository().join("tests/golden").join(format!("{name}.txt"))
}

#[test]
fn answers_are_zookeepers_to_the_byte() {
    let recording = std::env::var("OSTLER_GOLDEN").is_ok_and(|value| value == "record");
    if recording {
        let server = Server::start(Kind::ZooKeeper).expect("Java and Maven, to record");
        for conversation in conversations() {
            let text = record(conversation.title, &conversation.acts, server.address());
            fs::write(transcript(conversation.name), text).expect("write the transcript");
        }
    }
    // With ClickHouse's extensions a multiRead may hold more than ZooKeeper understands.
    let plain = [("ostler.keeperExtensions", "false")];
    let Some(server) = Server::start_with(Kind::under_test(), &plain) else { return };
    let mut failures = Vec::new();
    for conversation in conversations() {
        let path = transcript(conversation.name);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        if let Err(why) = replay(&text, server.address()) {
            failures.push(format!("{}.txt, {why}", conversation.name));
        }
    }
    assert!(failures.is_empty(), "{:?} does not answer as recorded:\n{}", server.kind(), failures.join("\n"));
}

//! The state of a real server.

use client::status::{Answer, Health, ask, verdict};
use std::time::Duration;

use crate::server::TestServer;

#[test]
fn a_server_is_asked_and_judged() {
    let mut server = TestServer::start();
    let ask_it = |address: String| ask(&[address], None, Duration::from_secs(30));
    let answers = ask_it(server.address());
    let report = answers[0].server().expect("it serves");
    assert_eq!((report.mode.as_str(), report.member.as_ref()), ("standalone", None));
    assert_eq!(verdict(&answers).health, Health::Healthy);
    server.stop();
    let answers = ask_it(server.address());
    assert_eq!(answers[0].answer, Answer::Silent("connection refused".to_owned()));
    assert_eq!(verdict(&answers).health, Health::NoQuorum);
}

//! One member of a Raft group, driven message by message.

use bytes::Bytes;
use consensus::engine::{Engine, Ready, Settings, Start, StepError};
use consensus::entry::{Entry, EntryKind, MemberId, Position};
use consensus::message::{Body, Message, POSITION_LIMIT, ReadName};
use consensus::raft::RaftEngine;

const FOUNDERS: [MemberId; 3] = [MemberId(1), MemberId(2), MemberId(3)];
const BOOTSTRAP: Position = Position { term: 1, index: 1 };
const TERM: u64 = 2;

/// Member 3, which follows member 1.
struct Member {
    engine: RaftEngine,
    ready: Ready,
}

impl Member {
    fn new() -> Self {
        let engine = RaftEngine::new(Settings::new(1, MemberId(3), 1, 1), Start::bootstrap(&FOUNDERS));
        Self { engine, ready: Ready::default() }
    }

    /// Delivers `body` from the leader, and returns the replies once everything is flushed.
    fn answers(&mut self, body: Body) -> Vec<Body> {
        let message = Message { group: 1, from: MemberId(1), to: MemberId(3), term: TERM, body };
        self.engine.step(MemberId(1), message.encode()).expect("a proper message");
        let mut sent = Vec::new();
        while self.engine.ready(&mut self.ready) {
            self.engine.persisted(self.ready.number);
            sent.append(&mut self.ready.messages);
        }
        sent.into_iter()
            .map(|outgoing| Message::decode(outgoing.bytes).expect("own messages decode").body)
            .collect()
    }
}

fn entry(index: u64) -> Entry {
    Entry { index, term: TERM, kind: EntryKind::Command, data: Bytes::from_static(b"x") }
}

fn append(previous: u64, commit: u64, entries: Vec<Entry>) -> Body {
    let term = if previous == BOOTSTRAP.index { BOOTSTRAP.term } else { TERM };
    Body::Append { previous: Position { term, index: previous }, commit, entries }
}

fn acknowledged(answers: &[Body]) -> Option<u64> {
    match answers {
        [] => None,
        [Body::AppendReply { index, refused: None, .. }] => Some(*index),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_commit_alone_is_not_acknowledged() {
    let mut member = Member::new();
    assert_eq!(acknowledged(&member.answers(append(1, 1, vec![entry(2), entry(3)]))), Some(3));
    assert_eq!(acknowledged(&member.answers(append(3, 2, vec![]))), None, "the leader knows that already");
    assert_eq!(member.engine.commit(), 2);
    assert_eq!(acknowledged(&member.answers(append(3, 3, vec![]))), None);
    assert_eq!(member.engine.commit(), 3);
    assert_eq!(acknowledged(&member.answers(append(3, 3, vec![entry(4)]))), Some(4));
}

/// A leader that did not get the first reply asks again, and would otherwise wait for ever.
#[test]
fn a_repeated_append_is_always_acknowledged() {
    let mut member = Member::new();
    assert_eq!(acknowledged(&member.answers(append(1, 1, vec![entry(2)]))), Some(2));
    for _ in 0..3 {
        assert_eq!(acknowledged(&member.answers(append(2, 1, vec![]))), Some(2), "where does your log end?");
        assert_eq!(acknowledged(&member.answers(append(1, 1, vec![entry(2)]))), Some(2), "did you get this?");
    }
    assert_eq!(acknowledged(&member.answers(append(2, 2, vec![]))), None);
    assert_eq!(acknowledged(&member.answers(append(2, 2, vec![]))), Some(2), "did you get that?");
}

impl Member {
    /// The result of a message from any member in any term.
    fn receive(&mut self, from: u64, term: u64, body: Body) -> Result<(), StepError> {
        let message = Message { group: 1, from: MemberId(from), to: MemberId(3), term, body };
        let heard = self.engine.step(MemberId(from), message.encode());
        while self.engine.ready(&mut self.ready) {
            self.engine.persisted(self.ready.number);
        }
        heard
    }

    fn term(&self) -> u64 {
        self.engine.role().term
    }
}

fn heartbeat(commit: u64) -> Body {
    Body::Heartbeat { commit, read: None }
}

fn vote() -> Body {
    Body::Vote { trial: false, transfer: true, last: BOOTSTRAP, commit: BOOTSTRAP }
}

/// One vote request in the highest term once left a group that could never elect a leader again.
#[test]
fn a_far_term_is_not_adopted() {
    let far = POSITION_LIMIT - 1;
    let mut member = Member::new();
    for body in [vote(), heartbeat(1), Body::VoteReply { trial: false, refused: true, commit: BOOTSTRAP }] {
        assert_eq!(member.receive(2, far, body), Err(StepError::FarTerm { term: far }));
        assert_eq!(member.term(), 1);
    }
    assert_eq!(member.receive(2, 1_000_000, vote()), Ok(()), "it missed many elections");
    assert_eq!(member.term(), 1_000_000);
}

/// A member that missed more elections than the allowance covers hears only from the leader.
#[test]
fn a_leader_of_a_far_term_is_followed_if_there_is_no_other() {
    let far = 1 << 40;
    let mut member = Member::new();
    let mut tries = 0;
    while member.receive(2, far, heartbeat(1)).is_err() {
        tries += 1;
        assert!(tries < 1_000, "the far leader is never followed");
        member.engine.tick();
    }
    assert!(tries > 100, "followed after {tries} ticks");
    assert_eq!(member.term(), far);
}

#[test]
fn a_leader_of_a_far_term_is_ignored_while_another_one_is_heard() {
    let far = 1 << 40;
    let mut member = Member::new();
    for _ in 0..1_000 {
        assert_eq!(member.receive(1, TERM, heartbeat(1)), Ok(()));
        assert_eq!(member.receive(2, far, heartbeat(1)), Err(StepError::FarTerm { term: far }));
        member.engine.tick();
    }
    assert_eq!(member.term(), TERM);
}

/// No other member may replace what the leader of a term had a member flush in that term.
#[test]
fn a_term_has_one_leader() {
    let mut member = Member::new();
    assert_eq!(acknowledged(&member.answers(append(1, 1, vec![entry(2), entry(3)]))), Some(3));
    for body in [append(1, 3, vec![entry(2)]), heartbeat(3)] {
        assert!(matches!(member.receive(2, TERM, body), Err(StepError::Malformed(_))));
    }
    // `CampaignNow` and the answer to a read come from the leader alone, too.
    assert_eq!(member.receive(2, TERM, Body::CampaignNow), Ok(()));
    let name = ReadName { member: MemberId(3), boot_nonce: 1, counter: 1 };
    assert_eq!(member.receive(2, TERM, Body::ReadAnswer { name, index: 3 }), Ok(()));
    assert_eq!((member.engine.commit(), member.term()), (1, TERM));
}

#[test]
fn a_leader_cannot_replace_its_own_entries() {
    let mut member = Member::new();
    assert_eq!(acknowledged(&member.answers(append(1, 1, vec![entry(2), entry(3)]))), Some(3));
    let older = Entry { term: 1, ..entry(2) };
    assert!(matches!(member.receive(1, TERM, append(1, 1, vec![older])), Err(StepError::Malformed(_))));
    assert_eq!(member.engine.status().last_index, 3);
}

/// A command the host could not apply must not get into the log, where it would stop every member.
#[test]
fn an_invalid_command_is_refused() {
    let settings = Settings { is_command: |data| data == b"x", ..Settings::new(1, MemberId(3), 1, 1) };
    let engine = RaftEngine::new(settings, Start::bootstrap(&FOUNDERS));
    let mut member = Member { engine, ready: Ready::default() };
    let garbage = Entry { data: Bytes::from_static(b"garbage"), ..entry(2) };
    assert!(matches!(member.receive(1, TERM, append(1, 1, vec![garbage])), Err(StepError::Malformed(_))));
    assert_eq!(member.receive(1, TERM, append(1, 1, vec![entry(2)])), Ok(()));
}

//! One member of a Raft group, spoken to message by message.

use bytes::Bytes;
use consensus::engine::{Engine, Ready, Settings, Start};
use consensus::entry::{Entry, EntryKind, MemberId, Position};
use consensus::message::{Body, Message};
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

    /// Hears this of the leader, and says what it answers once everything is flushed.
    fn answers(&mut self, body: Body) -> Vec<Body> {
        let message = Message { group: 1, from: MemberId(1), to: MemberId(3), term: TERM, body };
        self.engine.step(MemberId(1), message.encode()).expect("a proper message");
        let mut said = Vec::new();
        while self.engine.ready(&mut self.ready) {
            self.engine.persisted(self.ready.number);
            said.append(&mut self.ready.messages);
        }
        said.into_iter()
            .map(|letter| Message::decode(letter.bytes).expect("it writes what it reads").body)
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

fn confirms(answers: &[Body]) -> Option<u64> {
    match answers {
        [] => None,
        [Body::AppendReply { index, refused: None, .. }] => Some(*index),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_commit_that_comes_alone_is_not_answered() {
    let mut member = Member::new();
    assert_eq!(confirms(&member.answers(append(1, 1, vec![entry(2), entry(3)]))), Some(3));
    assert_eq!(confirms(&member.answers(append(3, 2, vec![]))), None, "the leader knows that already");
    assert_eq!(member.engine.commit(), 2);
    assert_eq!(confirms(&member.answers(append(3, 3, vec![]))), None);
    assert_eq!(member.engine.commit(), 3);
    assert_eq!(confirms(&member.answers(append(3, 3, vec![entry(4)]))), Some(4));
}

/// A leader that has not got the first answer asks again, and would wait for ever.
#[test]
fn a_question_is_answered_however_often_it_is_asked() {
    let mut member = Member::new();
    assert_eq!(confirms(&member.answers(append(1, 1, vec![entry(2)]))), Some(2));
    for _ in 0..3 {
        assert_eq!(confirms(&member.answers(append(2, 1, vec![]))), Some(2), "where does your log end?");
        assert_eq!(confirms(&member.answers(append(1, 1, vec![entry(2)]))), Some(2), "did you get this?");
    }
    assert_eq!(confirms(&member.answers(append(2, 2, vec![]))), None);
    assert_eq!(confirms(&member.answers(append(2, 2, vec![]))), Some(2), "did you get that?");
}

//! One member of a Paxos group, driven message by message.

use bytes::Bytes;
use consensus::engine::{ChangeError, Engine, Ready, Role, Settings, Start, StepError};
use consensus::entry::{Entry, EntryKind, HardState, MemberId, Position};
use consensus::membership::{Membership, MembershipChange, SnapshotMeta};
use consensus::paxos::message::{AcceptedLog, Body, Message};
use consensus::paxos::{MEMBER_ID_LIMIT, PaxosEngine};
use consensus::raft::RaftEngine;

const FOUNDERS: [MemberId; 3] = [MemberId(1), MemberId(2), MemberId(3)];
const BOOTSTRAP: Position = Position { term: 1, index: 1 };

/// Member 3, and what it has given out.
struct Member {
    engine: PaxosEngine,
    ready: Ready,
}

impl Member {
    fn new() -> Self {
        let engine = PaxosEngine::new(Settings::new(1, MemberId(3), 1, 1), Start::bootstrap(&FOUNDERS));
        Self { engine, ready: Ready::default() }
    }

    fn receive(&mut self, from: u64, ballot: u64, body: Body) {
        let message = Message { group: 1, from: MemberId(from), to: MemberId(3), ballot, body };
        self.engine.step(MemberId(from), message.encode()).expect("a proper message");
    }

    /// All messages it sends now, and the number of the last `Ready`.
    fn take_messages(&mut self) -> (Vec<(u64, Message)>, u64) {
        let mut sent = Vec::new();
        let mut number = 0;
        while self.engine.ready(&mut self.ready) {
            number = number.max(self.ready.number);
            for outgoing in self.ready.messages.drain(..) {
                sent.push((outgoing.to.0, Message::decode(outgoing.bytes).expect("own messages decode")));
            }
        }
        (sent, number)
    }

    fn flush_and_take(&mut self) -> Vec<(u64, Body)> {
        let (mut sent, number) = self.take_messages();
        self.engine.persisted(number);
        sent.extend(self.take_messages().0);
        sent.into_iter().map(|(to, message)| (to, message.body)).collect()
    }
}

fn ballot(round: u64, member: u64) -> u64 {
    round * MEMBER_ID_LIMIT + member
}

fn leadership(term: u64, index: u64) -> Entry {
    Entry { index, term, kind: EntryKind::Leadership, data: Bytes::new() }
}

fn command(term: u64, index: u64) -> Entry {
    Entry { index, term, kind: EntryKind::Command, data: Bytes::from_static(b"x") }
}

fn accept(entries: Vec<Entry>) -> Body {
    Body::Accept { previous: BOOTSTRAP, commit: 1, entries }
}

#[test]
fn promises_and_acceptances_wait_for_their_flush() {
    let mut member = Member::new();
    let first = ballot(1, 1);
    member.receive(1, first, Body::Prepare { trial: false, transfer: false });
    let (sent, number) = member.take_messages();
    assert!(sent.is_empty(), "a promise that a crash could undo is not sent");
    member.engine.persisted(number);
    let log_state = AcceptedLog { before: BOOTSTRAP, commit: BOOTSTRAP, last: BOOTSTRAP };
    assert_eq!(member.flush_and_take(), [(1, Body::Promise { trial: false, log_state })]);

    member.receive(1, first, accept(vec![leadership(first, 2), command(first, 3)]));
    let (sent, number) = member.take_messages();
    assert!(sent.is_empty(), "nor is such an acceptance");
    member.engine.persisted(number);
    assert_eq!(member.flush_and_take(), [(1, Body::Accepted { index: 3 })]);
    assert_eq!(member.engine.status().commit, 1, "accepted is not chosen");
}

#[test]
fn a_lower_ballot_is_answered_outdated() {
    let mut member = Member::new();
    member.receive(2, ballot(1, 2), Body::Prepare { trial: false, transfer: false });
    member.flush_and_take();
    member.receive(1, ballot(1, 1), Body::Prepare { trial: false, transfer: false });
    assert_eq!(member.flush_and_take(), [(1, Body::Outdated)]);
    member.receive(1, ballot(1, 1), accept(vec![leadership(ballot(1, 1), 2)]));
    assert_eq!(member.flush_and_take(), [(1, Body::Outdated)]);
    assert_eq!(member.engine.status().last_index, 1);
}

#[test]
fn a_trial_changes_nothing() {
    let mut member = Member::new();
    member.flush_and_take();
    member.receive(1, ballot(7, 1), Body::Prepare { trial: true, transfer: false });
    let log_state = AcceptedLog { before: BOOTSTRAP, commit: BOOTSTRAP, last: BOOTSTRAP };
    let (sent, number) = member.take_messages();
    assert_eq!(sent[0].1.body, Body::Promise { trial: true, log_state });
    assert_eq!((number, member.engine.role().term), (0, 1));
}

/// Entries are replaced and then restored, all before the first flush is reported. That the disk
/// had them once does not mean that it has them now: it will hold the replacements first.
#[test]
fn a_late_flush_of_replaced_entries_proves_nothing() {
    let mut member = Member::new();
    let [first, second, third] = [ballot(1, 1), ballot(2, 2), ballot(3, 1)];
    let entries = vec![leadership(first, 2), command(first, 3)];
    member.receive(1, first, accept(entries.clone()));
    let (_, flush_of_first) = member.take_messages();
    member.receive(2, second, accept(vec![leadership(second, 2)]));
    let (_, flush_of_second) = member.take_messages();
    member.receive(1, third, accept([entries, vec![leadership(third, 4)]].concat()));
    let (_, flush_of_third) = member.take_messages();
    for (number, persisted) in [(flush_of_first, 1), (flush_of_second, 1), (flush_of_third, 4)] {
        member.engine.persisted(number);
        assert_eq!(member.engine.status().persisted, persisted);
    }
}

/// Only one member has an entry of a dead leader. A proposer that learns of the entry takes it
/// over, a part at a time, before it leads.
#[test]
fn a_proposer_takes_over_the_best_log() {
    let mut member = Member::new();
    let old = ballot(1, 1);
    member.engine.campaign();
    member.flush_and_take();
    let own = ballot(1, 3);
    let at = |index| Position { term: old, index };
    let log_state = AcceptedLog { before: BOOTSTRAP, commit: BOOTSTRAP, last: at(4) };
    member.receive(2, own, Body::Promise { trial: true, log_state });
    let asked = Body::Prepare { trial: false, transfer: false };
    assert_eq!(member.flush_and_take(), [(1, asked.clone()), (2, asked)]);

    member.receive(2, own, Body::Promise { trial: false, log_state });
    assert_eq!(member.engine.role().role, Role::Candidate, "it cannot lead yet");
    let fetch = Body::Fetch { after: BOOTSTRAP, commit: BOOTSTRAP };
    assert_eq!(member.flush_and_take(), [(2, fetch)]);
    let part = vec![leadership(old, 2), command(old, 3)];
    member.receive(2, own, Body::Suffix { previous: BOOTSTRAP, entries: part });
    assert_eq!(member.flush_and_take(), [], "the next part is in flight");
    (0..4).for_each(|_| member.engine.tick());
    let fetch = Body::Fetch { after: at(3), commit: BOOTSTRAP };
    assert!(member.flush_and_take().contains(&(2, fetch)), "or lost: request it again");
    member.receive(2, own, Body::Suffix { previous: at(3), entries: vec![command(old, 4)] });

    assert_eq!(member.engine.role().role, Role::Leader);
    let all = member.flush_and_take();
    let sent = Body::Accept { previous: at(4), commit: 1, entries: vec![leadership(own, 5)] };
    assert!(all.contains(&(2, sent)), "a member with the whole log gets the rest: {all:?}");
    member.receive(2, own, Body::Accepted { index: 4 });
    assert_eq!(member.engine.status().commit, 1, "nothing is accepted in its own ballot yet");
    member.receive(2, own, Body::Accepted { index: 5 });
    assert_eq!(member.engine.status().commit, 5);
}

/// Another leader chose something else, which came here in a snapshot before any message of that
/// leader. The old leader, which does not know of it, is not followed any further.
#[test]
fn a_snapshot_of_a_later_leader_ends_an_earlier_one() {
    let chosen = SnapshotMeta {
        position: Position { term: ballot(1, 1), index: 3 },
        membership: Membership::of_voters(&FOUNDERS),
    };
    let stale = ballot(2, 2);
    // Before the snapshot, this member had accepted the stale leader's log up to the snapshot's
    // end, or only a part of it.
    for accepted in [3, 2] {
        let mut member = Member::new();
        let entries = [leadership(stale, 2), command(stale, 3), command(stale, 4)];
        member.receive(2, stale, accept(entries[..accepted - 1].to_vec()));
        member.flush_and_take();
        member.engine.snapshot_fetched(chosen.clone());
        let sent = member.flush_and_take();
        assert_eq!(member.engine.status().snapshot, chosen.position);
        let is_left = member.engine.role().term > stale;
        assert_eq!(is_left, accepted == 3, "its accepted entry differs from the chosen one: {sent:?}");
        let heartbeat = Body::Heartbeat { commit: 1, matched: accepted as u64, read: None };
        member.receive(2, stale, heartbeat);
        let previous = Position { term: stale, index: 3 };
        member.receive(2, stale, Body::Accept { previous, commit: 1, entries: vec![entries[2].clone()] });
        assert!(member.flush_and_take().contains(&(2, Body::Outdated)));
        assert_eq!(
            member.engine.status().last_index,
            3,
            "no entry is appended where its predecessor differs"
        );
    }
}

#[test]
fn a_snapshot_counts_when_it_is_installed() {
    let mut member = Member::new();
    let term = ballot(1, 1);
    // Its log is flushed, but the snapshot will replace it.
    let lost = vec![leadership(term, 2), command(term, 3), command(term, 4)];
    member.receive(1, term, accept(lost));
    member.flush_and_take();
    let position = Position { term: ballot(2, 2), index: 3 };
    let chosen = SnapshotMeta { position, membership: Membership::of_voters(&FOUNDERS) };
    member.engine.snapshot_fetched(chosen);
    let (_, number) = member.take_messages();
    let heartbeat = Body::Heartbeat { commit: 1, matched: 0, read: None };
    member.receive(2, ballot(2, 2), heartbeat.clone());
    let sent = member.take_messages().0;
    assert!(sent.is_empty(), "its ballot is new and not flushed: {sent:?}");
    assert_eq!(member.engine.status().persisted, 1, "only what the old log and the snapshot share");
    assert_eq!(member.engine.snapshot_meta(3), None);
    member.engine.persisted(number);
    let reply = Body::HeartbeatReply { received: 3, accepted: 1, read: None };
    let accepted = Body::Accepted { index: 3 };
    let sent = member.flush_and_take().into_iter().map(|(_, body)| body).collect::<Vec<_>>();
    assert!(sent.contains(&reply) || sent.contains(&accepted), "{sent:?}");
    assert_eq!(member.engine.status().persisted, 3);
}

#[test]
fn no_message_is_sent_in_a_ballot_that_a_crash_could_undo() {
    let mut member = Member::new();
    member.engine.campaign();
    member.flush_and_take();
    let log_state = AcceptedLog { before: BOOTSTRAP, commit: BOOTSTRAP, last: BOOTSTRAP };
    member.receive(2, ballot(1, 3), Body::Promise { trial: true, log_state });
    let (sent, number) = member.take_messages();
    assert!(sent.is_empty() && number > 0, "it might use the ballot a second time: {sent:?}");
    member.engine.persisted(number);
    assert_eq!(member.take_messages().0.len(), 2);
}

/// A proposer missed two membership changes, so the majority it asked may have no member in common
/// with a current one. It finds both changes in the log it takes over; the first must be chosen, so
/// it has to count by that.
#[test]
fn a_proposer_counts_again_when_it_has_taken_over_a_log() {
    let mut member = Member::new();
    let old = ballot(1, 1);
    member.engine.campaign();
    member.flush_and_take();
    let own = ballot(1, 3);
    let added = |index, member: u8| {
        let data = Bytes::from(vec![0, 0, 0, 0, 0, 0, 0, 0, member]);
        Entry { index, term: old, kind: EntryKind::Membership, data }
    };
    let last = Position { term: old, index: 4 };
    for trial in [true, false] {
        let log_state = AcceptedLog { before: BOOTSTRAP, commit: BOOTSTRAP, last };
        member.receive(2, own, Body::Promise { trial, log_state });
        member.flush_and_take();
    }
    let entries = vec![leadership(old, 2), added(3, 4), added(4, 5)];
    member.receive(2, own, Body::Suffix { previous: BOOTSTRAP, entries });
    assert_eq!(member.engine.role().role, Role::Candidate, "two are not a majority of four");
    let mut asked = Vec::new();
    for _ in 0..5 {
        member.engine.tick();
        asked.extend(member.flush_and_take().into_iter().map(|(to, _)| to));
    }
    assert!(
        asked.contains(&4) && !asked.contains(&5),
        "the first change is chosen, the second may not be: {asked:?}"
    );
    let log_state = AcceptedLog { before: BOOTSTRAP, commit: BOOTSTRAP, last: BOOTSTRAP };
    member.receive(4, own, Body::Promise { trial: false, log_state });
    assert_eq!(member.engine.role().role, Role::Leader);
}

#[test]
fn ids_that_do_not_fit_into_a_ballot_are_refused() {
    let mut engine = PaxosEngine::new(Settings::new(1, MemberId(1), 1, 1), Start::bootstrap(&[MemberId(1)]));
    let mut ready = Ready::default();
    while engine.ready(&mut ready) {
        engine.persisted(ready.number);
    }
    let change = MembershipChange::AddVoter(MemberId(MEMBER_ID_LIMIT));
    assert_eq!(engine.propose_membership(change), Err(ChangeError::Impossible));
    let change = MembershipChange::AddVoter(MemberId(MEMBER_ID_LIMIT - 1));
    assert_eq!(engine.propose_membership(change), Ok(()));
    assert_eq!(engine.propose_membership(change), Err(ChangeError::Pending));
}

/// A crash came between writing the entries and the commit given out with them. A leader proposes a
/// membership change only once the one before is committed, so the first of two is; and a member
/// that holds both must not count votes without it.
#[test]
fn the_first_of_two_changes_in_a_log_is_committed() {
    let change = |index, member: u8| {
        let data = Bytes::from(vec![0, 0, 0, 0, 0, 0, 0, 0, member]);
        Entry { index, term: 1, kind: EntryKind::Membership, data }
    };
    let start = Start {
        hard_state: HardState { term: 1, vote: None, commit: 1 },
        entries: vec![change(2, 2), change(3, 3)],
        ..Start::bootstrap(&[MemberId(1)])
    };
    let settings = Settings::new(1, MemberId(1), 1, 1);
    let engines: [Box<dyn Engine>; 2] = [
        Box::new(RaftEngine::new(settings.clone(), start.clone())),
        Box::new(PaxosEngine::new(settings, start)),
    ];
    for engine in engines {
        assert!(engine.status().commit >= 2);
    }
}

/// One message with a ballot of the last round once left a group that could never elect a leader
/// again.
#[test]
fn a_far_ballot_is_not_adopted() {
    let far = ballot((1 << 27) - 1, 2);
    let mut member = Member::new();
    for body in [
        Body::Prepare { trial: false, transfer: true },
        Body::Heartbeat { commit: 1, matched: 1, read: None },
        Body::Outdated,
    ] {
        let message = Message { group: 1, from: MemberId(2), to: MemberId(3), ballot: far, body };
        let heard = member.engine.step(MemberId(2), message.encode());
        assert_eq!(heard, Err(StepError::FarTerm { term: far }));
    }
    assert_eq!(member.engine.role().term, 1);
    let near = ballot(1 << 19, 2);
    member.receive(2, near, Body::Prepare { trial: false, transfer: true });
    assert_eq!(member.engine.role().term, near);
}

/// A proposer that contradicts what it sent in the same ballot is Byzantine or has lost its disk.
#[test]
fn a_proposer_cannot_replace_its_own_entries() {
    let mut member = Member::new();
    let (earlier, first) = (ballot(1, 2), ballot(2, 1));
    member.receive(1, first, accept(vec![leadership(first, 2), command(first, 3)]));
    member.flush_and_take();
    member.receive(1, first, accept(vec![leadership(earlier, 2)]));
    assert_eq!(member.flush_and_take(), [(1, Body::Outdated)]);
    assert_eq!(member.engine.status().last_index, 3, "what was accepted is still there");
}

/// A command the host could not apply must not get into the log, where it would stop every member.
#[test]
fn an_invalid_command_is_refused() {
    let settings = Settings { is_command: |data| data != b"x", ..Settings::new(1, MemberId(3), 1, 1) };
    let mut engine = PaxosEngine::new(settings, Start::bootstrap(&FOUNDERS));
    let first = ballot(1, 1);
    let body = accept(vec![leadership(first, 2), command(first, 3)]);
    let message = Message { group: 1, from: MemberId(1), to: MemberId(3), ballot: first, body };
    let heard = engine.step(MemberId(1), message.encode());
    assert!(matches!(heard, Err(StepError::Malformed(_))), "{heard:?}");
    assert_eq!(engine.status().last_index, 1);
}

//! Coordinator and agents of three-phase commit, one situation after another.

use super::*;
use crate::branch::{Branch, ResourceName};
use crate::decision::{Answer, Decision, Finish, Heuristic, Outcome, Vote, Witness};
use crate::record::PreparedBranch;
use crate::settings::Settings;

fn branch(at: usize) -> Branch {
    Branch { resource: ResourceName::new(&format!("r{at}")).expect("a name"), session: None }
}

fn coordinator() -> Coordinator {
    Coordinator::new(vec![branch(0), branch(1)], Settings::default(), Timing::default())
}

fn agent(me: usize, count: usize) -> Agent {
    let branch = PreparedBranch { branch: branch(me), witness: Witness::default() };
    Agent::new(me, count, branch, Settings::default(), Timing::default(), 0)
}

fn from(at: usize, message: Message) -> CoordinatorEvent {
    CoordinatorEvent::Received { from: at, message }
}

fn to(at: usize, message: Message) -> CoordinatorAction {
    CoordinatorAction::Send { to: at, message }
}

fn hears(from: Party, message: Message) -> AgentEvent {
    AgentEvent::Received { from, message }
}

fn says(to: Party, message: Message) -> AgentAction {
    AgentAction::Send { to, message }
}

fn state_is(state: State, is_operational: bool) -> Message {
    Message::StateIs { state, is_operational }
}

const COORDINATOR: Party = Party::Coordinator;

/// An agent whose vote is on the disk.
fn prepared(me: usize, count: usize) -> Agent {
    let mut it = agent(me, count);
    assert_eq!(it.handle(0, hears(COORDINATOR, Message::CanCommit)), [AgentAction::Prepare]);
    let write = it.handle(0, AgentEvent::Voted(Vote::Prepared(Witness::default())));
    assert_eq!(write, [AgentAction::Persist(State::Prepared)]);
    let vote = it.handle(0, AgentEvent::Persisted(State::Prepared));
    assert_eq!(vote, [says(COORDINATOR, Message::Vote(Ok(())))], "not before it is on the disk");
    it
}

fn pre_committed(me: usize, count: usize) -> Agent {
    let mut it = prepared(me, count);
    let write = it.handle(0, hears(COORDINATOR, Message::PreCommit));
    assert_eq!(write, [AgentAction::Persist(State::PreCommitted)]);
    let told = it.handle(0, AgentEvent::Persisted(State::PreCommitted));
    assert_eq!(told, [says(COORDINATOR, Message::PreCommitted)]);
    it
}

/// Lets the agent miss its coordinator, and ask the others.
fn asks(it: &mut Agent) -> u64 {
    let now_ms = it.due_ms().expect("it waits for the coordinator");
    let asked = it.handle(now_ms, AgentEvent::Tick);
    assert!(
        asked.iter().all(|action| matches!(action, AgentAction::Send { message: Message::Ask { .. }, .. }))
    );
    assert!(!asked.is_empty() && it.is_searching());
    now_ms
}

#[test]
fn the_coordinator_goes_through_three_phases() {
    let mut it = coordinator();
    let all = |message: Message| [to(0, message.clone()), to(1, message)];
    assert_eq!(it.handle(0, CoordinatorEvent::Begin), all(Message::CanCommit));
    assert_eq!(it.handle(1, from(0, Message::Vote(Ok(())))), []);
    assert_eq!(it.handle(2, from(1, Message::Vote(Ok(())))), all(Message::PreCommit));
    assert_eq!(it.handle(3, from(1, Message::PreCommitted)), []);
    assert_eq!(it.handle(502, CoordinatorEvent::Tick), [to(0, Message::PreCommit), to(1, Message::Alive)]);
    assert_eq!(it.handle(503, from(0, Message::PreCommitted)), all(Message::Decide(Decision::Commit)));
    it.handle(504, from(0, Message::Done(None)));
    let end = it.handle(505, from(1, Message::Done(None)));
    let answer = Answer { outcome: Outcome::Committed, unfinished: Vec::new(), heuristics: Vec::new() };
    let [first, second] = all(Message::Forget);
    assert_eq!(end, [CoordinatorAction::Answer(answer), first, second, CoordinatorAction::End]);
    assert_eq!(it.due_ms(), None);
}

#[test]
fn a_refusal_and_a_vote_that_does_not_come_abort() {
    let all = [to(0, Message::Decide(Decision::Abort)), to(1, Message::Decide(Decision::Abort))];
    let mut it = coordinator();
    it.handle(0, CoordinatorEvent::Begin);
    assert_eq!(it.handle(1, from(0, Message::Vote(Err("no".to_owned())))), all);
    assert_eq!(it.outcome(), Some(&Outcome::Aborted("r0: no".to_owned())));

    let mut it = coordinator();
    it.handle(0, CoordinatorEvent::Begin);
    it.handle(1, from(0, Message::Vote(Ok(()))));
    assert_eq!(it.handle(10_000, CoordinatorEvent::Tick), all);
    assert_eq!(it.outcome(), Some(&Outcome::Aborted("no vote in time from r1".to_owned())));

    let mut it = coordinator();
    it.handle(0, CoordinatorEvent::Begin);
    assert_eq!(it.handle(1, CoordinatorEvent::Cancel("enough".to_owned())), all);
}

#[test]
fn one_acknowledgement_is_enough_and_none_is_not() {
    let mut it = coordinator();
    it.handle(0, CoordinatorEvent::Begin);
    it.handle(0, from(0, Message::Vote(Ok(()))));
    it.handle(0, from(1, Message::Vote(Ok(()))));
    it.handle(2_000, CoordinatorEvent::Tick);
    assert_eq!(it.outcome(), None, "it asks again");
    it.handle(2_100, from(1, Message::PreCommitted));
    it.handle(4_000, CoordinatorEvent::Tick);
    assert_eq!(it.outcome(), Some(&Outcome::Committed));
}

#[test]
fn an_agent_that_heard_nothing_of_the_votes_aborts() {
    let mut it = prepared(0, 3);
    let now_ms = asks(&mut it);
    it.handle(now_ms, hears(Party::Agent(1), state_is(State::Prepared, true)));
    let end = it.handle(now_ms + 2_000, AgentEvent::Tick);
    assert_eq!(end, [AgentAction::Persist(State::Aborted)]);
    let told = it.handle(now_ms + 2_001, AgentEvent::Persisted(State::Aborted));
    assert!(told.contains(&says(Party::Agent(2), Message::Decide(Decision::Abort))));
    assert!(told.contains(&AgentAction::Finish { decision: Decision::Abort, release: false }));
}

#[test]
fn a_backup_brings_the_others_along_before_it_commits() {
    let mut it = prepared(0, 3);
    let now_ms = asks(&mut it);
    it.handle(now_ms, hears(Party::Agent(1), state_is(State::PreCommitted, true)));
    it.handle(now_ms, hears(Party::Agent(2), state_is(State::Prepared, true)));
    let now_ms = now_ms + 2_000;
    let led = it.handle(now_ms, AgentEvent::Tick);
    assert_eq!(led, [says(Party::Agent(2), Message::PreCommit), AgentAction::Persist(State::PreCommitted)]);
    assert_eq!(it.handle(now_ms, AgentEvent::Persisted(State::PreCommitted)), []);
    let end = it.handle(now_ms, hears(Party::Agent(2), Message::PreCommitted));
    assert_eq!(end, [AgentAction::Persist(State::Committed)]);
}

#[test]
fn an_agent_with_a_higher_place_leaves_it_to_the_backup() {
    let mut it = pre_committed(1, 2);
    let now_ms = asks(&mut it);
    it.handle(now_ms, hears(Party::Agent(0), state_is(State::Prepared, true)));
    assert_eq!(it.handle(now_ms + 2_000, AgentEvent::Tick), []);
    assert!(it.is_searching());
    // The backup dies as well: this one is the next.
    let now_ms = asks(&mut it);
    let end = it.handle(now_ms + 2_000, AgentEvent::Tick);
    assert_eq!(end, [AgentAction::Persist(State::Committed)]);
}

#[test]
fn an_agent_that_has_crashed_decides_nothing_until_all_are_back() {
    let mut it = prepared(0, 2).restart(State::Prepared, 100);
    let now_ms = asks(&mut it);
    assert_eq!(it.handle(now_ms + 2_000, AgentEvent::Tick), [], "the other one may have committed");
    let now_ms = asks(&mut it);
    it.handle(now_ms, hears(Party::Agent(1), state_is(State::PreCommitted, true)));
    assert_eq!(it.handle(now_ms + 2_000, AgentEvent::Tick), [], "the other one will decide");
    let now_ms = asks(&mut it);
    it.handle(now_ms, hears(Party::Agent(1), state_is(State::Prepared, false)));
    let end = it.handle(now_ms + 2_000, AgentEvent::Tick);
    assert_eq!(end, [AgentAction::Persist(State::Aborted)], "all have crashed, and none knew of all votes");
}

#[test]
fn an_agent_that_has_not_voted_aborts_after_a_crash_and_when_it_is_asked() {
    let mut it = agent(0, 2).restart(State::Initial, 100);
    assert_eq!(it.handle(100, AgentEvent::Tick), [AgentAction::Persist(State::Aborted)]);
    let done = it.handle(101, AgentEvent::Persisted(State::Aborted));
    assert!(done.contains(&AgentAction::Finish { decision: Decision::Abort, release: true }));

    let mut it = agent(0, 2);
    let asked = it.handle(0, hears(Party::Agent(1), Message::Ask { is_operational: true }));
    assert_eq!(asked, [AgentAction::Persist(State::Aborted)], "before it answers");
    let told = it.handle(1, AgentEvent::Persisted(State::Aborted));
    assert!(told.contains(&says(Party::Agent(1), state_is(State::Aborted, true))));
    assert_eq!(
        it.handle(2, hears(COORDINATOR, Message::CanCommit)),
        [says(COORDINATOR, Message::Decide(Decision::Abort))]
    );
}

#[test]
fn an_agent_that_has_told_does_not_follow_a_coordinator_that_is_taken_for_dead() {
    let mut it = prepared(1, 2);
    let told = it.handle(0, hears(Party::Agent(0), Message::Ask { is_operational: true }));
    assert_eq!(told, [says(Party::Agent(0), state_is(State::Prepared, true))]);
    assert_eq!(it.handle(1, hears(COORDINATOR, Message::PreCommit)), []);
    // It lives after all.
    it.handle(2, hears(COORDINATOR, Message::Undecided));
    let write = it.handle(3, hears(COORDINATOR, Message::PreCommit));
    assert_eq!(write, [AgentAction::Persist(State::PreCommitted)]);
}

#[test]
fn a_decision_is_carried_out_once_it_is_on_the_disk() {
    let mut it = pre_committed(0, 2);
    let write = it.handle(1, hears(COORDINATOR, Message::Decide(Decision::Commit)));
    assert_eq!(write, [AgentAction::Persist(State::Committed)]);
    let told = it.handle(2, AgentEvent::Persisted(State::Committed));
    assert!(told.contains(&AgentAction::Finish { decision: Decision::Commit, release: false }));
    let done = it.handle(3, AgentEvent::Finished(Finish::Done));
    assert_eq!(done, [says(COORDINATOR, Message::Done(None))]);
    assert!(it.is_finished());
    assert_eq!(it.handle(4, hears(COORDINATOR, Message::Forget)), [AgentAction::Forget]);
}

#[test]
fn a_split_is_said_aloud() {
    let mut it = prepared(0, 2);
    it.handle(1, hears(Party::Agent(1), Message::Decide(Decision::Abort)));
    it.handle(2, AgentEvent::Persisted(State::Aborted));
    let told = it.handle(3, hears(COORDINATOR, Message::Decide(Decision::Commit)));
    let split = AgentAction::Split { with: COORDINATOR, decided: Decision::Commit };
    assert_eq!(told, [split, says(COORDINATOR, Message::Done(Some(Decision::Abort)))]);

    let mut it = coordinator();
    it.handle(0, CoordinatorEvent::Begin);
    for message in [Message::Vote(Ok(())), Message::PreCommitted] {
        it.handle(0, from(0, message.clone()));
        it.handle(0, from(1, message));
    }
    it.handle(1, from(0, Message::Done(Some(Decision::Abort))));
    let end = it.handle(1, from(1, Message::Done(None)));
    let heuristics = vec![Heuristic { branch: branch(0), did: Decision::Abort }];
    let answer = Answer { outcome: Outcome::Committed, unfinished: Vec::new(), heuristics };
    assert_eq!(end[0], CoordinatorAction::Answer(answer));
}

#[test]
fn a_branch_without_changes_has_nothing_to_finish() {
    let mut it = agent(0, 2);
    it.handle(0, hears(COORDINATOR, Message::CanCommit));
    it.handle(0, AgentEvent::Voted(Vote::ReadOnly));
    it.handle(0, AgentEvent::Persisted(State::Prepared));
    it.handle(0, hears(COORDINATOR, Message::Decide(Decision::Abort)));
    let told = it.handle(0, AgentEvent::Persisted(State::Aborted));
    assert!(!told.iter().any(|action| matches!(action, AgentAction::Finish { .. })), "{told:?}");
    assert!(told.contains(&says(COORDINATOR, Message::Done(None))));
}

//! The coordinator, one situation after another.

use super::*;
use crate::branch::ResourceName;
use crate::decision::{Finish, Heuristic, Logged, Presence, Witness};
use crate::id::Cluster;
use crate::record::{PreparedBranch, Record};

const ID: TransactionId = TransactionId { cluster: Cluster(1), coordinator: 2, number: 3 };

fn member(name: &str, reads_only: bool) -> Member {
    let branch = Branch { resource: ResourceName::new(name).expect("a name"), session: None };
    Member { branch, reads_only }
}

fn coordinator(members: Vec<Member>) -> Coordinator {
    Coordinator::new(ID, "me", members, Settings::default()).expect("good members")
}

fn two() -> Coordinator {
    coordinator(vec![member("bank", false), member("shop", false)])
}

fn prepared() -> Vote {
    Vote::Prepared(Witness::default())
}

fn record(names: &[&str]) -> Record {
    let branches = names
        .iter()
        .map(|name| PreparedBranch { branch: member(name, false).branch, witness: Witness::default() });
    Record::new(Decision::Commit, "me", branches.collect())
}

fn voted(branch: usize, vote: Vote) -> Event {
    Event::Voted { branch, vote }
}

fn finished(branch: usize, answer: Finish) -> Event {
    Event::Finished { branch, answer }
}

fn commit(branch: usize) -> Action {
    Action::Finish { branch, decision: Decision::Commit, release: false }
}

fn abort(branch: usize, release: bool) -> Action {
    Action::Finish { branch, decision: Decision::Abort, release }
}

fn answer(outcome: Outcome) -> Action {
    Action::Answer(Answer { outcome, unfinished: Vec::new(), heuristics: Vec::new() })
}

/// Two prepared branches, with the decision asked for.
fn deciding() -> Coordinator {
    let mut it = two();
    it.handle(0, Event::Begin);
    it.handle(0, voted(0, prepared()));
    assert_eq!(it.handle(0, voted(1, prepared())), [Action::Decide(record(&["bank", "shop"]))]);
    it
}

#[test]
fn the_usual_course() {
    let mut it = two();
    assert_eq!(it.due_ms(), None);
    assert_eq!(
        it.handle(0, Event::Begin),
        [Action::Prepare { branch: 0 }, Action::Prepare { branch: 1 }],
        "in parallel"
    );
    assert_eq!(it.handle(1, voted(1, prepared())), []);
    assert_eq!(it.handle(2, voted(0, prepared())), [Action::Decide(record(&["bank", "shop"]))]);
    assert_eq!(it.handle(3, Event::Written(Logged::Stored)), [commit(0), commit(1)]);
    assert_eq!(it.outcome(), Some(&Outcome::Committed));
    assert_eq!(it.handle(4, finished(0, Finish::Done)), []);
    let end = it.handle(5, finished(1, Finish::Done));
    assert_eq!(end, [Action::Forget, answer(Outcome::Committed), Action::End]);
    assert!(it.has_ended());
    assert_eq!(it.due_ms(), None);
}

#[test]
fn a_refusal_aborts_without_the_log() {
    let mut it = two();
    it.handle(0, Event::Begin);
    it.handle(0, voted(1, prepared()));
    let actions = it.handle(0, voted(0, Vote::Refused("no money".to_owned())));
    assert_eq!(actions, [abort(1, false)], "the other one has undone its part");
    let end = it.handle(0, finished(1, Finish::Done));
    assert_eq!(end, [answer(Outcome::Aborted("bank: no money".to_owned())), Action::End]);
}

#[test]
fn a_vote_that_does_not_come_aborts_and_may_have_prepared() {
    let mut it = two();
    it.handle(0, Event::Begin);
    it.handle(0, voted(0, prepared()));
    assert_eq!(it.due_ms(), Some(10_000));
    assert_eq!(it.handle(10_000, Event::Tick), [abort(0, false), abort(1, true)]);
    assert_eq!(it.handle(10_001, voted(1, prepared())), [], "too late");
    it.handle(10_002, finished(0, Finish::Done));
    assert_eq!(it.handle(10_003, finished(1, Finish::NotFound)), [Action::Inspect { branch: 1 }]);
    let end = it.handle(10_004, Event::Inspected { branch: 1, presence: Presence::Absent });
    assert_eq!(end, [answer(Outcome::Aborted("no vote in time from shop".to_owned())), Action::End]);
}

#[test]
fn a_prepare_that_fails_may_have_prepared() {
    let mut it = two();
    it.handle(0, Event::Begin);
    let actions = it.handle(0, Event::PrepareFailed { branch: 0, reason: "connection lost".to_owned() });
    assert_eq!(actions, [abort(0, true), abort(1, true)]);
}

#[test]
fn read_only_branches_are_left_out() {
    let mut it = two();
    it.handle(0, Event::Begin);
    it.handle(0, voted(0, Vote::ReadOnly));
    assert_eq!(it.handle(0, voted(1, prepared())), [Action::Decide(record(&["shop"]))]);
    assert_eq!(it.handle(0, Event::Written(Logged::Stored)), [commit(1)]);

    let mut it = two();
    it.handle(0, Event::Begin);
    it.handle(0, voted(0, Vote::ReadOnly));
    let end = it.handle(0, voted(1, Vote::ReadOnly));
    assert_eq!(end, [answer(Outcome::Committed), Action::End], "nothing changes, so nothing is decided");
}

#[test]
fn a_branch_that_is_alone_commits_without_prepare() {
    for (said, outcome) in [
        (Alone::Committed, Outcome::Committed),
        (Alone::Refused("no".to_owned()), Outcome::Aborted("no".to_owned())),
        (Alone::Unknown("lost".to_owned()), Outcome::Unknown("lost".to_owned())),
    ] {
        let mut it = coordinator(vec![member("bank", false)]);
        assert_eq!(it.handle(0, Event::Begin), [Action::CommitAlone { branch: 0 }]);
        assert_eq!(it.handle(0, Event::CommittedAlone(said)), [answer(outcome), Action::End]);
    }
    let mut it = coordinator(vec![member("bank", true)]);
    it.handle(0, Event::Begin);
    let end = it.handle(5_000, Event::Tick);
    assert!(matches!(&end[..], [Action::Answer(Answer { outcome: Outcome::Unknown(_), .. }), Action::End]));
}

#[test]
fn the_only_writer_commits_without_prepare_once_the_readers_have_voted() {
    let readers = || coordinator(vec![member("a", true), member("b", false), member("c", true)]);
    let mut it = readers();
    let begin = it.handle(0, Event::Begin);
    assert_eq!(begin, [Action::Prepare { branch: 0 }, Action::Prepare { branch: 2 }]);
    assert_eq!(it.handle(0, voted(0, Vote::ReadOnly)), []);
    assert_eq!(it.handle(0, voted(2, Vote::ReadOnly)), [Action::CommitAlone { branch: 1 }]);

    // A branch that should only have read has to be committed, so the writer is prepared, too.
    let mut it = readers();
    it.handle(0, Event::Begin);
    it.handle(0, voted(0, Vote::ReadOnly));
    assert_eq!(it.handle(0, voted(2, prepared())), [Action::Prepare { branch: 1 }]);
    assert_eq!(it.handle(0, voted(1, prepared())), [Action::Decide(record(&["b", "c"]))]);

    // A reader refuses: the writer is told, though it was never asked.
    let mut it = readers();
    it.handle(0, Event::Begin);
    it.handle(0, voted(0, Vote::ReadOnly));
    assert_eq!(it.handle(0, voted(2, Vote::Refused("no".to_owned()))), [abort(1, false)]);
}

#[test]
fn it_obeys_a_recovery_that_was_faster() {
    let mut it = deciding();
    let actions = it.handle(0, Event::Written(Logged::Found(Decision::Abort)));
    assert_eq!(actions, [abort(0, false), abort(1, false)]);
    it.handle(0, finished(0, Finish::Done));
    let end = it.handle(0, finished(1, Finish::Done));
    let reason = "recovery aborted it before it was decided".to_owned();
    assert_eq!(end, [Action::Forget, answer(Outcome::Aborted(reason)), Action::End]);
}

#[test]
fn a_write_without_an_answer_is_repeated_until_the_log_says_what_it_has() {
    let mut it = deciding();
    assert_eq!(it.handle(0, Event::Written(Logged::Unknown("away".to_owned()))), []);
    assert_eq!(it.due_ms(), Some(50));
    assert_eq!(it.handle(50, Event::Cancel("late".to_owned())), [Action::Decide(record(&["bank", "shop"]))]);
    // No answer at all.
    assert_eq!(it.handle(2_050, Event::Tick), []);
    assert_eq!(it.handle(2_150, Event::Tick), [Action::Decide(record(&["bank", "shop"]))]);
    assert_eq!(it.handle(2_151, Event::Written(Logged::Found(Decision::Commit))), [commit(0), commit(1)]);
}

#[test]
fn the_caller_is_told_that_nobody_knows() {
    let mut it = deciding();
    it.handle(0, Event::Written(Logged::Unknown("away".to_owned())));
    let told = |actions: &[Action]| actions.iter().any(|action| matches!(action, Action::Answer(_)));
    let mut now_ms = 0;
    let told_at = loop {
        now_ms = it.due_ms().expect("it continues").max(now_ms);
        let actions = it.handle(now_ms, Event::Tick);
        if told(&actions) {
            break now_ms;
        }
    };
    assert_eq!(told_at, 15_000);
    assert_eq!(it.handle(now_ms, Event::Written(Logged::Stored)), [commit(0), commit(1)], "it goes on");
    it.handle(now_ms, finished(0, Finish::Done));
    assert_eq!(it.handle(now_ms, finished(1, Finish::Done)), [Action::Forget, Action::End]);
}

#[test]
fn a_fenced_coordinator_aborts_if_it_has_certainly_written_nothing() {
    let mut it = deciding();
    assert_eq!(it.handle(0, Event::Written(Logged::Fenced)), [abort(0, false), abort(1, false)]);

    let fenced = || {
        let mut it = deciding();
        it.handle(0, Event::Written(Logged::Unknown("away".to_owned())));
        it.handle(50, Event::Tick);
        assert_eq!(it.handle(60, Event::Written(Logged::Fenced)), [Action::ReadDecision]);
        it
    };
    let mut it = fenced();
    assert_eq!(it.handle(60, Event::Read(Logged::Found(Decision::Commit))), [commit(0), commit(1)]);
    let mut it = fenced();
    assert_eq!(it.handle(60, Event::Read(Logged::Unknown("away".to_owned()))), []);
    assert_eq!(it.handle(9_000, Event::Tick), [Action::ReadDecision]);
    let end = it.handle(9_000, Event::Read(Logged::Nothing));
    assert!(matches!(&end[..], [Action::Answer(Answer { outcome: Outcome::Unknown(_), .. }), Action::End]));
}

/// A write that is still under way would store a commit where the abort was deleted.
#[test]
fn a_record_of_abort_stays_while_a_write_may_arrive() {
    let mut it = deciding();
    it.handle(0, Event::Written(Logged::Unknown("away".to_owned())));
    it.handle(50, Event::Tick);
    it.handle(60, Event::Written(Logged::Found(Decision::Abort)));
    it.handle(60, finished(0, Finish::Done));
    let end = it.handle(60, finished(1, Finish::Done));
    assert!(!end.contains(&Action::Forget), "{end:?}");
    assert!(it.has_ended());
}

#[test]
fn not_found_is_not_done_while_the_resource_lists_the_branch() {
    let mut it = deciding();
    it.handle(0, Event::Written(Logged::Stored));
    it.handle(0, finished(0, Finish::Done));
    assert_eq!(it.handle(0, finished(1, Finish::NotFound)), [Action::Inspect { branch: 1 }]);
    let again = it.handle(0, Event::Inspected { branch: 1, presence: Presence::Prepared });
    assert_eq!(again, [Action::Finish { branch: 1, decision: Decision::Commit, release: true }]);
    // Its session cannot be ended yet.
    assert_eq!(it.handle(0, finished(1, Finish::Failed("kill failed".to_owned()))), []);
    assert_eq!(it.unfinished(), [(&member("shop", false).branch, "kill failed")]);
    let again = it.handle(100, Event::Tick);
    assert_eq!(again, [Action::Finish { branch: 1, decision: Decision::Commit, release: true }]);
    assert_eq!(it.retries(), 2);
    assert!(it.handle(100, finished(1, Finish::Done)).contains(&Action::End));
}

#[test]
fn a_resource_that_is_away_is_told_for_ever() {
    let mut it = deciding();
    it.handle(0, Event::Written(Logged::Stored));
    it.handle(0, finished(0, Finish::Done));
    let mut answers = Vec::new();
    let mut told = 0;
    let mut now_ms = 0;
    while now_ms < 600_000 {
        now_ms = it.due_ms().expect("it never gives up");
        for action in it.handle(now_ms, Event::Tick) {
            match action {
                Action::Answer(answer) => answers.push((now_ms, answer.unfinished.len())),
                Action::Finish { branch: 1, decision: Decision::Commit, .. } => {
                    told += 1;
                    it.handle(now_ms, finished(1, Finish::Failed("away".to_owned())));
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(answers, [(5_000, 1)], "the caller is told which one is open");
    assert!((100..150).contains(&told), "told {told} times");
}

#[test]
fn what_people_did_by_hand_is_told_and_kept() {
    let mut it = deciding();
    it.handle(0, Event::Written(Logged::Stored));
    it.handle(0, finished(0, Finish::Heuristic(Decision::Commit)));
    let end = it.handle(0, finished(1, Finish::Heuristic(Decision::Abort)));
    let heuristics = vec![Heuristic { branch: member("shop", false).branch, did: Decision::Abort }];
    let record = Record { heuristics: heuristics.clone(), ..record(&["bank", "shop"]) };
    let told = Answer { outcome: Outcome::Committed, unfinished: Vec::new(), heuristics };
    assert_eq!(end, [Action::Keep(record), Action::Answer(told), Action::End]);
}

#[test]
fn bad_members_are_refused() {
    let new = |members| Coordinator::new(ID, "me", members, Settings::default()).map(|it| it.id());
    assert_eq!(new(Vec::new()), Err(BadMembers::None));
    let twice = vec![member("bank", false), member("shop", false), member("bank", true)];
    assert_eq!(new(twice), Err(BadMembers::Twice(ResourceName::new("bank").expect("a name"))));
    let many = (0..65).map(|n| member(&format!("r{n}"), false)).collect();
    assert_eq!(new(many), Err(BadMembers::TooMany(65)));
}

#[test]
fn a_caller_may_cancel_before_the_decision() {
    let mut it = two();
    assert_eq!(it.handle(0, Event::Cancel("no".to_owned())), [abort(0, false), abort(1, false)]);
    let mut it = two();
    it.handle(0, Event::Begin);
    it.handle(0, voted(0, prepared()));
    assert_eq!(it.handle(0, Event::Cancel("no".to_owned())), [abort(0, false), abort(1, true)]);
    assert_eq!(deciding().handle(0, Event::Cancel("no".to_owned())), [], "too late");
}

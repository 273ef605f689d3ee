//! Recovery, one situation after another.

use super::*;
use crate::decision::Heuristic;

const ID: TransactionId = TransactionId { cluster: Cluster(1), coordinator: 2, number: 3 };

fn branch(name: &str) -> Branch {
    Branch { resource: ResourceName::new(name).expect("a name"), session: None }
}

fn prepared_branch(name: &str) -> PreparedBranch {
    PreparedBranch { branch: branch(name), witness: Witness::default() }
}

fn id_of(name: &str) -> BranchId {
    BranchId { transaction: ID, branch: branch(name) }
}

fn record(decision: Decision, names: &[&str]) -> Record {
    Record::new(decision, "me", names.iter().map(|name| prepared_branch(name)).collect())
}

fn recovery() -> Recovery {
    Recovery::new(Cluster(1), "me", Settings::default())
}

fn listed(names: &[&str]) -> Event {
    let resource = ResourceName::new(names[0]).expect("a name");
    Event::Listed { resource, prepared: names.iter().map(|name| id_of(name)).collect() }
}

fn known(is_fence_there: bool, record: Option<Record>) -> Event {
    Event::Read { id: ID, log: LogView::Known { is_fence_there, record } }
}

fn finish(name: &str, decision: Decision, release: bool) -> Action {
    Action::Finish { id: ID, branch: prepared_branch(name), decision, release }
}

fn inspect(name: &str) -> Action {
    Action::Inspect { id: ID, branch: prepared_branch(name) }
}

fn finished(name: &str, answer: Finish) -> Event {
    Event::Finished { branch: id_of(name), answer }
}

fn inspected(name: &str, presence: Presence) -> Event {
    Event::Inspected { branch: id_of(name), presence }
}

const READ: Action = Action::Read { id: ID };

fn resolved(decision: Decision) -> Action {
    Action::Resolved { id: ID, decision }
}

#[test]
fn what_a_dead_coordinator_decided_is_done_in_all_branches_and_forgotten() {
    let mut it = recovery();
    assert_eq!(it.handle(0, listed(&["bank"])), [READ]);
    let commit = |name| finish(name, Decision::Commit, false);
    let record = record(Decision::Commit, &["bank", "shop"]);
    let actions = it.handle(1, known(false, Some(record)));
    assert_eq!(actions, [commit("bank"), commit("shop")], "the one that is not listed, too");
    assert_eq!(it.handle(2, finished("bank", Finish::Done)), []);
    assert_eq!(it.handle(3, finished("shop", Finish::NotFound)), [inspect("shop")]);
    let end = it.handle(4, inspected("shop", Presence::Absent));
    assert_eq!(end, [Action::Forget { id: ID }, resolved(Decision::Commit)]);
    assert_eq!(it.due_ms(), None);
}

#[test]
fn what_a_dead_coordinator_left_undecided_is_rolled_back_without_a_write() {
    let mut it = recovery();
    it.handle(0, listed(&["bank"]));
    assert_eq!(it.handle(1, known(false, None)), [], "it is given a time of grace");
    assert_eq!(it.due_ms(), Some(501));
    assert_eq!(it.handle(501, Event::Tick), [READ]);
    it.handle(501, known(false, None));
    assert_eq!(it.due_ms(), Some(1_000));
    assert_eq!(it.handle(1_000, Event::Tick), [READ]);
    assert_eq!(it.handle(1_000, known(false, None)), [inspect("bank")], "it looks first");
    let actions = it.handle(1_001, inspected("bank", Presence::Prepared));
    assert_eq!(actions, [finish("bank", Decision::Abort, false)]);
    assert_eq!(it.handle(1_002, finished("bank", Finish::Done)), [resolved(Decision::Abort)]);
}

#[test]
fn what_a_living_coordinator_leaves_undecided_is_aborted_in_the_log_first() {
    let mut it = recovery();
    it.handle(0, listed(&["bank"]));
    it.handle(0, known(true, None));
    assert_eq!(it.handle(29_999, Event::Tick), [READ]);
    assert_eq!(it.handle(29_999, known(true, None)), []);
    assert_eq!(it.handle(30_000, Event::Tick), [READ]);
    let actions = it.handle(30_000, known(true, None));
    let record = record(Decision::Abort, &["bank"]);
    assert_eq!(actions, [Action::WriteAbort { id: ID, record }]);
    assert_eq!(it.handle(30_001, Event::Written { id: ID, logged: Logged::Stored }), [inspect("bank")]);
    it.handle(30_002, inspected("bank", Presence::Prepared));
    let end = it.handle(30_003, finished("bank", Finish::Done));
    assert_eq!(end, [resolved(Decision::Abort)], "the coordinator still needs the record");
}

#[test]
fn a_coordinator_that_was_faster_is_obeyed() {
    let mut it = recovery();
    it.handle(0, listed(&["bank"]));
    it.handle(30_000, known(true, None));
    let found = Event::Written { id: ID, logged: Logged::Found(Decision::Commit) };
    assert_eq!(it.handle(30_001, found), [READ], "for the branches");
    let actions = it.handle(30_002, known(true, Some(record(Decision::Commit, &["bank", "shop"]))));
    assert_eq!(actions, [finish("bank", Decision::Commit, false), finish("shop", Decision::Commit, false)]);
    it.handle(30_003, finished("bank", Finish::Done));
    let end = it.handle(30_003, finished("shop", Finish::Done));
    assert_eq!(end, [resolved(Decision::Commit)]);
}

#[test]
fn a_write_without_an_answer_is_followed_by_a_read() {
    for late in [Some(Logged::Unknown("away".to_owned())), None] {
        let mut it = recovery();
        it.handle(0, listed(&["bank"]));
        it.handle(30_000, known(true, None));
        if let Some(logged) = late {
            assert_eq!(it.handle(30_001, Event::Written { id: ID, logged }), []);
        } else {
            assert_eq!(it.handle(32_000, Event::Tick), []);
        }
        let due_ms = it.due_ms().expect("it goes on");
        assert_eq!(it.handle(due_ms, Event::Tick), [READ]);
        let aborted = known(true, Some(record(Decision::Abort, &["bank"])));
        assert_eq!(it.handle(due_ms, aborted), [inspect("bank")]);
    }
}

#[test]
fn a_coordinator_that_goes_is_noticed_at_once() {
    let mut it = recovery();
    it.handle(0, listed(&["bank"]));
    it.handle(0, known(true, None));
    assert_eq!(it.due_ms(), Some(500));
    assert_eq!(it.handle(100, Event::CoordinatorGone(7)), []);
    assert_eq!(it.handle(100, Event::CoordinatorGone(2)), [READ]);
}

/// The transaction was committed and its record deleted after the list was made.
#[test]
fn an_old_list_blames_nobody() {
    let mut it = recovery();
    it.handle(0, listed(&["bank"]));
    it.handle(1_000, known(false, None));
    let end = it.handle(1_001, inspected("bank", Presence::Ended(Decision::Commit)));
    assert_eq!(end, [resolved(Decision::Abort)]);
}

#[test]
fn what_people_did_by_hand_is_kept() {
    let heuristics = |name| vec![Heuristic { branch: branch(name), did: Decision::Commit }];
    let mut it = recovery();
    it.handle(0, listed(&["bank"]));
    it.handle(0, listed(&["shop"]));
    it.handle(1_000, known(false, None));
    it.handle(1_000, inspected("bank", Presence::Ended(Decision::Commit)));
    it.handle(1_000, inspected("shop", Presence::Prepared));
    let end = it.handle(1_000, finished("shop", Finish::Done));
    let kept = Record { heuristics: heuristics("bank"), ..record(Decision::Abort, &[]) };
    assert_eq!(end, [Action::Keep { id: ID, record: kept.clone() }, resolved(Decision::Abort)]);
    assert_eq!(it.handle(1_001, Event::Records(vec![(ID, kept)])), [], "it is left to people");
    assert_eq!(it.in_doubt().count(), 0);
}

#[test]
fn records_are_finished_though_nothing_is_listed() {
    let mut it = recovery();
    let commit = record(Decision::Commit, &["bank"]);
    assert_eq!(it.handle(0, Event::Records(vec![(ID, commit.clone())])), [READ]);
    it.handle(0, known(false, Some(commit)));
    it.handle(0, finished("bank", Finish::NotFound));
    let end = it.handle(0, inspected("bank", Presence::Absent));
    assert_eq!(end, [Action::Forget { id: ID }, resolved(Decision::Commit)]);

    let abort = record(Decision::Abort, &["bank"]);
    it.handle(0, Event::Records(vec![(ID, abort.clone())]));
    let end = it.handle(0, known(false, Some(abort)));
    assert_eq!(end, [Action::Forget { id: ID }, resolved(Decision::Abort)]);
}

#[test]
fn other_clusters_are_left_alone() {
    let mut it = recovery();
    let foreign = TransactionId { cluster: Cluster(9), ..ID };
    let resource = ResourceName::new("bank").expect("a name");
    let prepared = vec![BranchId { transaction: foreign, branch: branch("bank") }];
    assert_eq!(it.handle(0, Event::Listed { resource, prepared }), []);
    assert_eq!(it.handle(0, Event::Records(vec![(foreign, record(Decision::Commit, &["bank"]))])), []);
    assert_eq!(it.due_ms(), None);
}

#[test]
fn what_is_gone_before_anything_was_done_is_dropped() {
    let mut it = recovery();
    it.handle(0, listed(&["bank"]));
    it.handle(0, known(true, None));
    assert_eq!(it.in_doubt().count(), 1);
    let resource = ResourceName::new("bank").expect("a name");
    it.handle(10, Event::Listed { resource, prepared: Vec::new() });
    assert_eq!(it.in_doubt().count(), 0);
}

#[test]
fn a_branch_that_its_session_holds_is_released_and_told_again() {
    let mut it = recovery();
    it.handle(0, listed(&["bank"]));
    it.handle(0, known(false, Some(record(Decision::Commit, &["bank"]))));
    assert_eq!(it.handle(1, finished("bank", Finish::NotFound)), [inspect("bank")]);
    let again = it.handle(2, inspected("bank", Presence::Prepared));
    assert_eq!(again, [finish("bank", Decision::Commit, true)]);
    it.handle(3, finished("bank", Finish::Failed("the server is away".to_owned())));
    let seen: Vec<InDoubt> = it.in_doubt().collect();
    assert_eq!(seen[0].decision, Some(Decision::Commit));
    assert_eq!(seen[0].unfinished, [(branch("bank"), "the server is away".to_owned())]);
    assert_eq!((seen[0].first_seen_ms, seen[0].retries), (0, 1));
    // It is still listed: it is neither forgotten nor told twice at once.
    assert_eq!(it.handle(4, listed(&["bank"])), []);
    let again = it.handle(103, Event::Tick);
    assert_eq!(again, [finish("bank", Decision::Commit, true)]);
}

#[test]
fn a_branch_that_is_listed_later_is_finished_too() {
    let mut it = recovery();
    it.handle(0, listed(&["bank"]));
    it.handle(0, known(false, Some(record(Decision::Commit, &["bank"]))));
    assert_eq!(it.handle(1, listed(&["shop"])), [finish("shop", Decision::Commit, false)]);
    it.handle(2, finished("bank", Finish::Done));
    let end = it.handle(3, finished("shop", Finish::Done));
    assert_eq!(end, [Action::Forget { id: ID }, resolved(Decision::Commit)]);
}

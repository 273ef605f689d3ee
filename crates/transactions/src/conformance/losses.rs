//! Checks with several processes, and without power.

use std::time::Duration;

use super::branches::prepare;
use super::{Subject, new_cluster, new_transaction, prepared};
use crate::participant::{Finish, Vote};

/// How long a participant may take to notice that a process is gone. Only a failure waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) async fn commits_elsewhere(subject: &impl Subject) {
    let first = subject.participant().await;
    let cluster = new_cluster();
    let (transaction, value) = new_transaction(cluster);
    let branch = subject.work(&transaction, value).await;
    let receipt = prepare(&*first, &branch).await;
    let second = subject.participant().await;
    assert_eq!(prepared(&second, cluster).await, std::slice::from_ref(&branch));
    assert_eq!(second.commit(&branch, &receipt).await, Finish::Done);
    assert!(subject.has(value).await);
    // The first one learns that, and does no harm.
    let late = first.commit(&branch, &receipt).await;
    assert!(matches!(late, Finish::Done | Finish::NotFound | Finish::Unknown(_)), "{late:?}");
    assert_eq!(prepared(&first, cluster).await, []);
}

pub(super) async fn aborts_elsewhere(subject: &impl Subject) {
    let first = subject.participant().await;
    let cluster = new_cluster();
    let (transaction, value) = new_transaction(cluster);
    let branch = subject.work(&transaction, value).await;
    prepare(&*first, &branch).await;
    let second = subject.participant().await;
    // Recovery has no receipt of a branch that was never decided.
    assert_eq!(second.abort(&branch, "").await, Finish::Done);
    assert!(!subject.has(value).await);
    assert_eq!(prepared(&first, cluster).await, []);
}

pub(super) async fn survives_its_process(subject: &impl Subject) {
    let first = subject.participant().await;
    let cluster = new_cluster();
    let (transaction, value) = new_transaction(cluster);
    let branch = subject.work(&transaction, value).await;
    let receipt = prepare(&*first, &branch).await;
    drop(first);
    let second = subject.participant().await;
    assert_eq!(prepared(&second, cluster).await, std::slice::from_ref(&branch));
    assert_eq!(second.commit(&branch, &receipt).await, Finish::Done);
    assert!(subject.has(value).await);
    assert_eq!(prepared(&second, cluster).await, []);
}

pub(super) async fn ends_with_its_process(subject: &impl Subject) {
    let first = subject.participant().await;
    let cluster = new_cluster();
    let (transaction, value) = new_transaction(cluster);
    let branch = subject.work(&transaction, value).await;
    drop(first);
    let second = subject.participant().await;
    assert_eq!(prepared(&second, cluster).await, []);
    assert!(matches!(second.prepare(&branch).await, Vote::Refused(_)));
    // What it has locked is free again: a change of the same kind can be made.
    let (transaction, next) = new_transaction(cluster);
    let working = async {
        let branch = subject.work(&transaction, next).await;
        second.commit_at_once(&branch).await
    };
    let finish = tokio::time::timeout(PATIENCE, working).await.expect("locks end with their process");
    assert_eq!(finish, Finish::Done);
    assert!(subject.has(next).await && !subject.has(value).await);
}

pub(super) async fn survives_a_power_cut(subject: &impl Subject) {
    let participant = subject.participant().await;
    let cluster = new_cluster();
    let [kept, undone, unprepared] = [(); 3].map(|()| new_transaction(cluster));
    let to_keep = subject.work(&kept.0, kept.1).await;
    let receipt = prepare(&*participant, &to_keep).await;
    let to_undo = subject.work(&undone.0, undone.1).await;
    prepare(&*participant, &to_undo).await;
    let to_lose = subject.work(&unprepared.0, unprepared.1).await;
    if !subject.lose_power().await {
        for branch in [to_keep, to_undo, to_lose] {
            participant.abort(&branch, "").await;
        }
        return;
    }
    let mut listed = prepared(&participant, cluster).await;
    listed.sort();
    let mut expected = vec![to_keep.clone(), to_undo.clone()];
    expected.sort();
    assert_eq!(listed, expected);
    until_done(|| participant.commit(&to_keep, &receipt)).await;
    until_done(|| participant.abort(&to_undo, "")).await;
    // Work that was kept outside of what was lost can still be prepared, and undone.
    participant.prepare(&to_lose).await;
    participant.abort(&to_lose, "").await;
    assert!(subject.has(kept.1).await && !subject.has(undone.1).await && !subject.has(unprepared.1).await);
    assert_eq!(prepared(&participant, cluster).await, []);
}

/// Repeats a step whose first attempt may meet a connection that is lost.
async fn until_done<F: Future<Output = Finish>>(mut step: impl FnMut() -> F) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        match step().await {
            Finish::Done => return,
            other => assert!(tokio::time::Instant::now() < deadline, "it is not done: {other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

//! Checks within one process.

use super::{Subject, new_cluster, new_transaction, prepared};
use crate::participant::{Finish, Participant, Vote};
use crate::{BranchId, TransactionId};

/// Prepares a branch and returns its receipt.
pub(super) async fn prepare(participant: &dyn Participant, branch: &BranchId) -> String {
    match participant.prepare(branch).await {
        Vote::Prepared { receipt } => receipt,
        other => panic!("a branch that could be prepared was not: {other:?}"),
    }
}

pub(super) async fn commits(subject: &impl Subject) {
    let participant = subject.participant().await;
    participant.check().await.expect("it can take part");
    let cluster = new_cluster();
    let (transaction, value) = new_transaction(cluster);
    let branch = subject.work(&transaction, value).await;
    assert_eq!(branch.transaction, transaction);
    let receipt = prepare(&*participant, &branch).await;
    assert!(!subject.has(value).await, "a change is seen before it is committed");
    assert_eq!(prepared(&participant, cluster).await, std::slice::from_ref(&branch));
    assert_eq!(participant.commit(&branch, &receipt).await, Finish::Done);
    assert!(subject.has(value).await, "a change is not seen after it was committed");
    assert_eq!(prepared(&participant, cluster).await, []);
}

pub(super) async fn aborts(subject: &impl Subject) {
    let participant = subject.participant().await;
    let cluster = new_cluster();
    let (transaction, value) = new_transaction(cluster);
    let branch = subject.work(&transaction, value).await;
    let receipt = prepare(&*participant, &branch).await;
    assert_eq!(participant.abort(&branch, &receipt).await, Finish::Done);
    assert!(!subject.has(value).await, "a change is seen after it was undone");
    assert_eq!(prepared(&participant, cluster).await, []);
}

pub(super) async fn aborts_unprepared(subject: &impl Subject) {
    let participant = subject.participant().await;
    let cluster = new_cluster();
    let (transaction, value) = new_transaction(cluster);
    let branch = subject.work(&transaction, value).await;
    assert_eq!(participant.abort(&branch, "").await, Finish::Done);
    assert!(!subject.has(value).await, "a change is seen after it was undone");
    assert!(matches!(participant.prepare(&branch).await, Vote::Refused(_)), "an aborted branch was prepared");
    assert_eq!(prepared(&participant, cluster).await, []);
}

pub(super) async fn commits_at_once(subject: &impl Subject) {
    let participant = subject.participant().await;
    let cluster = new_cluster();
    let (transaction, value) = new_transaction(cluster);
    let branch = subject.work(&transaction, value).await;
    assert_eq!(participant.commit_at_once(&branch).await, Finish::Done);
    assert!(subject.has(value).await);
    assert_eq!(prepared(&participant, cluster).await, []);
}

/// The second answer may say that the branch is not known, or that it was committed, never that it
/// has ended otherwise.
pub(super) async fn repeats(subject: &impl Subject) {
    let participant = subject.participant().await;
    let (transaction, value) = new_transaction(new_cluster());
    let branch = subject.work(&transaction, value).await;
    let receipt = prepare(&*participant, &branch).await;
    assert_eq!(participant.commit(&branch, &receipt).await, Finish::Done);
    let again = participant.commit(&branch, &receipt).await;
    assert!(matches!(again, Finish::Done | Finish::NotFound), "{again:?}");
    // Too late to undo it.
    let undo = participant.abort(&branch, &receipt).await;
    assert!(matches!(undo, Finish::NotFound | Finish::Heuristic(_)), "{undo:?}");
    assert!(subject.has(value).await);
    let (transaction, value) = new_transaction(new_cluster());
    let branch = subject.work(&transaction, value).await;
    let receipt = prepare(&*participant, &branch).await;
    assert_eq!(participant.abort(&branch, &receipt).await, Finish::Done);
    let again = participant.abort(&branch, &receipt).await;
    assert!(matches!(again, Finish::Done | Finish::NotFound), "{again:?}");
    assert!(!subject.has(value).await);
}

pub(super) async fn finds_nothing(subject: &impl Subject) {
    let participant = subject.participant().await;
    let (transaction, value) = new_transaction(new_cluster());
    let (other, _) = new_transaction(transaction.cluster);
    let begun = subject.work(&transaction, value).await;
    let unknown = BranchId { transaction: other, branch: begun.branch.clone() };
    assert_eq!(participant.commit(&unknown, "").await, Finish::NotFound);
    assert_eq!(participant.abort(&unknown, "").await, Finish::NotFound);
    assert!(matches!(participant.prepare(&unknown).await, Vote::Refused(_)));
    assert_eq!(participant.abort(&begun, "").await, Finish::Done);
}

pub(super) async fn leaves_readers_out(subject: &impl Subject) {
    let participant = subject.participant().await;
    let cluster = new_cluster();
    let (transaction, _) = new_transaction(cluster);
    let Some(branch) = subject.read(&transaction).await else { return };
    assert_eq!(participant.prepare(&branch).await, Vote::ReadOnly);
    assert_eq!(prepared(&participant, cluster).await, []);
}

pub(super) async fn refuses(subject: &impl Subject) {
    let participant = subject.participant().await;
    let cluster = new_cluster();
    let (transaction, _) = new_transaction(cluster);
    let Some(branch) = subject.spoiled(&transaction).await else { return };
    match participant.prepare(&branch).await {
        Vote::Refused(why) => assert!(!why.is_empty(), "it does not say why"),
        other => panic!("a branch that cannot be prepared was: {other:?}"),
    }
    assert_eq!(prepared(&participant, cluster).await, []);
    let undo = participant.abort(&branch, "").await;
    assert!(matches!(undo, Finish::Done | Finish::NotFound), "{undo:?}");
}

pub(super) async fn separates_clusters(subject: &impl Subject) {
    let participant = subject.participant().await;
    let clusters = [new_cluster(), new_cluster()];
    let (one, value) = new_transaction(clusters[0]);
    let branch = subject.work(&one, value).await;
    let receipt = prepare(&*participant, &branch).await;
    assert_eq!(prepared(&participant, clusters[1]).await, []);
    // The same numbers in another cluster are another transaction.
    let twin = TransactionId { cluster: clusters[1], ..one };
    let twin = BranchId { transaction: twin, branch: branch.branch.clone() };
    assert_eq!(participant.abort(&twin, "").await, Finish::NotFound);
    assert_eq!(prepared(&participant, clusters[0]).await, std::slice::from_ref(&branch));
    assert_eq!(participant.abort(&branch, &receipt).await, Finish::Done);
}

pub(super) async fn runs_many(subject: &impl Subject) {
    const COUNT: usize = 10;
    let participant = subject.participant().await;
    let cluster = new_cluster();
    let mut open = Vec::new();
    for _ in 0..COUNT {
        let (transaction, value) = new_transaction(cluster);
        let branch = subject.work(&transaction, value).await;
        let receipt = prepare(&*participant, &branch).await;
        open.push((branch, receipt, value));
    }
    assert_eq!(prepared(&participant, cluster).await.len(), COUNT);
    for (index, (branch, receipt, value)) in open.into_iter().enumerate() {
        let finish = match index % 2 {
            0 => participant.commit(&branch, &receipt).await,
            _ => participant.abort(&branch, &receipt).await,
        };
        assert_eq!(finish, Finish::Done);
        assert_eq!(subject.has(value).await, index % 2 == 0);
    }
    assert_eq!(prepared(&participant, cluster).await, []);
}

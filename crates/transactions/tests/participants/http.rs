//! A service over HTTP.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use transactions::conformance::{Subject, check_all};
use transactions::{BranchId, Ending, Finish, Http, Participant, TransactionId, Trouble, Vote};

use crate::service::{Fault, Service};
use crate::{STEP, resource, transaction};

struct Server {
    service: Service,
    last: Mutex<Option<Arc<Http>>>,
}

impl Server {
    async fn start() -> Self {
        Self { service: Service::start().await, last: Mutex::default() }
    }

    fn new_participant(&self, step: Duration) -> Arc<Http> {
        // The service forgets the unprepared work of a client that is gone.
        self.service.forget_unprepared();
        let participant = Arc::new(Http::new(&self.service.url(), step).unwrap());
        *self.last.lock().unwrap() = Some(Arc::clone(&participant));
        participant
    }

    fn begin(&self, transaction: &TransactionId) -> BranchId {
        self.last.lock().unwrap().as_ref().unwrap().begin(transaction, &resource())
    }
}

#[async_trait]
impl Subject for Server {
    async fn participant(&self) -> Arc<dyn Participant> {
        self.new_participant(STEP)
    }

    async fn work(&self, transaction: &TransactionId, value: u64) -> BranchId {
        let branch = self.begin(transaction);
        self.service.work(&branch.to_string(), Some(value));
        branch
    }

    async fn read(&self, transaction: &TransactionId) -> Option<BranchId> {
        let branch = self.begin(transaction);
        self.service.work(&branch.to_string(), None);
        Some(branch)
    }

    async fn spoiled(&self, transaction: &TransactionId) -> Option<BranchId> {
        Some(self.begin(transaction))
    }

    async fn has(&self, value: u64) -> bool {
        self.service.has(value)
    }

    async fn lose_power(&self) -> bool {
        self.service.forget_unprepared();
        true
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_conforms() {
    check_all(&Server::start().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_says_nothing_is_unknown() {
    let server = Server::start().await;
    let participant = server.new_participant(Duration::from_millis(300));
    for fault in [Fault::Error, Fault::Silence, Fault::Nonsense] {
        let branch = server.work(&transaction(), 1).await;
        server.service.fail_next(fault);
        assert!(matches!(participant.prepare(&branch).await, Vote::Unknown(_)), "{fault:?}");
        server.service.fail_next(fault);
        assert!(matches!(participant.abort(&branch, "").await, Finish::Unknown(_)), "{fault:?}");
        let listing = participant.abort(&branch, "").await;
        assert!(matches!(listing, Finish::Done | Finish::NotFound), "{fault:?}: {listing:?}");
    }
    // A commit whose answer is lost is asked about.
    let branch = server.work(&transaction(), 2).await;
    server.service.fail_next(Fault::LostAnswer);
    assert_eq!(participant.commit_at_once(&branch).await, Finish::Done);
    assert!(server.has(2).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_did_by_hand_is_told() {
    let server = Server::start().await;
    let participant = server.new_participant(STEP);
    let branch = server.work(&transaction(), 1).await;
    assert!(matches!(participant.prepare(&branch).await, Vote::Prepared { .. }));
    server.service.undo_by_hand(&branch.to_string());
    let Finish::Heuristic(heuristic) = participant.commit(&branch, "").await else { panic!("not told") };
    assert_eq!(heuristic.ending, Ending::Aborted);
}

#[tokio::test]
async fn a_service_that_is_down_or_does_not_list_is_told_apart() {
    let nobody = testing::listen().local_addr().unwrap();
    let away = Http::new(&format!("http://{nobody}"), STEP).unwrap();
    assert!(matches!(away.check().await, Err(Trouble::Away(_))));
    let server = Server::start().await;
    let other = Http::new(&format!("{}/elsewhere", server.service.url()), STEP).unwrap();
    assert!(matches!(other.check().await, Err(Trouble::Unfit(_))));
}

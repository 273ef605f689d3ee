//! MariaDB.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use mysql_async::Conn;
use mysql_async::prelude::Queryable as _;
use transactions::conformance::{Subject, check_all};
use transactions::{BranchId, Finish, MariaDb, Participant, TransactionId, Trouble, Vote};

use crate::{STEP, resource, transaction};

/// How often a rollback is tried: the server flushes its log once in a second, too, so that not
/// each one is undone.
const ROLLBACKS: u64 = 6;

struct Server {
    server: Mutex<testing::MariaDb>,
    last: Mutex<Option<Arc<MariaDb>>>,
}

impl Server {
    async fn start() -> Option<Self> {
        let server = Self { server: Mutex::new(testing::MariaDb::start()?), last: Mutex::default() };
        server.connection().await.query_drop("CREATE TABLE had (value BIGINT PRIMARY KEY)").await.unwrap();
        Some(server)
    }

    fn url(&self) -> String {
        self.server.lock().unwrap().url()
    }

    fn new_participant(&self) -> Arc<MariaDb> {
        let participant = Arc::new(MariaDb::new(&self.url(), STEP).unwrap());
        *self.last.lock().unwrap() = Some(Arc::clone(&participant));
        participant
    }

    fn last(&self) -> Arc<MariaDb> {
        Arc::clone(self.last.lock().unwrap().as_ref().unwrap())
    }

    /// A connection beside the participant.
    async fn connection(&self) -> Conn {
        let url = self.url();
        Conn::from_url(&url).await.unwrap()
    }
}

#[async_trait]
impl Subject for Server {
    async fn participant(&self) -> Arc<dyn Participant> {
        self.new_participant()
    }

    async fn work(&self, transaction: &TransactionId, value: u64) -> BranchId {
        let (branch, mut session) = self.last().begin(transaction, &resource()).await.unwrap();
        session.query_drop(format!("INSERT INTO had VALUES ({value})")).await.unwrap();
        branch
    }

    async fn read(&self, _: &TransactionId) -> Option<BranchId> {
        None
    }

    async fn spoiled(&self, transaction: &TransactionId) -> Option<BranchId> {
        // The program has ended the branch itself.
        let (branch, mut session) = self.last().begin(transaction, &resource()).await.unwrap();
        let (gtrid, bqual) = (branch.transaction.to_string(), branch.branch.qualifier());
        let xid = format!("'{gtrid}','{bqual}',{}", 0x4f73_746c);
        session.query_drop(format!("XA END {xid}; XA ROLLBACK {xid}")).await.unwrap();
        Some(branch.clone())
    }

    async fn has(&self, value: u64) -> bool {
        let ask = format!("SELECT 1 FROM had WHERE value = {value}");
        let found: Option<u8> = self.connection().await.query_first(ask).await.unwrap();
        found.is_some()
    }

    async fn lose_power(&self) -> bool {
        let mut server = self.server.lock().unwrap();
        server.kill();
        server.launch();
        true
    }
}

#[tokio::test]
async fn mariadb_conforms() {
    let Some(server) = Server::start().await else { return };
    check_all(&server).await;
}

/// What other recoveries take for "already done".
#[tokio::test]
async fn an_unknown_xid_may_be_prepared_all_the_same() {
    let Some(server) = Server::start().await else { return };
    let first = server.new_participant();
    let branch = server.work(&transaction(), 1).await;
    assert!(matches!(first.prepare(&branch).await, Vote::Prepared { .. }));
    let xid = format!("'{}','{}',{}", branch.transaction, branch.branch.qualifier(), 0x4f73_746c);
    let mut other = server.connection().await;
    let refusal = other.query_drop(format!("XA COMMIT {xid}")).await.unwrap_err().to_string();
    assert!(refusal.contains("XAER_NOTA"), "{refusal}");
    let second = server.new_participant();
    assert_eq!(second.prepared(branch.transaction.cluster).await.unwrap().len(), 1);
    assert_eq!(second.commit(&branch, "").await, Finish::Done);
    assert!(server.has(1).await);
    // The session that was ended is not used again.
    let branch = {
        let (branch, mut session) = first.begin(&transaction(), &resource()).await.unwrap();
        session.query_drop("INSERT INTO had VALUES (2)").await.unwrap();
        branch
    };
    assert_eq!(first.commit_at_once(&branch).await, Finish::Done);
}

#[tokio::test]
async fn a_server_that_does_not_answer_leaves_nothing_prepared() {
    let Some(server) = Server::start().await else { return };
    let participant = Arc::new(MariaDb::new(&server.url(), Duration::from_millis(200)).unwrap());
    *server.last.lock().unwrap() = Some(Arc::clone(&participant));
    let branch = server.work(&transaction(), 1).await;
    server.server.lock().unwrap().stop();
    assert!(matches!(participant.prepare(&branch).await, Vote::Unknown(_)));
    assert!(matches!(participant.abort(&branch, "").await, Finish::Unknown(_)));
    assert!(matches!(participant.prepared(branch.transaction.cluster).await, Err(Trouble::Away(_))));
    server.server.lock().unwrap().resume();
    let deadline = tokio::time::Instant::now() + STEP;
    while let Finish::Unknown(why) = participant.abort(&branch, "").await {
        assert!(tokio::time::Instant::now() < deadline, "{why}");
    }
    assert_eq!(participant.prepared(branch.transaction.cluster).await.unwrap(), []);
    assert!(!server.has(1).await);
}

/// Otherwise the answer to each statement would be taken for that to the next one.
#[tokio::test]
async fn a_session_whose_statement_was_given_up_is_not_prepared() {
    let Some(server) = Server::start().await else { return };
    let participant = server.new_participant();
    for at_once in [false, true] {
        let (branch, mut session) = participant.begin(&transaction(), &resource()).await.unwrap();
        session.query_drop("INSERT INTO had VALUES (1)").await.unwrap();
        let sleep = session.query_drop("SELECT SLEEP(1)");
        assert!(tokio::time::timeout(Duration::from_millis(50), sleep).await.is_err());
        drop(session);
        match at_once {
            true => assert!(matches!(participant.commit_at_once(&branch).await, Finish::Refused(_))),
            false => assert!(matches!(participant.prepare(&branch).await, Vote::Unknown(_))),
        }
        let finish = participant.abort(&branch, "").await;
        assert!(matches!(finish, Finish::Done | Finish::NotFound), "{finish:?}");
        assert_eq!(participant.prepared(branch.transaction.cluster).await.unwrap(), []);
        assert!(!server.has(1).await);
    }
}

#[tokio::test]
async fn a_wrong_password_is_no_passing_trouble() {
    let Some(server) = Server::start().await else { return };
    let participant = MariaDb::new(&server.url().replace(":ostler@", ":wrong@"), STEP).unwrap();
    assert!(matches!(participant.check().await, Err(Trouble::Unfit(_))));
    assert!(MariaDb::new("postgres://localhost", STEP).is_err());
}

/// A server that is cut off takes its idle sessions with it. When each of them was waited for in
/// turn, one call took as many times the bound of an exchange as there were sessions, up to 64, and
/// a branch stayed in doubt for that long although its server was back.
#[tokio::test]
async fn a_call_waits_for_one_idle_session_and_not_for_each() {
    let Some(server) = Server::start().await else { return };
    let step = Duration::from_millis(300);
    let participant = MariaDb::new(&server.url(), step).unwrap();
    let mut branches = Vec::new();
    for number in 0..16 {
        let transaction = TransactionId { number, ..transaction() };
        branches.push(participant.begin(&transaction, &resource()).await.unwrap().0);
    }
    for branch in &branches {
        assert_eq!(participant.abort(branch, "").await, Finish::Done);
    }
    server.server.lock().unwrap().stop();
    let began = tokio::time::Instant::now();
    let listed = participant.prepared(branches[0].transaction.cluster).await;
    assert!(matches!(listed, Err(Trouble::Away(_))), "{listed:?}");
    assert!(began.elapsed() < 8 * step, "{:?}", began.elapsed());
}

/// MariaDB does not flush a rollback: one that it has answered may be undone when it is killed
/// within the next second, and then the branch is prepared again. Any process that finds it can
/// roll it back once more, and its coordinator does when it connects again.
#[tokio::test]
async fn a_rollback_that_the_death_of_the_server_has_undone_is_done_again() {
    let Some(server) = Server::start().await else { return };
    let mut was_undone = false;
    for number in 0..ROLLBACKS {
        let first = server.new_participant();
        let transaction = TransactionId { number, ..transaction() };
        let branch = server.work(&transaction, number).await;
        assert!(matches!(first.prepare(&branch).await, Vote::Prepared { .. }));
        assert_eq!(first.abort(&branch, "").await, Finish::Done);
        assert!(server.lose_power().await);
        let second = server.new_participant();
        was_undone |= !second.prepared(transaction.cluster).await.unwrap().is_empty();
        if number % 2 == 0 {
            first.check().await.unwrap();
        } else {
            let again = second.abort(&branch, "").await;
            assert!(matches!(again, Finish::Done | Finish::NotFound), "{again:?}");
        }
        assert_eq!(second.prepared(transaction.cluster).await.unwrap(), []);
        assert!(!server.has(number).await);
    }
    assert!(was_undone, "MariaDB keeps rollbacks now: docs/build/transactions.md says that it does not");
}

//! PostgreSQL.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use transactions::conformance::{Subject, check_all};
use transactions::{BranchId, Ending, Finish, Participant, Postgres, TransactionId, Trouble, Vote};

use crate::{STEP, resource, transaction};

struct Server {
    server: Mutex<testing::Postgres>,
    last: Mutex<Option<Arc<Postgres>>>,
}

impl Server {
    async fn start() -> Option<Self> {
        let server = Self { server: Mutex::new(testing::Postgres::start()?), last: Mutex::default() };
        server.sql("CREATE TABLE had (value bigint PRIMARY KEY)").await;
        Some(server)
    }

    fn connection(&self) -> String {
        self.server.lock().unwrap().connection()
    }

    fn new_participant(&self) -> Arc<Postgres> {
        let participant = Arc::new(Postgres::new(&self.connection(), STEP).unwrap());
        *self.last.lock().unwrap() = Some(Arc::clone(&participant));
        participant
    }

    fn last(&self) -> Arc<Postgres> {
        Arc::clone(self.last.lock().unwrap().as_ref().unwrap())
    }

    /// Runs a statement beside the participant, and returns the first value of its first row.
    async fn sql(&self, statement: &str) -> Option<String> {
        let place = self.connection();
        let (client, connection) = tokio_postgres::connect(&place, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        let rows = client.simple_query(statement).await.unwrap();
        rows.iter().find_map(|row| match row {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        })
    }

    async fn begin(&self, transaction: &TransactionId, statement: &str) -> BranchId {
        let (branch, session) = self.last().begin(transaction, &resource()).await.unwrap();
        session.batch_execute(statement).await.unwrap();
        branch
    }
}

#[async_trait]
impl Subject for Server {
    async fn participant(&self) -> Arc<dyn Participant> {
        self.new_participant()
    }

    async fn work(&self, transaction: &TransactionId, value: u64) -> BranchId {
        self.begin(transaction, &format!("INSERT INTO had VALUES ({value})")).await
    }

    async fn read(&self, transaction: &TransactionId) -> Option<BranchId> {
        Some(self.begin(transaction, "SELECT * FROM had").await)
    }

    async fn spoiled(&self, transaction: &TransactionId) -> Option<BranchId> {
        Some(self.begin(transaction, "CREATE TEMPORARY TABLE mine (value int)").await)
    }

    async fn has(&self, value: u64) -> bool {
        self.sql(&format!("SELECT 1 FROM had WHERE value = {value}")).await.is_some()
    }

    async fn lose_power(&self) -> bool {
        let mut server = self.server.lock().unwrap();
        server.kill();
        server.launch();
        true
    }
}

#[tokio::test]
async fn postgres_conforms() {
    let Some(server) = Server::start().await else { return };
    check_all(&server).await;
}

#[tokio::test]
async fn a_server_without_prepared_transactions_is_refused_before_any_work() {
    let Some(server) = testing::Postgres::start_with_prepared_max(0) else { return };
    let participant = Postgres::new(&server.connection(), STEP).unwrap();
    let Err(Trouble::Unfit(why)) = participant.check().await else { panic!("it was taken") };
    assert!(why.contains("max_prepared_transactions is 0"), "{why}");
    let begun = participant.begin(&transaction(), &resource()).await;
    assert!(matches!(begun, Err(Trouble::Unfit(_))), "{begun:?}");
}

#[tokio::test]
async fn what_somebody_did_by_hand_is_told() {
    let Some(server) = Server::start().await else { return };
    let participant = server.new_participant();
    for (by_hand, ending) in [("ROLLBACK", Ending::Aborted), ("COMMIT", Ending::Committed)] {
        let branch = server.work(&transaction(), 1).await;
        let Vote::Prepared { receipt } = participant.prepare(&branch).await else { panic!("not prepared") };
        server.sql(&format!("{by_hand} PREPARED '{branch}'")).await;
        let finish = match ending {
            Ending::Aborted => participant.commit(&branch, &receipt).await,
            _ => participant.abort(&branch, &receipt).await,
        };
        let Finish::Heuristic(heuristic) = finish else { panic!("{by_hand}: {finish:?}") };
        assert_eq!(heuristic.ending, ending, "{}", heuristic.evidence);
    }
}

#[tokio::test]
async fn a_failed_transaction_and_one_that_the_program_ended_are_not_prepared() {
    let Some(server) = Server::start().await else { return };
    let participant = server.new_participant();
    let (branch, session) = participant.begin(&transaction(), &resource()).await.unwrap();
    session.batch_execute("INSERT INTO had VALUES (1)").await.unwrap();
    assert!(session.batch_execute("INSERT INTO had VALUES (1)").await.is_err());
    drop(session);
    assert!(matches!(participant.prepare(&branch).await, Vote::Refused(_)));
    let branch = server.begin(&transaction(), "INSERT INTO had VALUES (2); COMMIT").await;
    let Vote::Refused(why) = participant.prepare(&branch).await else { panic!("it was prepared") };
    assert!(why.contains("ended by the program"), "{why}");
}

#[tokio::test]
async fn a_branch_whose_session_is_in_use_is_not_prepared() {
    let Some(server) = Server::start().await else { return };
    let participant = server.new_participant();
    let (branch, session) = participant.begin(&transaction(), &resource()).await.unwrap();
    session.batch_execute("INSERT INTO had VALUES (1)").await.unwrap();
    let Vote::Refused(why) = participant.prepare(&branch).await else { panic!("it was prepared") };
    assert!(why.contains("still uses"), "{why}");
    assert_eq!(participant.abort(&branch, "").await, Finish::Done);
    drop(session);
    assert!(!server.has(1).await);
}

#[tokio::test]
async fn a_server_that_does_not_answer_leaves_nothing_prepared() {
    let Some(server) = Server::start().await else { return };
    let step = Duration::from_millis(200);
    let participant = Arc::new(Postgres::new(&server.connection(), step).unwrap());
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

/// A server that is cut off takes its idle sessions with it. When each of them was waited for in
/// turn, one call took as many times the bound of an exchange as there were sessions, up to 64, and
/// a branch stayed in doubt for that long although its server was back.
#[tokio::test]
async fn a_call_waits_for_one_idle_session_and_not_for_each() {
    let Some(server) = Server::start().await else { return };
    let step = Duration::from_millis(300);
    let participant = Postgres::new(&server.connection(), step).unwrap();
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

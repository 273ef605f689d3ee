//! Znodes.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use client::{Acl, Client, CreateMode, Credentials, ErrorCode, Settings, acl};
use testing::TestServer;
use transactions::conformance::{Subject, check_all};
use transactions::{
    BranchId, Ending, Finish, Options, Participant, Resources, TransactionId, Transactions, Vote,
    ZnodeOperation, Znodes,
};

use crate::{STEP, resource, transaction};

struct Server {
    server: Mutex<TestServer>,
    last: Mutex<Option<Arc<Znodes>>>,
    reader: Client,
}

impl Server {
    async fn start() -> Self {
        let server = TestServer::start();
        let reader = open(&server.address()).await;
        reader.create_all("/had", &acl::open_acl()).await.unwrap();
        Self { server: Mutex::new(server), last: Mutex::default(), reader }
    }

    async fn new_participant(&self) -> Arc<Znodes> {
        let address = self.server.lock().unwrap().address();
        let client = open(&address).await;
        let participant = Arc::new(Znodes::new(&client, "/staged", STEP));
        *self.last.lock().unwrap() = Some(Arc::clone(&participant));
        participant
    }

    fn begin(&self, transaction: &TransactionId, operations: Vec<ZnodeOperation>) -> BranchId {
        let last = Arc::clone(self.last.lock().unwrap().as_ref().unwrap());
        let branch = last.begin(transaction, &resource());
        operations.into_iter().for_each(|operation| last.add(&branch, operation).unwrap());
        branch
    }
}

async fn open(address: &str) -> Client {
    Client::open(&address.parse().unwrap(), Settings::default()).await.unwrap()
}

#[async_trait]
impl Subject for Server {
    async fn participant(&self) -> Arc<dyn Participant> {
        self.new_participant().await
    }

    async fn work(&self, transaction: &TransactionId, value: u64) -> BranchId {
        self.begin(transaction, vec![ZnodeOperation::create(&format!("/had/{value}"), b"")])
    }

    async fn read(&self, transaction: &TransactionId) -> Option<BranchId> {
        Some(self.begin(transaction, Vec::new()))
    }

    async fn spoiled(&self, transaction: &TransactionId) -> Option<BranchId> {
        Some(self.begin(transaction, vec![ZnodeOperation::check("/had", 7)]))
    }

    async fn has(&self, value: u64) -> bool {
        self.reader.linearizable().exists(&format!("/had/{value}"), false).await.unwrap().is_some()
    }

    async fn lose_power(&self) -> bool {
        let mut server = self.server.lock().unwrap();
        server.stop();
        server.resume();
        true
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn znodes_conform() {
    check_all(&Server::start().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_on_several_znodes_are_one_change() {
    let server = Server::start().await;
    let participant = server.new_participant().await;
    let plain = CreateMode::Persistent;
    for path in ["/a", "/b", "/c"] {
        server.reader.create(path, Some(b"old"), &acl::open_acl(), plain).await.unwrap();
    }
    let operations = vec![
        ZnodeOperation::set_data("/a", b"new", 0),
        ZnodeOperation::delete("/b", 0),
        ZnodeOperation::check("/c", 0),
        ZnodeOperation::create("/d", b"d"),
        ZnodeOperation::create("/d/e", b"e"),
    ];
    let branch = server.begin(&transaction(), operations);
    assert!(matches!(participant.prepare(&branch).await, Vote::Prepared { .. }));
    assert_eq!(server.reader.get_data("/a", false).await.unwrap().0.unwrap(), b"old");
    // What is locked is refused to others, and free afterwards.
    let other = server.begin(&transaction(), vec![ZnodeOperation::set_data("/a", b"other", -1)]);
    let Vote::Refused(why) = participant.prepare(&other).await else { panic!("it was prepared") };
    assert_eq!(why, "/a is locked by another transaction");
    let at_once = server.begin(&transaction(), vec![ZnodeOperation::set_data("/c", b"other", -1)]);
    assert!(matches!(participant.commit_at_once(&at_once).await, Finish::Refused(_)));
    assert_eq!(participant.commit(&branch, "").await, Finish::Done);
    let reader = server.reader.linearizable();
    assert_eq!(reader.get_data("/a", false).await.unwrap().0.unwrap(), b"new");
    assert!(reader.exists("/b", false).await.unwrap().is_none());
    assert_eq!(reader.get_data("/d/e", false).await.unwrap().0.unwrap(), b"e");
    assert_eq!(reader.get_children("/staged/locks", false).await.unwrap().0, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_change_in_spite_of_a_lock_is_told() {
    let server = Server::start().await;
    let participant = server.new_participant().await;
    let plain = CreateMode::Persistent;
    server.reader.create("/a", Some(b"0"), &acl::open_acl(), plain).await.unwrap();
    let operations = vec![ZnodeOperation::set_data("/a", b"ours", 0), ZnodeOperation::create("/b", b"ours")];
    let branch = server.begin(&transaction(), operations);
    assert!(matches!(participant.prepare(&branch).await, Vote::Prepared { .. }));
    server.reader.set_data("/a", Some(b"theirs"), -1).await.unwrap();
    server.reader.create("/b", Some(b"theirs"), &acl::open_acl(), plain).await.unwrap();
    let Finish::Heuristic(heuristic) = participant.commit(&branch, "").await else { panic!("not told") };
    assert_eq!(heuristic.ending, Ending::Overwrote);
    assert!(heuristic.evidence.contains("/a") && heuristic.evidence.contains("/b"), "{heuristic:?}");
    for path in ["/a", "/b"] {
        assert_eq!(server.reader.linearizable().get_data(path, false).await.unwrap().0.unwrap(), b"ours");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_znode_is_in_a_branch_once() {
    let server = Server::start().await;
    let participant = server.new_participant().await;
    let branch = server.begin(&transaction(), vec![ZnodeOperation::check("/a", -1)]);
    let twice = participant.add(&branch, ZnodeOperation::delete("/a", -1)).unwrap_err();
    assert_eq!(twice.to_string(), "/a is in the transaction already");
}

/// What is staged may be secret, and who can delete a lock or a decision can split a transaction.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_transaction_keeps_belongs_to_the_identity_of_its_client() {
    let server = Server::start().await;
    let settings = Settings {
        credentials: vec![Credentials::new("digest", b"alice:secret")],
        acl: vec![Acl::new(acl::perms::ALL, "auth", "")],
        ..Settings::default()
    };
    let address = server.server.lock().unwrap().address();
    let owner = Client::open(&address.parse().unwrap(), settings).await.unwrap();
    let participant = Znodes::new(&owner, "/staged", STEP);
    let branch = participant.begin(&transaction(), &resource());
    participant.add(&branch, ZnodeOperation::create("/had/1", b"secret")).unwrap();
    assert!(matches!(participant.prepare(&branch).await, Vote::Prepared { .. }));
    let other = Znodes::new(&owner, "/other", STEP);
    let resources = Resources::new().znodes("znodes", other).unwrap();
    let _open = Transactions::open(&owner, "/log", resources, Options::default()).await.unwrap();
    let staged = ["/staged/branches", "/staged/locks"];
    let log = ["/log/cluster", "/log/coordinators", "/log/fences", "/log/decisions", "/log/resources"];
    let reader = server.reader.linearizable();
    for folder in staged.iter().chain(&log) {
        let (children, _) = owner.get_children(folder, false).await.unwrap();
        assert!(!children.is_empty() || ["/log/cluster", "/log/decisions"].contains(folder), "{folder}");
        let paths = children.iter().map(|child| format!("{folder}/{child}"));
        for path in paths.chain([(*folder).to_owned()]) {
            let refused = reader.get_data(&path, false).await.unwrap_err();
            assert_eq!(refused.code(), Some(ErrorCode::NoAuth), "{path}");
        }
    }
}

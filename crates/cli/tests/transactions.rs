//! `ostler transactions` as an operator runs it.

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use client::{Client, Settings, acl};
use serde_json::Value;
use testing::TestServer;
use transactions::{
    Options, Participant as _, ResourceName, Resources, TransactionId, Transactions, ZnodeOperation, Znodes,
};

const OSTLER: &str = env!("CARGO_BIN_EXE_ostler");

/// Only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_secs(10);

/// A server, and a file that names znodes of it as the only resource.
struct World {
    server: TestServer,
    folder: tempfile::TempDir,
}

impl World {
    fn start() -> Self {
        let world = Self { server: TestServer::start(), folder: tempfile::tempdir().unwrap() };
        let text = r#"{"resources": {"config": {"znodes": "/staged"}}}"#;
        std::fs::write(world.resources(), text).unwrap();
        world
    }

    fn resources(&self) -> PathBuf {
        self.folder.path().join("resources.json")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(OSTLER);
        command.arg("transactions").args(arguments).args(["-s", &self.server.address(), "--path", "/tx"]);
        command.arg("--resources").arg(self.resources());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments);
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// A transaction that is prepared and whose coordinator is gone.
    async fn orphan(&self, path: &str) -> TransactionId {
        let client =
            Client::open(&self.server.address().parse().unwrap(), Settings::default()).await.unwrap();
        let znodes = Znodes::new(&client, "/staged", STEP);
        let resources = Resources::new().znodes("config", Znodes::new(&client, "/staged", STEP)).unwrap();
        let options = Options { is_without_recovery: true, ..Options::default() };
        let transactions = Transactions::open(&client, "/tx", resources, options).await.unwrap();
        let id = transactions.begin().id();
        let branch = znodes.begin(&id, &ResourceName::new("config").unwrap());
        znodes.add(&branch, ZnodeOperation::create(path, b"")).unwrap();
        let vote = znodes.prepare(&branch).await;
        assert!(matches!(vote, transactions::Vote::Prepared { .. }), "{vote:?}");
        transactions.close().await;
        client.close().await.unwrap();
        id
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orphan_is_shown_and_resolved_by_hand() {
    let world = World::start();
    assert!(text(&world.run(&["list"])).contains("nothing is in doubt"));
    let id = world.orphan("/made").await;
    let name = id.to_string();
    let listed = world.json(&["orphans", "--json"]);
    assert_eq!(listed["transactions"][0]["id"], name.as_str());
    assert_eq!(listed["transactions"][0]["state"], "orphan");
    let shown = text(&world.run(&["show", &name]));
    assert!(shown.contains("coordinator: gone") && shown.contains("prepared: config"), "{shown}");
    let resolved = world.run(&["resolve", &name, "commit"]);
    assert!(resolved.status.success(), "{resolved:?}");
    assert!(text(&resolved).contains("config: finished"), "{resolved:?}");
    let client = Client::open(&world.server.address().parse().unwrap(), Settings::default()).await.unwrap();
    assert!(client.exists("/made", false).await.unwrap().is_some());
    assert_eq!(world.run(&["resolve", &name, "abort"]).status.code(), Some(4));
    assert!(world.run(&["resolve", &name, "forget"]).status.success());
    assert_eq!(world.run(&["show", &name]).status.code(), Some(3));
    assert_eq!(world.run(&["show", "nonsense"]).status.code(), Some(2));
}

/// Ends the process with itself.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().and_then(|()| self.0.wait()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_recovery_rolls_an_orphan_back_and_tells_its_metrics() {
    let world = World::start();
    world.orphan("/made").await;
    let port = testing::listen().local_addr().unwrap();
    let mut command = world.command(&["run", "--metrics", &port.to_string()]);
    let _running = Running(command.stdout(Stdio::null()).spawn().unwrap());
    let deadline = Instant::now() + PATIENCE;
    while world.json(&["list", "--json"])["transactions"].as_array().is_none_or(|list| !list.is_empty()) {
        assert!(Instant::now() < deadline, "it stays in doubt");
        std::thread::sleep(Duration::from_millis(50));
    }
    let client = Client::open(&world.server.address().parse().unwrap(), Settings::default()).await.unwrap();
    assert!(client.exists("/made", false).await.unwrap().is_none());
    client.create_all("/made", &acl::open_acl()).await.unwrap();
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(port).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("ostler_transactions_recovered_total 1"), "{answer}");
}

#[test]
fn a_file_that_names_no_resources_is_refused() {
    let world = World::start();
    for (content, why) in [
        ("{}", "missing field"),
        (r#"{"resources": {"a": {"oracle": "x"}}}"#, "unknown variant"),
        (r#"{"resources": {"A b": {"znodes": "/x"}}}"#, "not the name of a resource"),
        (r#"{"resources": {"a": {"mariadb": "nonsense"}}}"#, "the URL of MariaDB"),
    ] {
        std::fs::write(world.resources(), content).unwrap();
        let output = world.run(&["list"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && said.contains(why), "{content}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_asked_over_tls_if_the_options_name_whom_to_trust() {
    let authority = testing::Authority::new("right");
    let Some(postgres) = testing::Postgres::start_with_tls(&authority.issue("127.0.0.1")) else { return };
    let world = World::start();
    let connection = postgres.connection();
    let text = serde_json::json!({ "resources": { "orders": { "postgres": connection } } });
    std::fs::write(world.resources(), text.to_string()).unwrap();
    // A program has taken part with it.
    let address = world.server.address().parse().unwrap();
    let client = Client::open(&address, Settings::default()).await.unwrap();
    let orders = transactions::Postgres::new(&connection, STEP).unwrap();
    let resources = Resources::new().postgres("orders", orders).unwrap();
    let options = Options { is_without_recovery: true, ..Options::default() };
    Transactions::open(&client, "/tx", resources, options).await.unwrap().close().await;
    let (right, wrong) = (world.folder.path().join("right.pem"), world.folder.path().join("wrong.pem"));
    std::fs::write(&right, authority.pem()).unwrap();
    std::fs::write(&wrong, testing::Authority::new("wrong").pem()).unwrap();
    let listed = |ca: &[&str]| self::text(&world.run(&[&["list"], ca].concat()));
    let without = listed(&[]);
    assert!(without.contains("orders could not be asked") && without.contains("no encryption"), "{without}");
    let (right, wrong) = (right.to_str().unwrap(), wrong.to_str().unwrap());
    let trusting = listed(&["--database-ca", right]);
    assert!(!trusting.contains("could not be asked"), "{trusting}");
    let refusing = listed(&["--database-ca", wrong]);
    assert!(refusing.contains(&format!("its certificate is not accepted by {wrong}")), "{refusing}");
    let missing = world.run(&["list", "--database-ca", "/does/not/exist"]);
    assert!(String::from_utf8_lossy(&missing.stderr).contains("/does/not/exist"), "{missing:?}");
    assert_eq!(missing.status.code(), Some(1));
}

//! TLS to databases that take no other connections, and to one that has none.

use std::path::PathBuf;

use mysql_async::prelude::Queryable as _;
use tempfile::TempDir;
use testing::Authority;
use transactions::{DatabaseCa, Finish, MariaDb, Participant, Postgres, Trouble, Vote};

use crate::{STEP, resource, transaction};

const HOST: &str = "127.0.0.1";

/// Files of certificates to trust: those of the authority that has signed the servers' and those of
/// another.
struct Files {
    folder: TempDir,
    authority: Authority,
}

impl Files {
    fn new() -> Self {
        let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new("right"));
        let files = Self { folder, authority };
        std::fs::write(files.right(), files.authority.pem()).unwrap();
        std::fs::write(files.wrong(), Authority::new("wrong").pem()).unwrap();
        files
    }

    fn right(&self) -> PathBuf {
        self.folder.path().join("right.pem")
    }

    fn wrong(&self) -> PathBuf {
        self.folder.path().join("wrong.pem")
    }
}

/// Why a participant cannot take part.
async fn refusal(participant: Result<impl Participant, Trouble>) -> String {
    match participant.unwrap().check().await {
        Err(Trouble::Unfit(why)) => why,
        other => panic!("{other:?}"),
    }
}

/// Prepares and commits a branch, which a second participant then does not find.
async fn commits(participant: &impl Participant, branch: &transactions::BranchId) {
    let vote = participant.prepare(branch).await;
    let Vote::Prepared { receipt } = vote else { panic!("{vote:?}") };
    assert_eq!(participant.prepared(branch.transaction.cluster).await.unwrap().len(), 1);
    assert_eq!(participant.commit(branch, &receipt).await, Finish::Done);
}

async fn commits_encrypted_in_postgres(participant: Postgres) {
    let (branch, session) = participant.begin(&transaction(), &resource()).await.unwrap();
    let ask = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let is_encrypted: bool = session.query_one(ask, &[]).await.unwrap().get(0);
    assert!(is_encrypted);
    session.batch_execute("CREATE TABLE IF NOT EXISTS a (b int); INSERT INTO a VALUES (1)").await.unwrap();
    drop(session);
    commits(&participant, &branch).await;
}

async fn commits_encrypted_in_mariadb(participant: MariaDb) {
    let (branch, mut session) = participant.begin(&transaction(), &resource()).await.unwrap();
    let cipher: Option<(String, String)> =
        session.query_first("SHOW SESSION STATUS LIKE 'Ssl_cipher'").await.unwrap();
    assert!(!cipher.unwrap().1.is_empty());
    session.query_drop("INSERT INTO had VALUES (1)").await.unwrap();
    drop(session);
    commits(&participant, &branch).await;
}

#[tokio::test]
async fn postgres_is_connected_to_as_its_connection_string_demands() {
    let files = Files::new();
    let Some(server) = testing::Postgres::start_with_tls(&files.authority.issue(HOST)) else { return };
    let with = |what: &str| Postgres::new(&format!("{} {what}", server.connection()), STEP);
    let (right, wrong) = (files.right().display().to_string(), files.wrong().display().to_string());
    commits_encrypted_in_postgres(with("sslmode=require").unwrap()).await;
    commits_encrypted_in_postgres(with(&format!("sslmode=verify-full sslrootcert={right}")).unwrap()).await;
    let url = server.connection();
    let port = url.split(' ').find_map(|word| word.strip_prefix("port=")).unwrap();
    let url = format!("postgres://ostler@{HOST}:{port}/postgres?sslmode=verify-ca&sslrootcert={right}");
    commits_encrypted_in_postgres(Postgres::new(&url, STEP).unwrap()).await;
    let ca = DatabaseCa::read(&files.right()).unwrap();
    commits_encrypted_in_postgres(Postgres::new_with_ca(&server.connection(), STEP, &ca).unwrap()).await;
    for mode in ["require", "verify-ca", "verify-full"] {
        let why = refusal(with(&format!("sslmode={mode} sslrootcert={wrong}"))).await;
        assert!(why.contains(&wrong) && why.contains("UnknownIssuer"), "{why}");
    }
    for plain in ["", "sslmode=disable", "sslmode=prefer"] {
        let why = refusal(with(plain)).await;
        assert!(why.contains("no encryption"), "{why}");
    }
}

#[tokio::test]
async fn postgres_with_the_certificate_of_another_host_is_refused_where_hosts_are_verified() {
    let files = Files::new();
    let Some(server) = testing::Postgres::start_with_tls(&files.authority.issue("db1.example")) else {
        return;
    };
    let ca = format!("sslrootcert={}", files.right().display());
    let with = |mode| Postgres::new(&format!("{} sslmode={mode} {ca}", server.connection()), STEP);
    let why = refusal(with("verify-full")).await;
    assert!(why.contains("NotValidForName"), "{why}");
    with("verify-ca").unwrap().check().await.unwrap();
}

#[tokio::test]
async fn mariadb_is_connected_to_as_its_url_demands() {
    let files = Files::new();
    let Some(server) = testing::MariaDb::start_with_tls(&files.authority.issue(HOST)) else { return };
    let with = |what: &str| MariaDb::new(&format!("{}{what}", server.url()), STEP);
    let (right, wrong) = (files.right().display().to_string(), files.wrong().display().to_string());
    let ca = DatabaseCa::read(&files.right()).unwrap();
    let beside = format!("{}?require_ssl=true&verify_ca=false", server.url());
    let mut beside = mysql_async::Conn::from_url(beside).await.unwrap();
    beside.query_drop("CREATE TABLE had (value BIGINT)").await.unwrap();
    commits_encrypted_in_mariadb(MariaDb::new_with_ca(&server.url(), STEP, &ca).unwrap()).await;
    commits_encrypted_in_mariadb(with(&format!("?ssl_ca={right}")).unwrap()).await;
    commits_encrypted_in_mariadb(with("?require_ssl=true&verify_ca=false").unwrap()).await;
    for url in [format!("?ssl_ca={wrong}"), "?require_ssl=true".to_owned()] {
        let why = refusal(with(&url)).await;
        assert!(why.contains("certificate") && why.contains("UnknownIssuer"), "{why}");
    }
    let why = refusal(with("")).await;
    assert!(why.contains("a server that demands TLS"), "{why}");
}

#[tokio::test]
async fn mariadb_with_the_certificate_of_another_host_is_refused() {
    let files = Files::new();
    let Some(server) = testing::MariaDb::start_with_tls(&files.authority.issue("db2.example")) else {
        return;
    };
    let url = format!("{}?ssl_ca={}", server.url(), files.right().display());
    for url in [url.clone(), format!("{url}&verify_identity=false")] {
        let why = refusal(MariaDb::new(&url, STEP)).await;
        assert!(why.contains("not valid for"), "{why}");
    }
}

#[tokio::test]
async fn a_database_without_tls_is_refused_where_tls_is_demanded() {
    let files = Files::new();
    let ca = DatabaseCa::read(&files.right()).unwrap();
    let Some(postgres) = testing::Postgres::start() else { return };
    let why = refusal(Postgres::new_with_ca(&postgres.connection(), STEP, &ca)).await;
    assert!(why.contains("does not support TLS"), "{why}");
    let plain = format!("{} sslmode=disable", postgres.connection());
    Postgres::new_with_ca(&plain, STEP, &ca).unwrap().check().await.unwrap();
    let Some(mariadb) = testing::MariaDb::start() else { return };
    let why = refusal(MariaDb::new_with_ca(&mariadb.url(), STEP, &ca)).await;
    assert!(why.contains("does not support TLS"), "{why}");
    let plain = format!("{}?require_ssl=false", mariadb.url());
    MariaDb::new_with_ca(&plain, STEP, &ca).unwrap().check().await.unwrap();
}

#[test]
fn a_file_without_certificates_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("empty.pem");
    std::fs::write(&path, "nothing").unwrap();
    let Err(Trouble::Unfit(why)) = DatabaseCa::read(&path) else { panic!("it is taken") };
    assert!(why.contains("empty.pem"), "{why}");
}

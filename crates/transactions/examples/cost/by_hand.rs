//! Two-phase commit as a program would write it, with all statements that have to be sent and no
//! more.

use std::sync::atomic::{AtomicU64, Ordering};

use mysql_async::Conn;
use mysql_async::prelude::Queryable as _;
use tokio_postgres::{Client, NoTls};

use crate::accounts::update;
use crate::file_log::FileLog;

/// A client with a connection to each database.
pub(crate) struct Hand {
    postgres: Client,
    mariadb: Conn,
    number: u64,
}

impl Hand {
    pub(crate) async fn open(postgres: &str, mariadb: &str, number: u64) -> Hand {
        let (client, connection) = tokio_postgres::connect(postgres, NoTls).await.expect("PostgreSQL");
        tokio::spawn(connection);
        Hand { postgres: client, mariadb: Conn::from_url(mariadb).await.expect("MariaDB"), number }
    }

    /// One transfer, whose decision is written to a log, if there is one.
    pub(crate) async fn transfer(&mut self, log: Option<&FileLog>, account: usize) {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let name = format!("hand-{}-{}", self.number, NEXT.fetch_add(1, Ordering::Relaxed));
        let (postgres, mariadb) = (&self.postgres, &mut self.mariadb);
        postgres.batch_execute("BEGIN").await.expect("BEGIN");
        postgres.batch_execute(&update(-1, account)).await.expect("a transfer");
        mariadb.query_drop(format!("XA START '{name}'")).await.expect("XA START");
        mariadb.query_drop(update(1, account)).await.expect("a transfer");
        let prepare =
            (format!("PREPARE TRANSACTION '{name}'"), format!("XA END '{name}'; XA PREPARE '{name}'"));
        let (one, other) = tokio::join!(postgres.batch_execute(&prepare.0), mariadb.query_drop(prepare.1));
        one.expect("PREPARE TRANSACTION");
        other.expect("XA PREPARE");
        if let Some(log) = log {
            log.write(format!("commit {name} postgres mariadb\n")).await;
        }
        let commit = (format!("COMMIT PREPARED '{name}'"), format!("XA COMMIT '{name}'"));
        let (one, other) = tokio::join!(postgres.batch_execute(&commit.0), mariadb.query_drop(commit.1));
        one.expect("COMMIT PREPARED");
        other.expect("XA COMMIT");
    }
}

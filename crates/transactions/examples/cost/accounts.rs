//! The accounts in both databases.

use mysql_async::Conn;
use mysql_async::prelude::Queryable as _;
use tokio_postgres::{Client, NoTls};

/// Accounts, one for each client: they do not wait for each other's locks.
const ACCOUNTS: usize = 64;
/// What each of them has at first.
const BALANCE: i64 = 1_000_000_000;

/// A connection to each database.
pub(crate) struct Accounts {
    postgres: Client,
    mariadb: Conn,
}

/// The statement of a transfer in one database.
pub(crate) fn update(amount: i64, account: usize) -> String {
    format!("UPDATE accounts SET balance = balance + {amount} WHERE id = {account}")
}

impl Accounts {
    pub(crate) async fn create(postgres: &str, mariadb: &str) -> Accounts {
        let (client, connection) = tokio_postgres::connect(postgres, NoTls).await.expect("PostgreSQL");
        tokio::spawn(connection);
        let mut other = Conn::from_url(mariadb).await.expect("MariaDB");
        let table = "CREATE TABLE accounts (id INT PRIMARY KEY, balance BIGINT NOT NULL)";
        client.batch_execute(table).await.expect("a table");
        other.query_drop(table).await.expect("a table");
        for id in 0..ACCOUNTS {
            let row = format!("INSERT INTO accounts VALUES ({id}, {BALANCE})");
            client.batch_execute(&row).await.expect("a row");
            other.query_drop(row).await.expect("a row");
        }
        Accounts { postgres: client, mariadb: other }
    }

    /// How much has left the accounts in PostgreSQL; as much has come to those in MariaDB.
    pub(crate) async fn moved(&mut self) -> i64 {
        let sum = "SELECT CAST(SUM(balance) AS SIGNED) FROM accounts";
        let came: Option<i64> = self.mariadb.query_first(sum).await.expect("a sum");
        let sum = sum.replace("SIGNED", "BIGINT");
        let left: i64 = self.postgres.query_one(&sum, &[]).await.expect("a sum").get(0);
        let (at_first, came) = (BALANCE * ACCOUNTS as i64, came.expect("a row"));
        assert_eq!(left + came, 2 * at_first, "money was made or lost");
        at_first - left
    }
}

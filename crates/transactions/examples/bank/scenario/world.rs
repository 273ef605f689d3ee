//! The stores of the bank.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use client::{Client, CreateMode, acl};
use mysql_async::Conn;
use mysql_async::prelude::Queryable as _;
use tokio_postgres::{NoTls, SimpleQueryMessage};

use super::cable::Cable;
use super::places::Places;
use super::service::Service;

/// Accounts in each store.
pub(super) const ACCOUNTS: u64 = 8;
/// Money in each account at first.
pub(super) const BALANCE: i64 = 1_000;
/// Where the decisions are.
pub(super) const TRANSACTIONS: &str = "/transactions/bank";
/// Bounds each exchange with a participant.
pub(super) const STEP: Duration = Duration::from_millis(800);

/// A store that is one server.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Store {
    /// PostgreSQL.
    Postgres,
    /// MariaDB.
    MariaDb,
    /// The service.
    Service,
}

/// The servers.
pub(super) struct World {
    pub(super) postgres: testing::Postgres,
    pub(super) mariadb: testing::MariaDb,
    pub(super) ensemble: testing::Ensemble,
    pub(super) service: Service,
    /// Where all but the judges find the stores: databases and service through cables.
    pub(super) places: Places,
    cables: Cables,
    /// With what this program is started to be a teller.
    pub(super) arguments: &'static [&'static str],
}

/// The cables to databases and service, each for all processes that use it.
struct Cables {
    postgres: Arc<Cable>,
    mariadb: Arc<Cable>,
    service: Arc<Cable>,
}

impl World {
    /// Starts the servers; `None` where the databases cannot be had.
    pub(super) async fn start(arguments: &'static [&'static str]) -> Option<World> {
        let postgres = testing::Postgres::start()?;
        let mariadb = testing::MariaDb::start()?;
        let ensemble = testing::Ensemble::start(arguments);
        let service = Service::start(arguments);
        println!("PostgreSQL, MariaDB, a service and three Ostler servers ({}) run", ensemble.addresses());
        let places = Places {
            ensemble: ensemble.addresses(),
            postgres: postgres.connection(),
            mariadb: mariadb.url(),
            service: service.url(),
        };
        let cables = Cables { postgres: Cable::new(), mariadb: Cable::new(), service: Cable::new() };
        let places = places.each_through(&cables.postgres, &cables.mariadb, &cables.service).await;
        Some(World { postgres, mariadb, ensemble, service, places, cables, arguments })
    }

    /// The cable through which tellers and recovery reach a store.
    pub(super) fn cable(&self, store: Store) -> &Arc<Cable> {
        match store {
            Store::Postgres => &self.cables.postgres,
            Store::MariaDb => &self.cables.mariadb,
            Store::Service => &self.cables.service,
        }
    }

    /// A session of the ensemble, as short as a teller's.
    pub(super) async fn client(&self) -> Client {
        open_client(&self.ensemble.addresses()).await
    }

    /// Runs a statement of PostgreSQL; the first column of each row.
    pub(super) async fn postgres(&self, statement: &str) -> Vec<String> {
        let connecting = tokio_postgres::connect(&self.postgres.connection(), NoTls).await;
        let (client, connection) = connecting.expect("PostgreSQL");
        tokio::spawn(connection);
        let rows = client.simple_query(statement).await.expect("a statement of PostgreSQL");
        let value = |row: &SimpleQueryMessage| match row {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        };
        rows.iter().filter_map(value).collect()
    }

    /// Runs a statement of MariaDB; the first column of each row.
    pub(super) async fn mariadb(&self, statement: &str) -> Vec<String> {
        let mut connection = Conn::from_url(self.mariadb.url()).await.expect("MariaDB");
        connection.query(statement).await.expect("a statement of MariaDB")
    }

    /// Gives each account its money.
    pub(super) async fn open_accounts(&mut self) {
        let tables = [
            "CREATE TABLE accounts (id INT PRIMARY KEY, balance BIGINT NOT NULL)",
            "CREATE TABLE moved (id VARCHAR(100) PRIMARY KEY)",
        ];
        for table in tables {
            self.postgres(table).await;
            self.mariadb(table).await;
        }
        let client = self.client().await;
        let open = acl::open_acl();
        for folder in ["/bank/accounts", "/bank/moved"] {
            client.create_all(folder, &open).await.expect("a znode");
        }
        for id in 0..ACCOUNTS {
            let row = format!("INSERT INTO accounts VALUES ({id}, {BALANCE})");
            self.postgres(&row).await;
            self.mariadb(&row).await;
            let (path, balance) = (format!("/bank/accounts/{id}"), BALANCE.to_string());
            let created = client.create(&path, Some(balance.as_bytes()), &open, CreateMode::Persistent);
            created.await.expect("a znode");
        }
        client.close().await.expect("the end of a session");
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Store::Postgres => "PostgreSQL",
            Store::MariaDb => "MariaDB",
            Store::Service => "the service",
        })
    }
}

/// Opens a session of 1.5 s, however long it takes until there is a server.
pub(super) async fn open_client(addresses: &str) -> Client {
    let servers = addresses.parse().expect("a connect string");
    loop {
        let settings = client::Settings { timeout_ms: 1_500, ..client::Settings::default() };
        match Client::open(&servers, settings).await {
            Ok(client) => return client,
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

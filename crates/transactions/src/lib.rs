//! One change in several databases, all or none.
//!
//! A [`Transaction`] works in databases of PostgreSQL and MariaDB, in znodes and in services, and
//! commits in all of them or in none. What is decided stands in the znodes of an ensemble, so any
//! process can finish what another has begun.
//!
//! ```no_run
//! # async fn example(client: client::Client) -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use transactions::{MariaDb, Options, Postgres, Resources, Transactions};
//!
//! let step = Duration::from_secs(2);
//! let resources = Resources::new()
//!     .postgres("orders", Postgres::new("host=db1 user=shop dbname=shop", step)?)?
//!     .mariadb("stock", MariaDb::new("mysql://shop@db2/shop", step)?)?;
//! let transactions = Transactions::open(&client, "/transactions/shop", resources,
//! Options::default()).await?;
//!
//! let mut transaction = transactions.begin();
//! let orders = transaction.postgres("orders").await?;
//! orders.execute("INSERT INTO orders VALUES (7)", &[]).await?;
//! drop(orders);
//! let mut stock = transaction.mariadb("stock").await?;
//! use mysql_async::prelude::Queryable as _;
//! stock.query_drop("UPDATE stock SET count = count - 1 WHERE item = 7").await?;
//! drop(stock);
//! transaction.commit().await?;
//! # Ok(())
//! # }
//! ```
//!
//! What is promised, and what a reader may see between the commits of two databases, is in
//! `docs/build/transactions.md`.

mod configuration;
pub mod conformance;
mod coordinator;
mod database_tls;
mod forgetting;
mod http;
mod log;
mod mariadb;
mod metrics;
mod observer;
mod office;
mod participant;
mod postgres;
mod recovery;
mod resources;
mod sessions;
mod shared;
pub mod three_phase;
mod transaction;
mod transactions;
mod turns;
mod znodes;

pub use commit::Settings;
pub use commit::branch::{BadName, Branch, ResourceName};
pub use commit::decision::Decision;
pub use commit::id::{BranchId, Cluster, TransactionId};
pub use commit::record::{PreparedBranch, Record};
pub use configuration::{BadConfiguration, configured, configured_with_ca};
pub use database_tls::DatabaseCa;
pub use http::Http;
pub use log::LogError;
pub use mariadb::{MariaDb, MariaDbSession};
pub use metrics::Metrics;
pub use observer::{Observer, Step, When};
pub use office::{Office, OfficeError, Overview, Resolved, View};
pub use participant::{Ending, Finish, Heuristic, Participant, Prepared, Trouble, Vote};
pub use postgres::{Postgres, PostgresSession};
pub use recovery::{DoubtReport, Report, ResourceReport};
pub use resources::{BadResource, Resources};
pub use sessions::Lent;
pub use transaction::{CommitError, Committed, Transaction, WorkError};
pub use transactions::{Options, Transactions};
pub use znodes::{StageError, ZnodeOperation, Znodes};

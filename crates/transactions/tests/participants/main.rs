//! Each participant at what is behind it.

mod http;
mod mariadb;
mod postgres;
mod service;
mod tls;
mod znodes;

use std::time::Duration;

use transactions::{Cluster, ResourceName, TransactionId};

/// Bounds each exchange. Generous: no check waits for it but those that stop a server.
const STEP: Duration = Duration::from_secs(10);

fn resource() -> ResourceName {
    ResourceName::new("subject").expect("a name")
}

/// A transaction of a cluster that no other test has.
fn transaction() -> TransactionId {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    TransactionId { cluster: Cluster(now.as_nanos() as u64), coordinator: 1, number: 1 }
}

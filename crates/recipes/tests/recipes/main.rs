//! The recipes at a real server.

mod acls;
mod config;
mod discovery;
mod elections;
mod leases;
mod locks;
mod queues;
mod rendezvous;

use std::time::Duration;

use client::{Client, Settings};
use testing::TestServer;

/// Only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it happens in time")
}

async fn client(server: &TestServer) -> Client {
    Client::open(&server.address().parse().expect("a connect string"), Settings::default())
        .await
        .expect("a session")
}

/// Ends a session without its client's knowledge.
async fn expire(server: &TestServer, client: &Client) {
    let servers = server.address().parse().expect("a connect string");
    loop {
        // A client that resumes a session takes it from the other one, which takes it back at once.
        match Client::resume(&servers, Settings::default(), &client.identity(), 0).await {
            // Whether it has ended is known from the next attempt.
            Ok(other) => drop(other.close().await),
            Err(client::Error::SessionExpired) => return,
            // The other one comes back at the same moment.
            Err(client::Error::NoServer(_)) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

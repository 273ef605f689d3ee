//! Stands in an election and counts seconds while it leads; run it several times and stop the
//! leader: `leader HOST:PORT NAME`.

use std::time::Duration;

use client::{Client, Settings};
use recipes::Election;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let server = arguments.next().unwrap_or_else(|| "127.0.0.1:2181".to_owned());
    let name = arguments.next().unwrap_or_else(|| std::process::id().to_string());
    let client = Client::open(&server.parse()?, Settings::default()).await?;
    let election = Election::new(&client, "/examples/election");
    let mut leader = election.observe();
    tokio::spawn(async move {
        while leader.changed().await.is_ok() {
            let id = leader.borrow_and_update().clone().unwrap_or_default();
            println!("the leader is '{}'", String::from_utf8_lossy(&id));
        }
    });
    // Leads until the session is over; the future is dropped when the leadership may be lost.
    let lead = |token| async move {
        for second in 1_u64.. {
            println!("leading for {second} s, with the token {token}");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    election.run(name.as_bytes(), lead).await?;
    Ok(())
}

//! Puts ten items into a queue and works on them; an item of a worker that dies comes back:
//! `queue HOST:PORT`.

use client::{Client, Settings};
use recipes::Queue;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:2181".to_owned());
    let client = Client::open(&server.parse()?, Settings::default()).await?;
    let queue = Queue::new(&client, "/examples/queue");
    for number in 0..10 {
        queue.put(format!("item {number}").as_bytes(), 100).await?;
    }
    while let Some(item) = queue.try_take().await? {
        println!("working on {}", String::from_utf8_lossy(&item.data));
        if !item.acknowledge().await? {
            println!("another worker may have taken it meanwhile");
        }
    }
    client.close().await?;
    Ok(())
}

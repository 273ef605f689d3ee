//! Changes a znode under a lock, so that nobody else changes it meanwhile, and so that the change
//! is refused if the lock was lost: `lock HOST:PORT`.

use client::{Client, CreateMode, Settings, Transaction, acl};
use recipes::Mutex;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:2181".to_owned());
    let client = Client::open(&server.parse()?, Settings::default()).await?;
    client.create_if_not_exists("/counter", Some(b"0"), &acl::open_acl(), CreateMode::Persistent).await?;

    let guard = Mutex::new(&client, "/locks/counter").with_holder("example").lock().await?;
    println!("held, with the token {}", guard.token());
    let (data, stat) = client.get_data("/counter", false).await?;
    let count: u64 = String::from_utf8(data.unwrap_or_default())?.parse()?;
    let next = (count + 1).to_string();
    let change =
        Transaction::new().then(guard.check()).set_data("/counter", Some(next.as_bytes()), stat.version);
    change.commit(&client).await?;
    println!("the counter is {next}");
    guard.release().await?;
    client.close().await?;
    Ok(())
}

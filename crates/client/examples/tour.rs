//! Uses everything the client has at one server or several: `tour HOST:PORT[,HOST:PORT…]`. The
//! tests run it against Ostler and against Apache ZooKeeper, and restart the server when it asks
//! for it with `RESTART 0x<session>` on standard output, which they answer with `RESTARTED`.

use std::io::Write as _;
use std::time::Duration;

use client::{
    AddWatchMode, Client, ConnectString, CreateMode, ErrorCode, EventType, Settings, Transaction,
    WatchUpdate, acl,
};

type Failure = Box<dyn std::error::Error>;

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let servers: ConnectString = std::env::args().nth(1).ok_or("usage: tour HOST:PORT[,…]")?.parse()?;
    let client = Client::open(&servers, Settings::default()).await?;
    client.create_all("/tour/below", &acl::open_acl()).await?;
    znodes(&client).await?;
    extensions(&client).await?;
    watches(&client).await?;
    handover(&servers).await?;
    restart(&client).await?;
    client.delete_recursive("/tour", 100).await?;
    client.close().await?;
    say("PASSED")
}

fn say(line: &str) -> Result<(), Failure> {
    let mut output = std::io::stdout();
    writeln!(output, "{line}")?;
    Ok(output.flush()?)
}

async fn soon<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    Ok(tokio::time::timeout(PATIENCE, future).await?)
}

async fn znodes(client: &Client) -> Result<(), Failure> {
    let open = acl::open_acl();
    let (path, stat) =
        client.create_with_stat("/tour/n-", Some(b"1"), &open, CreateMode::EphemeralSequential).await?;
    assert!(path.starts_with("/tour/n-0") && stat.ephemeral_owner == client.identity().id);
    let (data, seen) = client.linearizable().get_data(&path, false).await?;
    assert_eq!((data.as_deref(), seen.czxid), (Some(&b"1"[..]), stat.czxid));
    let error = client.set_data(&path, None, 7).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::BadVersion));
    let both = Transaction::new().check(&path, 0).delete(&path, 0);
    assert_eq!(both.commit(client).await?.len(), 2);
    assert!(client.exists(&path, false).await?.is_none());
    say("znodes")
}

async fn extensions(client: &Client) -> Result<(), Failure> {
    let open = acl::open_acl();
    for _ in 0..2 {
        client.create_if_not_exists("/tour/a", Some(b"1"), &open, CreateMode::Persistent).await?;
    }
    let (children, _) = client.children_with_data("/tour").await?;
    let names: Vec<&str> = children.iter().map(|child| child.name.as_str()).collect();
    assert_eq!((names, children[0].data.as_deref()), (vec!["a", "below"], Some(&b"1"[..])));
    assert!(client.try_delete("/tour/a", -1).await? && !client.try_delete("/tour/a", -1).await?);
    client.create_all("/tour/deep/er", &open).await?;
    assert!(client.delete_recursive("/tour/deep", 1).await.is_err());
    client.delete_recursive("/tour/deep", 2).await?;
    assert!(client.exists("/tour/deep", false).await?.is_none());
    say("extensions")
}

async fn watches(client: &Client) -> Result<(), Failure> {
    let open = acl::open_acl();
    let cache = client.tree_cache("/tour").await?;
    let mut stream = client.watch("/tour/below", AddWatchMode::Persistent).await?;
    let (none, mut created) = client.exists_and_watch("/tour/below/c").await?;
    assert!(none.is_none());
    client.create("/tour/below/c", Some(b"c"), &open, CreateMode::Persistent).await?;
    assert_eq!(cache.get("/tour/below/c").await?.map(|node| node.data.to_vec()), Some(b"c".to_vec()));
    let event = soon(created.fired()).await?.ok_or("the session ended")?;
    assert_eq!((event.event_type, event.path.as_str()), (EventType::NodeCreated, "/tour/below/c"));
    let update = soon(stream.next()).await?;
    let is_meant = |event: &client::WatchEvent| event.event_type == EventType::NodeChildrenChanged;
    assert!(matches!(&update, Some(WatchUpdate::Event(event)) if is_meant(event)), "{update:?}");
    client.delete("/tour/below/c", -1).await?;
    assert_eq!(cache.get("/tour/below/c").await?, None);
    say("watches")
}

async fn handover(servers: &ConnectString) -> Result<(), Failure> {
    let one = Client::open(servers, Settings::default()).await?;
    one.create("/tour/mine", None, &acl::open_acl(), CreateMode::Ephemeral).await?;
    let (identity, last_zxid) = one.detach();
    let other = Client::resume(servers, Settings::default(), &identity, last_zxid).await?;
    let stat = other.exists("/tour/mine", false).await?.ok_or("it is gone")?;
    assert_eq!(stat.ephemeral_owner, other.identity().id);
    other.close().await?;
    say("handover")
}

/// The server is killed and started again: watches go on, or say that something may be missing.
async fn restart(client: &Client) -> Result<(), Failure> {
    let cache = client.tree_cache("/tour").await?;
    let mut stream = client.watch("/tour/below", AddWatchMode::Persistent).await?;
    let (_, mut watch) = client.get_data_and_watch("/tour/below").await?;
    say(&format!("RESTART {:#x}", client.identity().id))?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    assert_eq!(answer.trim(), "RESTARTED");
    assert_eq!(soon(stream.next()).await?, Some(WatchUpdate::Missed));
    client.set_data("/tour/below", Some(b"after"), -1).await?;
    let event = soon(watch.fired()).await?.ok_or("the session ended")?;
    assert_eq!(event.event_type, EventType::NodeDataChanged);
    let node = cache.get("/tour/below").await?.ok_or("it is gone")?;
    assert_eq!(&node.data[..], b"after");
    say("restart")
}

//! Operations a second and CPU for each of this client, or of the crate `zookeeper-client`:
//! `throughput ostler|zookeeper-client SERVER get|set DEPTH SECONDS`. `bench/clients.sh` compares
//! both with the load generator.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use client::{Client, CreateMode, Settings, acl};

const PATH: &str = "/throughput";
const BYTES: usize = 100;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What is measured.
struct Load {
    is_write: bool,
    depth: usize,
    seconds: f64,
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [which, server, workload, depth, seconds] = arguments.as_slice() else {
        return Err("usage: throughput ostler|zookeeper-client SERVER get|set DEPTH SECONDS".into());
    };
    let is_write = match workload.as_str() {
        "get" => false,
        "set" => true,
        other => return Err(format!("{other}: get or set").into()),
    };
    let load = Load { is_write, depth: depth.parse()?, seconds: seconds.parse()? };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match which.as_str() {
            "ostler" => ours(server, &load).await,
            "zookeeper-client" => theirs(server, &load).await,
            other => Err(format!("{other}: ostler or zookeeper-client").into()),
        }
    })
}

async fn ours(server: &str, load: &Load) -> Result<(), Failure> {
    let client = Client::open(&server.parse()?, Settings::default()).await?;
    client.create_if_not_exists(PATH, Some(&[7; BYTES]), &acl::open_acl(), CreateMode::Persistent).await?;
    let is_write = load.is_write;
    run(load, async || {
        match is_write {
            true => drop(client.set_data(PATH, Some(&[7; BYTES]), -1).await?),
            false => drop(client.get_data(PATH, false).await?),
        }
        Ok(())
    })
    .await
}

async fn theirs(server: &str, load: &Load) -> Result<(), Failure> {
    let client = zookeeper_client::Client::connect(server).await?;
    let open = zookeeper_client::CreateMode::Persistent.with_acls(zookeeper_client::Acls::anyone_all());
    match client.create(PATH, &[7; BYTES], &open).await {
        Ok(_) | Err(zookeeper_client::Error::NodeExists) => {}
        Err(error) => return Err(error.into()),
    }
    let is_write = load.is_write;
    run(load, async || {
        match is_write {
            true => drop(client.set_data(PATH, &[7; BYTES], None).await?),
            false => drop(client.get_data(PATH).await?),
        }
        Ok(())
    })
    .await
}

/// Keeps `depth` operations under way, for a second to warm up and for the time that counts.
async fn run(load: &Load, operation: impl AsyncFn() -> Result<(), Failure>) -> Result<(), Failure> {
    let (count, ends) = (Arc::new(AtomicU64::new(0)), Instant::now() + Duration::from_secs(1));
    let repeat = async |ends: Instant| -> Result<(), Failure> {
        while Instant::now() < ends {
            operation().await?;
            count.fetch_add(1, Relaxed);
        }
        Ok(())
    };
    all(load.depth, async || repeat(ends).await).await?;
    count.store(0, Relaxed);
    let (began, cpu) = (Instant::now(), cpu_seconds());
    let ends = began + Duration::from_secs_f64(load.seconds);
    all(load.depth, async || repeat(ends).await).await?;
    let (elapsed, cpu) = (began.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let operations = count.load(Relaxed) as f64;
    println!("{:.0} operations/s, {:.3} us of CPU each", operations / elapsed, cpu * 1e6 / operations);
    Ok(())
}

/// Runs that many futures in this task.
async fn all(count: usize, one: impl AsyncFn() -> Result<(), Failure>) -> Result<(), Failure> {
    let mut futures: Vec<_> = (0..count).map(|_| Box::pin(one())).collect();
    std::future::poll_fn(|cx| {
        let mut failure = None;
        futures.retain_mut(|future| match future.as_mut().poll(cx) {
            std::task::Poll::Pending => true,
            std::task::Poll::Ready(result) => {
                failure = failure.take().or(result.err());
                false
            }
        });
        match failure {
            Some(failure) => std::task::Poll::Ready(Err(failure)),
            None if futures.is_empty() => std::task::Poll::Ready(Ok(())),
            None => std::task::Poll::Pending,
        }
    })
    .await
}

/// CPU that this process has used.
fn cpu_seconds() -> f64 {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    used.tv_sec as f64 + used.tv_nsec as f64 / 1e9
}

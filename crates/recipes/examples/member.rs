//! Uses the recipes as lines of standard input say: `member HOST:PORT`. Each line is a command, and
//! its answer is a line of standard output, so that a test can bring several languages together:
//! `tests/tests/recipes_shared.rs`. `tests/clients` has the same program for Curator and for kazoo.
//!
//! | command | answer |
//! |---|---|
//! | `close PATH`, `open PATH`, `wait PATH` | `done` |
//! | `enter PATH MEMBERS`, `leave` | `done` |
//! | `put KIND PATH PRIORITY ITEM` | `done` |
//! | `take KIND PATH` | the item, or `nothing` |
//! | `add FORMAT PATH TIMES`: adds 1 that many times | `done` |
//! | `count FORMAT PATH` | the number |
//! | `lease PATH HOLDER SECONDS` | `done`, or `held` by another |
//! | `join PATH NAME`, `quit` | `done` |
//! | `members PATH` | their names |

use std::io::{BufRead as _, stdin};
use std::time::Duration;

use client::{Client, Settings};
use recipes::{
    Barrier, Counter, DoubleBarrier, Group, Layout, Lease, Membership, NumberFormat, Obtained, Queue,
    SimpleQueue,
};

type Failure = Box<dyn std::error::Error + Send + Sync>;

struct Program {
    client: Client,
    barrier: Option<DoubleBarrier>,
    membership: Option<Membership>,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let server = std::env::args().nth(1).ok_or("usage: member HOST:PORT")?;
    let client = Client::open(&server.parse()?, Settings::default()).await?;
    let mut program = Program { client, barrier: None, membership: None };
    while let Some(line) = next_line().await? {
        let words: Vec<&str> = line.split(' ').collect();
        println!("{}", program.obey(&words).await?);
    }
    program.client.close().await?;
    Ok(())
}

/// Waits for a line without holding up the session.
async fn next_line() -> Result<Option<String>, Failure> {
    Ok(tokio::task::spawn_blocking(|| stdin().lock().lines().next().transpose()).await??)
}

impl Program {
    async fn obey(&mut self, words: &[&str]) -> Result<String, Failure> {
        match words {
            ["close", path] => Barrier::new(&self.client, path).close().await?,
            ["open", path] => Barrier::new(&self.client, path).open().await?,
            ["wait", path] => Barrier::new(&self.client, path).wait().await?,
            ["enter", path, members] => {
                let barrier = DoubleBarrier::new(&self.client, path, members.parse()?)?;
                barrier.enter().await?;
                self.barrier = Some(barrier);
            }
            ["leave"] => self.barrier.take().ok_or("not inside")?.leave().await?,
            ["put", kind, path, priority, item] => self.put(kind, path, priority.parse()?, item).await?,
            ["take", kind, path] => return self.take(kind, path).await,
            ["add", format, path, times] => {
                for _ in 0..times.parse()? {
                    self.counter(format, path)?.add(1).await?;
                }
            }
            ["count", format, path] => return Ok(self.counter(format, path)?.get().await?.to_string()),
            ["lease", path, holder, seconds] => return self.lease(path, holder, seconds.parse()?).await,
            ["join", path, name] => {
                // kazoo's members are those with this in their ids, and their names are their data.
                let id = format!("{name}__party__");
                self.membership = Some(Group::new(&self.client, path).join(&id, name.as_bytes()).await?);
            }
            ["quit"] => self.membership.take().ok_or("no member")?.leave().await?,
            ["members", path] => return self.members(path).await,
            _ => return Err(format!("no command: {words:?}").into()),
        }
        Ok("done".to_owned())
    }

    fn simple_queue(&self, layout: Layout, path: &str) -> SimpleQueue {
        SimpleQueue::new(&self.client, path).with_layout(layout)
    }

    async fn put(&self, kind: &str, path: &str, priority: u16, item: &str) -> Result<(), Failure> {
        let item = item.as_bytes();
        match kind {
            "locking" => Queue::new(&self.client, path).put(item, priority).await?,
            "simple" => self.simple_queue(Layout::Curator, path).put(item).await?,
            "kazoo" => self.simple_queue(Layout::Kazoo, path).put(item).await?,
            _ => return Err(format!("no queue: {kind}").into()),
        }
        Ok(())
    }

    async fn take(&self, kind: &str, path: &str) -> Result<String, Failure> {
        let data = if kind == "locking" {
            match Queue::new(&self.client, path).try_take().await? {
                Some(item) => {
                    let data = item.data.clone();
                    item.acknowledge().await?.then_some(data).ok_or("the item was not ours")?
                }
                None => b"nothing".to_vec(),
            }
        } else {
            let queue = self.simple_queue(Layout::Curator, path);
            queue.try_take().await?.unwrap_or_else(|| b"nothing".to_vec())
        };
        Ok(String::from_utf8(data)?)
    }

    fn counter(&self, format: &str, path: &str) -> Result<Counter, Failure> {
        let format = match format {
            "text" => NumberFormat::Text,
            "int" => NumberFormat::Int,
            "long" => NumberFormat::Long,
            _ => return Err(format!("no format: {format}").into()),
        };
        Ok(Counter::new(&self.client, path).with_format(format))
    }

    async fn lease(&self, path: &str, holder: &str, seconds: u64) -> Result<String, Failure> {
        let lease = Lease::new(&self.client, path, holder);
        let obtained = lease.obtain(Duration::from_secs(seconds)).await?;
        let answer = if matches!(obtained, Obtained::Granted(_)) { "done" } else { "held" };
        Ok(answer.to_owned())
    }

    async fn members(&self, path: &str) -> Result<String, Failure> {
        let members = Group::new(&self.client, path).members().await?;
        let mut names = Vec::new();
        for member in members {
            names.push(String::from_utf8(member.data)?);
        }
        names.sort();
        Ok(names.join(" "))
    }
}

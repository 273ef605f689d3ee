//! `ostler config watch`.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use recipes::config::{Snapshot, Store, Subscription, diff};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::connect::ConnectArgs;
use super::error::CommandError;
use super::view;

/// Time between two attempts to open a session after one has expired.
const PAUSE: Duration = Duration::from_secs(1);

/// Prints the values, and then each change, until it is stopped.
///
/// Changes that follow each other quickly may be printed as one. A session that expires is
/// replaced, and what has changed meanwhile is printed.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  ostler config watch /config/shop
  ostler config watch /config/shop pool.size --json | while read -r line; do …; done
  ostler config watch /config/shop --once && systemctl restart shop")]
pub(super) struct WatchArgs {
    /// The znode of the configuration.
    root: String,
    /// Only these keys; changes of others are not printed.
    keys: Vec<String>,
    /// The values as this subscriber sees them while a rollout is under way.
    #[arg(long, value_name = "ID")]
    subscriber: Option<String>,
    /// Exit after the first change.
    #[arg(long)]
    once: bool,
    /// Print one JSON object a line: revision, values and changes.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: ConnectArgs,
}

pub(super) async fn run(args: &WatchArgs) -> Result<(), CommandError> {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    tokio::select! {
        done = watch(args) => done,
        _ = terminated.recv() => Ok(()),
        _ = interrupted.recv() => Ok(()),
    }
}

async fn watch(args: &WatchArgs) -> Result<(), CommandError> {
    let mut known: Option<BTreeMap<String, String>> = None;
    loop {
        let mut subscription = match subscribe(args).await {
            // Before the first values the caller should know that there is no server.
            Err(error) if known.is_none() || !is_temporary(&error) => return Err(error),
            Err(error) => {
                view::complain(&error.to_string());
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            Ok(subscription) => subscription,
        };
        loop {
            let snapshot = match subscription.changed().await {
                Ok(snapshot) => snapshot,
                Err(error) => {
                    let error = CommandError::from(error);
                    if !is_temporary(&error) {
                        return Err(error);
                    }
                    view::complain(&error.to_string());
                    break;
                }
            };
            let is_change = known.is_some();
            let is_printed = print(args, snapshot, &mut known)?;
            if args.once && is_change && is_printed {
                return Ok(());
            }
        }
    }
}

/// Whether another session may do better.
fn is_temporary(error: &CommandError) -> bool {
    let client = match error {
        CommandError::Client(error) | CommandError::Config(recipes::config::Error::Client(error)) => error,
        _ => return false,
    };
    !matches!(client, client::Error::Refused { .. } | client::Error::AuthFailed)
}

async fn subscribe(args: &WatchArgs) -> Result<Subscription, CommandError> {
    let client = args.connect.open().await?;
    Ok(Store::new(&client, &args.root)?.subscribe())
}

/// Prints what has changed since `known`; returns whether anything has.
fn print(
    args: &WatchArgs,
    snapshot: Snapshot,
    known: &mut Option<BTreeMap<String, String>>,
) -> Result<bool, CommandError> {
    let seen = match &args.subscriber {
        Some(subscriber) => snapshot.seen_by(subscriber),
        None => snapshot,
    };
    let mut values = seen.values;
    values.retain(|key, _| args.keys.is_empty() || args.keys.contains(key));
    let changes = diff(known.as_ref().unwrap_or(&BTreeMap::new()), &values);
    if known.is_some() && changes.is_empty() {
        return Ok(false);
    }
    let text = match (args.json, &known) {
        (true, _) => {
            format!("{}\n", json!({ "revision": seen.revision, "values": values, "changes": changes }))
        }
        (false, None) => format!("# revision {}\n{}", seen.revision, view::values(&values)),
        (false, Some(_)) => format!("# revision {}\n{}", seen.revision, view::changes(&changes)),
    };
    view::print(&text)?;
    *known = Some(values);
    Ok(true)
}

//! `ostler config get` and `history`.

use std::collections::BTreeMap;

use clap::Args;
use recipes::config::Error;
use serde_json::json;

use super::connect::ConnectArgs;
use super::error::CommandError;
use super::view;

/// Prints values: that of one KEY alone, several as KEY=VALUE lines.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  ostler config get /config/shop
  ostler config get /config/shop pool.size
  ostler config get /config/shop --revision 3 --json")]
pub(super) struct GetArgs {
    /// The znode of the configuration.
    root: String,
    /// Only these keys. One that does not exist makes the exit code 3.
    keys: Vec<String>,
    /// The values as they were when this revision was the newest.
    #[arg(long, value_name = "REVISION", conflicts_with = "subscriber")]
    revision: Option<u64>,
    /// The values as this subscriber sees them while a rollout is under way.
    #[arg(long, value_name = "ID")]
    subscriber: Option<String>,
    /// Print one JSON object: the revision and the values.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: ConnectArgs,
}

pub(super) async fn get(args: &GetArgs) -> Result<(), CommandError> {
    let (revision, all) = args
        .connect
        .with_store(&args.root, async |store| match args.revision {
            Some(revision) => Ok((revision, store.values_at(revision).await?)),
            None => {
                let snapshot = store.load().await?;
                let seen = match &args.subscriber {
                    Some(subscriber) => snapshot.seen_by(subscriber),
                    None => snapshot,
                };
                Ok((seen.revision, seen.values))
            }
        })
        .await?;
    let values = chosen(all, &args.keys)?;
    let text = match (&args.keys[..], args.json) {
        (_, true) => format!("{}\n", json!({ "revision": revision, "values": values })),
        ([key], false) => format!("{}\n", values[key]),
        (_, false) => view::values(&values),
    };
    Ok(view::print(&text)?)
}

/// The values of these keys; all if no key is named.
fn chosen(all: BTreeMap<String, String>, keys: &[String]) -> Result<BTreeMap<String, String>, Error> {
    if keys.is_empty() {
        return Ok(all);
    }
    let value = |key: &String| {
        let value = all.get(key).cloned();
        value.map(|value| (key.clone(), value)).ok_or_else(|| Error::Missing { key: key.clone() })
    };
    keys.iter().map(value).collect()
}

/// Shows who has changed what, when and why, newest first.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  ostler config history /config/shop
  ostler config history /config/shop --limit 1 --json
  ostler config history /config/shop --diff 3 7")]
pub(super) struct HistoryArgs {
    /// The znode of the configuration.
    root: String,
    /// The largest number of revisions to show.
    #[arg(short, long, value_name = "NUMBER", default_value_t = 20)]
    limit: usize,
    /// Show what differs between the values of two revisions instead.
    #[arg(long, num_args = 2, value_names = ["FROM", "TO"], conflicts_with = "limit")]
    diff: Option<Vec<u64>>,
    /// Print JSON: one object for each revision, or one with the differences.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: ConnectArgs,
}

pub(super) async fn history(args: &HistoryArgs) -> Result<(), CommandError> {
    let text = args
        .connect
        .with_store(&args.root, async |store| {
            if let Some([from, to]) = args.diff.as_deref() {
                let differences = store.diff(*from, *to).await?;
                return Ok(match args.json {
                    true => format!("{}\n", json!({ "from": from, "to": to, "changes": differences })),
                    false => view::changes(&differences),
                });
            }
            let revisions = store.history(args.limit).await?;
            let lines = revisions.iter().map(|revision| match args.json {
                true => format!("{}\n", view::revision_json(revision)),
                false => view::revision(revision),
            });
            Ok(lines.collect::<String>())
        })
        .await?;
    Ok(view::print(&text)?)
}

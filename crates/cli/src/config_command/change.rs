//! `ostler config set` and `rollback`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use recipes::config::Change;
use serde_json::Value;

use super::connect::ChangeArgs;
use super::error::CommandError;
use super::view;

/// Sets and removes values, all or none.
///
/// Without --at the values are set whatever revision there is. Nothing is written, and the exit
/// code is 0, if all values are as wanted already.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  ostler config set /config/shop pool.size=8 log.level=info -m 'more load'
  ostler config set /config/shop --unset log.level
  ostler config set /config/shop --from shop.json --at 7
  ostler config set /config/shop --keep 500")]
pub(super) struct SetArgs {
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    wanted: ValuesArgs,
    /// How many revisions to keep from now on, 1 to 10000; 100 at first. A revision of its own.
    #[arg(long, value_name = "REVISIONS", conflicts_with_all = ["values", "unset", "from"])]
    keep: Option<u64>,
}

/// Which values.
#[derive(Args, Debug)]
pub(super) struct ValuesArgs {
    /// Values. A key has letters, digits and . _ - : @ only.
    #[arg(value_name = "KEY=VALUE", value_parser = pair)]
    values: Vec<(String, String)>,
    /// Remove this key. May be given several times.
    #[arg(long, value_name = "KEY")]
    unset: Vec<String>,
    /// Set the values of a file with a JSON object; null removes a key.
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

impl ValuesArgs {
    /// Adds the values to a change.
    pub(super) fn add_to(&self, mut change: Change) -> Result<Change, CommandError> {
        if let Some(path) = &self.from {
            for (key, value) in read_values(path)? {
                change = match value {
                    Value::Null => change.remove(&key),
                    Value::String(text) => change.set(&key, text),
                    other => change.set(&key, other.to_string()),
                };
            }
        }
        for key in &self.unset {
            change = change.remove(key);
        }
        for (key, value) in &self.values {
            change = change.set(key, value);
        }
        Ok(change)
    }
}

fn read_values(path: &Path) -> Result<BTreeMap<String, Value>, CommandError> {
    let text = std::fs::read_to_string(path).map_err(CommandError::file(path))?;
    serde_json::from_str(&text)
        .map_err(|error| CommandError::Content { path: path.to_owned(), why: error.to_string() })
}

pub(super) async fn set(args: &SetArgs) -> Result<(), CommandError> {
    let ChangeArgs { root, author, json, connect } = &args.change;
    let change = args.wanted.add_to(author.change())?;
    let made = connect
        .with_store(root, async |store| {
            Ok(match args.keep {
                Some(revisions) => store.keep(revisions, &change).await?,
                None => store.commit(&change).await?,
            })
        })
        .await?;
    Ok(view::print(&view::done(made.as_ref(), *json))?)
}

/// Makes all values again what they were at a revision. This is a new revision.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  ostler config rollback /config/shop 3 -m 'the pool was too large'
  ostler config rollback /config/shop 3 --dry-run")]
pub(super) struct RollbackArgs {
    #[command(flatten)]
    change: ChangeArgs,
    /// The revision, as `history` shows it; 0 is that before the first.
    revision: u64,
    /// Only show what would change.
    #[arg(short = 'n', long)]
    dry_run: bool,
}

pub(super) async fn roll_back(args: &RollbackArgs) -> Result<(), CommandError> {
    let ChangeArgs { root, author, json, connect } = &args.change;
    let text = connect
        .with_store(root, async |store| {
            if args.dry_run {
                let now = store.load().await?.revision;
                let changes = store.diff(now, args.revision).await?;
                return Ok(match *json {
                    true => format!("{}\n", serde_json::json!({ "changes": changes })),
                    false => view::changes(&changes),
                });
            }
            let made = store.roll_back(args.revision, &author.change()).await?;
            Ok(view::done(made.as_ref(), *json))
        })
        .await?;
    Ok(view::print(&text)?)
}

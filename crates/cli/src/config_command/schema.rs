//! `ostler config schema`.

use std::path::PathBuf;

use clap::Args;
use recipes::config::Schema;

use super::connect::ChangeArgs;
use super::error::CommandError;
use super::view;

/// Shows what values may be, or changes it. Every change of values has to fit it from then on.
#[derive(Args, Debug)]
#[command(after_help = r#"Examples:
  ostler config schema /config/shop
  ostler config schema /config/shop --set schema.json

A schema:
  {"keys": {
     "pool.size": {"type": "integer", "min": 1, "max": 64, "required": true},
     "ratio":     {"type": "float", "min": 0, "max": 1},
     "log.level": {"type": "enum", "values": ["info", "debug"]},
     "timeout":   {"type": "duration", "max": "1m", "description": "of one request"},
     "greeting":  {"type": "string", "bytes_max": 80, "empty": false},
     "is.open":   {"type": "bool"},
     "routes":    {"type": "json"}},
   "other_keys": "refuse"}"#)]
pub(super) struct SchemaArgs {
    #[command(flatten)]
    change: ChangeArgs,
    /// Replace the schema by that of a file. The values have to fit it.
    #[arg(long, value_name = "FILE", conflicts_with = "remove")]
    set: Option<PathBuf>,
    /// Remove the schema.
    #[arg(long)]
    remove: bool,
}

pub(super) async fn run(args: &SchemaArgs) -> Result<(), CommandError> {
    let schema = match &args.set {
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(CommandError::file(path))?;
            Some(Schema::from_json(&text)?)
        }
        None => None,
    };
    let ChangeArgs { root, author, json, connect } = &args.change;
    let text = connect
        .with_store(root, async |store| {
            if schema.is_some() || args.remove {
                let made = store.set_schema(schema.as_ref(), &author.change()).await?;
                return Ok(view::done(made.as_ref(), *json));
            }
            let stored = store.load().await?.schema;
            let text = serde_json::to_string_pretty(&stored).map_err(std::io::Error::from)?;
            Ok(format!("{text}\n"))
        })
        .await?;
    Ok(view::print(&text)?)
}

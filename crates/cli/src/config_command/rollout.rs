//! `ostler config rollout`.

use clap::{Args, Subcommand};
use recipes::config::{Rollout, Store};
use serde_json::json;

use super::change::ValuesArgs;
use super::connect::{ChangeArgs, ConnectArgs};
use super::error::CommandError;
use super::view;

/// Shows a change to a share of the subscribers before everybody gets it.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  ostler config rollout start /config/shop --percent 5 pool.size=16
  ostler config rollout share /config/shop --percent 50
  ostler config rollout promote /config/shop
  ostler config rollout abort /config/shop -m 'errors in the log'
  ostler config rollout show /config/shop --subscriber web-7")]
pub(super) struct RolloutArgs {
    #[command(subcommand)]
    step: Step,
}

#[derive(Debug, Subcommand)]
enum Step {
    /// Shows the rollout under way.
    Show {
        /// The znode of the configuration.
        root: String,
        /// Tell also whether this subscriber sees the candidate.
        #[arg(long, value_name = "ID")]
        subscriber: Option<String>,
        /// Print JSON: the rollout, or null.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        connect: ConnectArgs,
    },
    /// Begins one. Its keys cannot be changed otherwise until it is promoted or aborted.
    Start {
        #[command(flatten)]
        percent: PercentArg,
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        wanted: ValuesArgs,
    },
    /// Shows the candidate to another share. A higher one leaves nobody out who sees it already.
    Share {
        #[command(flatten)]
        percent: PercentArg,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Makes the candidate the values of everybody.
    Promote(ChangeArgs),
    /// Gives the candidate up.
    Abort(ChangeArgs),
}

#[derive(Args, Debug)]
struct PercentArg {
    /// The share of the subscribers, 0 to 100 with up to two decimals.
    #[arg(long, value_name = "PERCENT")]
    percent: f64,
}

pub(super) async fn run(args: &RolloutArgs) -> Result<(), CommandError> {
    let change = match &args.step {
        Step::Show { root, subscriber, json, connect } => {
            let rollout =
                connect.with_store(root, async |store: &Store| Ok(store.load().await?.rollout)).await?;
            return Ok(view::print(&shown(rollout.as_ref(), subscriber.as_deref(), *json))?);
        }
        Step::Start { change, .. } | Step::Share { change, .. } => change,
        Step::Promote(change) | Step::Abort(change) => change,
    };
    let made = change
        .connect
        .with_store(&change.root, async |store| {
            let by = change.author.change();
            Ok(match &args.step {
                Step::Start { percent, wanted, .. } => {
                    store.start_rollout(&wanted.add_to(by)?, percent.percent).await?
                }
                Step::Share { percent, .. } => store.set_share(percent.percent, &by).await?,
                Step::Promote(_) => store.promote(&by).await?,
                Step::Abort(_) => store.abort(&by).await?,
                Step::Show { .. } => None,
            })
        })
        .await?;
    Ok(view::print(&view::done(made.as_ref(), change.json))?)
}

fn shown(rollout: Option<&Rollout>, subscriber: Option<&str>, as_json: bool) -> String {
    let included = rollout.zip(subscriber).map(|(rollout, subscriber)| rollout.includes(subscriber));
    match (rollout, as_json) {
        (rollout, true) => format!("{}\n", json!({ "rollout": rollout, "included": included })),
        (None, false) => "no rollout is under way\n".to_owned(),
        (Some(rollout), false) => {
            let who = match included {
                Some(true) => "; this subscriber sees it",
                Some(false) => "; this subscriber does not see it",
                None => "",
            };
            format!("{} % of the subscribers see{who}\n{}", rollout.percent, view::changes(&rollout.changes))
        }
    }
}

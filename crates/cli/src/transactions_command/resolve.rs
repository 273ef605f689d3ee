//! `ostler transactions resolve`.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::json;
use transactions::{Decision, Office, TransactionId};

use super::{CommandError, PlaceArgs};

/// Decides a transaction by hand and tells its branches, or forgets one.
///
/// Nobody can decide otherwise afterwards. To commit what its coordinator has not decided loses the
/// branches that it had not prepared yet. The record says who did it.
///
/// Exit code: 0 if it is finished everywhere; 1 if not, the recovery continues; 3 there is no such
/// transaction; 4 it was decided otherwise.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  ostler transactions resolve --resources shop.json ID abort
  ostler transactions resolve --resources shop.json ID forget")]
pub(super) struct ResolveArgs {
    #[command(flatten)]
    pub(super) place: PlaceArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// The transaction.
    id: TransactionId,
    /// What to do.
    verb: Verb,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Verb {
    /// Commit it.
    Commit,
    /// Roll it back.
    Abort,
    /// Delete its decision and what is noted of branches that ended otherwise. For one that is
    /// prepared nowhere.
    Forget,
}

pub(super) async fn resolve(args: &ResolveArgs, office: &Office) -> Result<ExitCode, CommandError> {
    let decision = match args.verb {
        Verb::Commit => Decision::Commit,
        Verb::Abort => Decision::Abort,
        Verb::Forget => {
            office.forget(args.id).await?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    let resolved = office.resolve(args.id, decision).await?;
    let mut out = io::stdout().lock();
    if args.json {
        let branches = resolved.branches.iter();
        let branches =
            branches.map(|(branch, why)| json!({ "branch": branch.to_string(), "unfinished": why }));
        let branches: Vec<_> = branches.collect();
        writeln!(out, "{}", json!({ "decision": decision.to_string(), "branches": branches }))?;
    } else {
        writeln!(out, "decided: {decision}")?;
        for (branch, why) in &resolved.branches {
            let state = if why.is_empty() { "finished" } else { why };
            writeln!(out, "  {}: {state}", branch.branch)?;
        }
    }
    let is_finished = resolved.branches.iter().all(|(_, why)| why.is_empty());
    Ok(if is_finished { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

//! `ostler transactions list`, `show` and `orphans`.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use transactions::{Office, OfficeError, Overview, TransactionId};

use super::render::{self, overview_json, view_json};
use super::{CommandError, PlaceArgs};

/// Lists what is prepared somewhere, decided and not finished, or ended otherwise than decided.
///
/// A resource that cannot be asked is listed too: it may hold more.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  ostler transactions list --resources shop.json
  ostler transactions list --json --resources shop.json | jq -r '.transactions[].id'")]
pub(super) struct ListArgs {
    #[command(flatten)]
    pub(super) place: PlaceArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Shows one transaction: its decision, and each of its branches.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  ostler transactions show --resources shop.json ostler-00000000000000ab-0000000100000002-0000000000000003")]
pub(super) struct ShowArgs {
    #[command(flatten)]
    pub(super) place: PlaceArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// The transaction.
    id: TransactionId,
}

/// Lists what is prepared and can no longer be decided, because its coordinator is gone.
///
/// The recovery rolls it back.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  ostler transactions orphans --resources shop.json")]
pub(super) struct OrphansArgs {
    #[command(flatten)]
    pub(super) place: PlaceArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn list(args: &ListArgs, office: &Office) -> Result<ExitCode, CommandError> {
    print(args.json, &office.overview().await?)
}

pub(super) async fn orphans(args: &OrphansArgs, office: &Office) -> Result<ExitCode, CommandError> {
    let mut overview = office.overview().await?;
    overview.transactions.retain(|_, view| view.is_orphan());
    print(args.json, &overview)
}

fn print(json: bool, overview: &Overview) -> Result<ExitCode, CommandError> {
    let mut out = io::stdout().lock();
    match json {
        true => writeln!(out, "{}", overview_json(overview))?,
        false => render::overview(&mut out, overview)?,
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn show(args: &ShowArgs, office: &Office) -> Result<ExitCode, CommandError> {
    let overview = office.overview().await?;
    let view = overview.transactions.get(&args.id).ok_or(OfficeError::NotFound(args.id))?;
    let mut out = io::stdout().lock();
    match args.json {
        true => writeln!(out, "{}", json!(view_json(&args.id, view, &overview)))?,
        false => render::view(&mut out, &args.id, view, &overview)?,
    }
    Ok(ExitCode::SUCCESS)
}

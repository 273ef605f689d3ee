//! Transactions as text and as JSON.

use std::io::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use transactions::{Decision, Overview, TransactionId, View};

/// One word for the state of a transaction.
fn state(view: &View) -> &'static str {
    match (&view.record, &view.coordinator) {
        (Some(record), _) if !record.heuristics.is_empty() || !view.notes.is_empty() => "heuristic",
        (Some(record), _) if record.decision == Decision::Commit => "committing",
        (Some(_), _) => "aborting",
        (None, _) if !view.notes.is_empty() => "heuristic",
        (None, Some(_)) => "undecided",
        (None, None) => "orphan",
    }
}

fn since_ms(since: Option<SystemTime>) -> Option<u64> {
    let since = since?.duration_since(UNIX_EPOCH).ok()?;
    since.as_millis().try_into().ok()
}

/// How long ago, in words.
fn ago(ms: u64) -> String {
    let then = UNIX_EPOCH + Duration::from_millis(ms);
    match SystemTime::now().duration_since(then) {
        Ok(age) => format!("{:.1} s ago", age.as_secs_f64()),
        // By another clock.
        Err(_) => "just now".to_owned(),
    }
}

/// When a transaction was first seen to be open, in ms since 1970, if anybody knows.
fn oldest_ms(id: &TransactionId, view: &View, overview: &Overview) -> Option<u64> {
    let prepared = view.prepared.values().filter_map(|since| since_ms(*since));
    let decided = Some(view.decided_ms).filter(|ms| *ms != 0);
    let seen = overview.report.as_ref().and_then(|report| report.in_doubt.get(&id.to_string()));
    prepared.chain(decided).chain(seen.map(|seen| seen.seen_since_ms)).min()
}

/// Prints a line for each transaction, and what is known besides.
pub(super) fn overview(out: &mut impl Write, overview: &Overview) -> io::Result<()> {
    for (id, view) in &overview.transactions {
        let resources: Vec<&str> = view.prepared.keys().map(|one| one.branch.resource.as_str()).collect();
        let resources = if resources.is_empty() { "nothing".to_owned() } else { resources.join(", ") };
        let since = oldest_ms(id, view, overview).map(ago).unwrap_or_default();
        writeln!(out, "{id}  {:<10}  prepared: {resources}  {since}", state(view))?;
    }
    if overview.transactions.is_empty() {
        writeln!(out, "nothing is in doubt, as far as can be seen")?;
    }
    for (resource, trouble) in &overview.unseen {
        writeln!(out, "{resource} could not be asked: {trouble}")?;
    }
    match overview.recoverers.first() {
        Some(active) => writeln!(out, "recovery: {active}"),
        None => writeln!(out, "recovery: none runs"),
    }
}

/// Prints all that is known of a transaction.
pub(super) fn view(
    out: &mut impl Write,
    id: &TransactionId,
    view: &View,
    overview: &Overview,
) -> io::Result<()> {
    writeln!(out, "{id}: {}", state(view))?;
    match &view.coordinator {
        Some(name) => writeln!(out, "coordinator: {name}, which lives")?,
        None => writeln!(out, "coordinator: gone")?,
    }
    if let Some(record) = &view.record {
        writeln!(out, "decided: {} by {}, {}", record.decision, record.by, ago(view.decided_ms))?;
        for branch in &record.branches {
            writeln!(out, "  voted to be prepared: {}", branch.branch)?;
        }
        for heuristic in &record.heuristics {
            writeln!(out, "  ended otherwise: {} by {}", heuristic.branch, heuristic.did)?;
        }
    }
    for (branch, since) in &view.prepared {
        let since = since_ms(*since).map(|ms| format!(", since {}", ago(ms))).unwrap_or_default();
        writeln!(out, "prepared: {}{since}", branch.branch)?;
    }
    for (branch, note) in &view.notes {
        writeln!(out, "{}: {note}", branch.branch)?;
    }
    let seen = overview.report.as_ref().and_then(|report| report.in_doubt.get(&id.to_string()));
    for (branch, why) in seen.into_iter().flat_map(|seen| &seen.unfinished) {
        writeln!(out, "the recovery tries {branch}: {why}")?;
    }
    for (resource, trouble) in &overview.unseen {
        writeln!(out, "{resource} could not be asked, and may hold more: {trouble}")?;
    }
    Ok(())
}

pub(super) fn overview_json(overview: &Overview) -> Value {
    let transactions = overview.transactions.iter().map(|(id, view)| view_json(id, view, overview));
    let unseen = overview.unseen.iter().map(|(name, why)| (name.to_string(), json!(why)));
    json!({
        "transactions": transactions.collect::<Vec<_>>(),
        "unseen": unseen.collect::<serde_json::Map<_, _>>(),
        "recoverers": overview.recoverers,
        "report": overview.report,
    })
}

pub(super) fn view_json(id: &TransactionId, view: &View, overview: &Overview) -> Value {
    let prepared = view.prepared.iter().map(|(branch, since)| {
        json!({
            "branch": branch.to_string(),
            "resource": branch.branch.resource.as_str(),
            "sinceMs": since_ms(*since),
        })
    });
    let record = view.record.as_ref().map(|record| {
        let branches = record.branches.iter().map(|branch| branch.branch.to_string());
        let heuristics = record
            .heuristics
            .iter()
            .map(|one| json!({ "branch": one.branch.to_string(), "did": one.did.to_string() }));
        json!({
            "decision": record.decision.to_string(),
            "by": record.by,
            "writtenMs": view.decided_ms,
            "branches": branches.collect::<Vec<_>>(),
            "heuristics": heuristics.collect::<Vec<_>>(),
        })
    });
    let notes = view.notes.iter().map(|(branch, note)| json!({ "branch": branch.to_string(), "note": note }));
    json!({
        "id": id.to_string(),
        "state": state(view),
        "coordinator": view.coordinator,
        "record": record,
        "prepared": prepared.collect::<Vec<_>>(),
        "notes": notes.collect::<Vec<_>>(),
        "sinceMs": oldest_ms(id, view, overview),
    })
}

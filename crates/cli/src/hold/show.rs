//! Who holds something and who waits for it.

use std::io::Write as _;
use std::process::ExitCode;

use client::Client;
use recipes::Participant;
use serde_json::json;

use super::{HoldArgs, HoldError, with_client};

/// Prints the participants that `find` finds.
pub(super) fn run(
    args: &HoldArgs,
    find: impl AsyncFn(&Client) -> Result<Vec<Participant>, HoldError>,
) -> ExitCode {
    with_client(args, async |client| {
        let found = find(client).await?;
        let mut output = std::io::stdout().lock();
        for participant in &found {
            writeln!(output, "{}", line(participant, args.json)).map_err(HoldError::Output)?;
        }
        Ok(0)
    })
}

fn line(participant: &Participant, as_json: bool) -> String {
    let Participant { path, token, session, data } = participant;
    let (session, data) = (format!("{session:#x}"), String::from_utf8_lossy(data));
    match as_json {
        true => json!({"path": path, "token": token, "session": session, "data": data}).to_string(),
        false => format!("{path} token {token} session {session} {}", data.escape_debug()),
    }
}

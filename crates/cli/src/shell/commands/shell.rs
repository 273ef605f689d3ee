//! The shell itself.

use client::ConnectStringError;
use serde_json::Value;

use super::{Outcome, Spec, all, find, spec_json, usage_line};
use crate::shell::Shell;
use crate::shell::failure::Failure;
use crate::shell::options::Parsed;
use crate::shell::output::Output;

pub(super) const SPECS: &[Spec] = &[
    Spec {
        name: "connect",
        usage: "[host:port[,host:port…][/chroot]]",
        about: "Closes the session and opens another one.",
        json: "server, state",
        options: &[],
        operands: 0..=1,
        run: connect,
    },
    Spec {
        name: "close",
        usage: "",
        about: "Closes the session: its ephemeral znodes go.",
        json: "nothing",
        options: &[],
        operands: 0..=0,
        run: close,
    },
    Spec {
        name: "history",
        usage: "",
        about: "Prints the last commands with their numbers.",
        json: "history (list of {number, command})",
        options: &[],
        operands: 0..=0,
        run: history,
    },
    Spec {
        name: "redo",
        usage: "cmdno",
        about: "Executes a command of the history again.",
        json: "as of that command",
        options: &[],
        operands: 1..=1,
        run: redo,
    },
    Spec {
        name: "version",
        usage: "",
        about: "Prints the version of this shell.",
        json: "version",
        options: &[],
        operands: 0..=0,
        run: version,
    },
    Spec {
        name: "help",
        usage: "[command]",
        about: "Explains a command, or lists all of them.",
        json: "commands (list of {command, usage, about, json})",
        options: &[],
        operands: 0..=1,
        run: help,
    },
    Spec {
        name: "quit",
        usage: "",
        about: "Closes the session and leaves, as does exit.",
        json: "nothing",
        options: &[],
        operands: 0..=0,
        run: quit,
    },
];

fn connect(shell: &mut Shell, parsed: &Parsed) -> Outcome {
    if let Some(text) = parsed.operand(0) {
        shell.set_servers(
            text.parse().map_err(|error: ConnectStringError| Failure::Usage(error.to_string()))?,
        );
    }
    // The old session may be impossible to close; a new one is opened all the same.
    let _ = shell.close_session();
    shell.reopen();
    let session = shell.session()?;
    let (server, state) = (session.server(), session.state());
    let line = format!("Connected to {server}");
    Ok(Output::default().field("server", server).field("state", state.name()).line(line))
}

fn close(shell: &mut Shell, _: &Parsed) -> Outcome {
    shell.close_session()?;
    Ok(Output::default())
}

/// How many commands `history` prints, as zkCli.
const HISTORY_SHOWN: usize = 10;

fn history(shell: &mut Shell, _: &Parsed) -> Outcome {
    let commands = shell.history();
    let mut output = Output::default();
    let mut entries = Vec::new();
    for (number, command) in commands.iter().enumerate().skip(commands.len().saturating_sub(HISTORY_SHOWN)) {
        output = output.line(format!("{number} - {command}"));
        entries.push(serde_json::json!({ "number": number, "command": command }));
    }
    Ok(output.field("history", entries))
}

fn redo(shell: &mut Shell, parsed: &Parsed) -> Outcome {
    let text = parsed.operand(0).unwrap_or_default();
    let command = text.parse().ok().and_then(|number: usize| shell.history().get(number)).cloned();
    let command =
        command.ok_or_else(|| Failure::Usage(format!("there is no command {text} in the history")))?;
    let words = crate::shell::words::split(&command).map_err(Failure::Usage)?;
    if words.first().is_some_and(|word| word == "redo") {
        return Err(Failure::Usage("a redo cannot be redone".to_owned()));
    }
    super::run(shell, &words)
}

fn version(_: &mut Shell, _: &Parsed) -> Outcome {
    let version = env!("CARGO_PKG_VERSION");
    Ok(Output::default().field("version", version).line(format!("Ostler shell version: {version}")))
}

fn help(shell: &mut Shell, parsed: &Parsed) -> Outcome {
    let style = shell.style;
    if let Some(name) = parsed.operand(0) {
        let spec = find(name).ok_or_else(|| Failure::Usage(format!("there is no command '{name}'")))?;
        return Ok(Output::default()
            .field("commands", vec![spec_json(spec)])
            .line(usage_line(spec, style))
            .line(format!("  {}", spec.about))
            .line(format!("  --json: {}", spec.json)));
    }
    let mut specs: Vec<_> = all().collect();
    specs.sort_unstable_by_key(|spec| spec.name.to_ascii_lowercase());
    let commands: Vec<Value> = specs.iter().map(|spec| spec_json(spec)).collect();
    let output = specs.iter().fold(Output::default(), |output, spec| output.line(usage_line(spec, style)));
    Ok(output.field("commands", commands))
}

fn quit(shell: &mut Shell, _: &Parsed) -> Outcome {
    shell.quit();
    Ok(Output::default())
}

//! The commands: a table, one file for each family.

mod access;
mod children;
mod data;
mod ensemble;
mod grants;
mod multi;
mod progress;
mod quota;
mod shell;
mod watch;

use std::ops::RangeInclusive;

use serde_json::{Value, json};
use wire::path;

use super::Shell;
use super::failure::Failure;
use super::options::{Opt, Parsed};
use super::output::{Output, Style};

/// Result of a command.
pub(crate) type Outcome = Result<Output, Failure>;

/// A command.
pub(crate) struct Spec {
    /// Its name in zkCli.
    pub(crate) name: &'static str,
    /// Its options and operands, for `help`.
    pub(crate) usage: &'static str,
    /// What it does, for `help`.
    pub(crate) about: &'static str,
    /// The fields of its object under `--json`, for `help`. They are a stable interface.
    pub(crate) json: &'static str,
    options: &'static [Opt],
    operands: RangeInclusive<usize>,
    run: fn(&mut Shell, &Parsed) -> Outcome,
}

const FAMILIES: [&[Spec]; 9] = [
    data::SPECS,
    children::SPECS,
    access::SPECS,
    watch::SPECS,
    quota::SPECS,
    grants::SPECS,
    multi::SPECS,
    ensemble::SPECS,
    shell::SPECS,
];

/// Words that mean a command of another name.
const ALIASES: [(&str, &str); 2] = [("exit", "quit"), ("?", "help")];

/// All commands.
pub(crate) fn all() -> impl Iterator<Item = &'static Spec> {
    FAMILIES.iter().copied().flatten()
}

/// The command of this name, in whatever case.
pub(crate) fn find(name: &str) -> Option<&'static Spec> {
    let name = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, name)| name);
    all().find(|spec| spec.name.eq_ignore_ascii_case(name))
}

/// Executes one command.
pub(crate) fn run(shell: &mut Shell, words: &[String]) -> Outcome {
    let Some((name, rest)) = words.split_first() else { return Ok(Output::default()) };
    let spec = find(name).ok_or_else(|| {
        // The rest of the line is not repeated: it may be credentials behind a misspelt addauth.
        Failure::Usage(format!("there is no command '{name}'; 'help' lists them"))
    })?;
    let usage = |error| match error {
        Failure::Usage(why) => {
            let usage = format!("{} {}", spec.name, spec.usage);
            Failure::Usage(format!("{why}\nusage: {}", usage.trim_end()))
        }
        other => other,
    };
    let parsed = Parsed::new(rest, spec.options).map_err(usage)?;
    if !spec.operands.contains(&parsed.operands.len()) {
        let few = parsed.operands.len() < *spec.operands.start();
        let what = if few { "too few arguments" } else { "too many arguments" };
        return Err(usage(Failure::Usage(what.to_owned())));
    }
    (spec.run)(shell, &parsed).map_err(usage)
}

/// One line of `help` for a command.
fn usage_line(spec: &Spec, style: Style) -> String {
    format!("{} {}", style.command(spec.name), spec.usage).trim_end().to_owned()
}

fn spec_json(spec: &Spec) -> Value {
    json!({ "command": spec.name, "usage": spec.usage, "about": spec.about, "json": spec.json })
}

/// The operand at `index` as a path that a server can know.
fn path_operand(parsed: &Parsed, index: usize) -> Result<&str, Failure> {
    let path = parsed.operand(index).unwrap_or_default();
    valid_path(path)?;
    Ok(path)
}

fn valid_path(text: &str) -> Result<(), Failure> {
    path::validate(text).map_err(|error| Failure::Usage(format!("'{text}': {error}")))
}

/// The path of `name` under `parent`.
fn join(parent: &str, name: &str) -> String {
    let mut joined = String::with_capacity(parent.len() + name.len() + 1);
    path::join(parent, name, &mut joined);
    joined
}

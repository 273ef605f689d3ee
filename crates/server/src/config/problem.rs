//! Errors and warnings about a configuration, worded for its author.

use std::fmt;
use std::path::PathBuf;

/// One setting that stops the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it was set: `zoo.cfg line 3`, `-DtickTime`, `--client-port`; empty for a missing
    /// setting.
    pub place: String,
    /// The key as its users write it.
    pub key: String,
    /// The given value; empty for a missing setting.
    pub value: String,
    /// What is allowed, or what to do instead; a sentence without a full stop.
    pub allowed: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        match self.value.is_empty() {
            true => write!(f, "{}: {}", self.key, self.allowed),
            false => write!(f, "{} = {}: {}", self.key, shown(&self.key, &self.value), self.allowed),
        }
    }
}

/// A value for an error message or the log; passwords are hidden.
pub(super) fn shown<'a>(key: &str, value: &'a str) -> &'a str {
    let key = key.to_ascii_lowercase();
    let is_secret = ["password", "passwd", "superdigest"].iter().any(|ending| key.ends_with(ending));
    if is_secret { "(hidden)" } else { value }
}

/// A problem that does not stop the start but is logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// A key that neither ZooKeeper nor this server knows.
    UnknownKey {
        /// Where it was set.
        place: String,
        /// The key as written.
        key: String,
        /// A known key that differs only in case, prefix or one letter.
        similar: Option<&'static str>,
    },
    /// A key of ZooKeeper that has no effect here.
    WithoutEffect {
        /// Where it was set.
        place: String,
        /// The key as it was written.
        key: String,
        /// Why it has none.
        reason: &'static str,
    },
    /// A value that was replaced, or that is dangerous.
    Note {
        /// The key concerned.
        key: &'static str,
        /// What was done, or what to watch out for.
        text: String,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::UnknownKey { place, key, similar: None } => {
                write!(f, "{place}: unknown key {key} is ignored")
            }
            Warning::UnknownKey { place, key, similar: Some(similar) } => {
                write!(f, "{place}: unknown key {key} is ignored; did you mean {similar}?")
            }
            Warning::WithoutEffect { place, key, reason } => {
                write!(f, "{place}: {key} has no effect: {reason}")
            }
            Warning::Note { key, text } => write!(f, "{key}: {text}"),
        }
    }
}

/// Why no configuration could be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A named file cannot be read.
    #[error("cannot read {what} {}: {source}", path.display())]
    Unreadable {
        /// What the file is: `configuration file`, `myid file`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// All errors in the settings, not only the first.
    #[error("{}", listed(.0))]
    Invalid(Vec<Problem>),
}

fn listed(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(|problem| format!("  {problem}")).collect();
    format!("{} in the configuration:\n{}", counted(problems.len()), lines.join("\n"))
}

fn counted(problems: usize) -> String {
    if problems == 1 { "one error".to_owned() } else { format!("{problems} errors") }
}

//! Where lines come from.

use std::io::{self, BufRead, Read};

use super::failure::Failure;

/// What came when a line was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// A line, without its end.
    Text(String),
    /// The user gave it up (Ctrl-C).
    Interrupted,
    /// There are no more.
    End,
}

/// A source of lines.
pub(crate) trait Input {
    /// The next line.
    fn line(&mut self, prompt: &str) -> io::Result<Line>;

    /// The data that `-` stands for.
    fn data(&mut self) -> Result<Vec<u8>, Failure>;

    /// Offers a line to the history that outlives the shell.
    fn remember(&mut self, _line: &str) {}
}

/// Standard input that is no terminal. It holds commands, or else the data of the one command on
/// the command line.
pub(crate) struct Piped {
    /// Whether the command came with the command line.
    pub(crate) has_command: bool,
}

impl Input for Piped {
    fn line(&mut self, _prompt: &str) -> io::Result<Line> {
        let mut line = String::new();
        if io::stdin().lock().read_line(&mut line)? == 0 {
            return Ok(Line::End);
        }
        let end = line.trim_end_matches(['\n', '\r']).len();
        line.truncate(end);
        Ok(Line::Text(line))
    }

    fn data(&mut self) -> Result<Vec<u8>, Failure> {
        if !self.has_command {
            return Err(refuse_data("holds the commands"));
        }
        let mut data = Vec::new();
        let read = io::stdin().lock().read_to_end(&mut data);
        read.map_err(|error| Failure::Usage(format!("standard input cannot be read: {error}")))?;
        Ok(data)
    }
}

/// Why `-` cannot be read here.
pub(crate) fn refuse_data(why: &str) -> Failure {
    Failure::Usage(format!("'-' cannot read data, as standard input {why}"))
}

//! `ostler shell`: access to the znodes for users and scripts.
//!
//! A line is split into words ([`words`]), the words are sorted into options and operands
//! ([`options`]), a command of the table in [`commands`] asks the [`Session`] and answers with an
//! [`output::Output`], which has a form for people and one for scripts. [`interactive`] and
//! [`script`] are the two loops around this.

pub(crate) mod acl;
mod bytes;
mod commands;
mod completion;
mod failure;
mod input;
mod interactive;
mod notices;
mod options;
mod output;
mod script;
mod words;

use std::cell::RefCell;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use clap::Args;
use client::{ConnectString, Session, SessionOptions};

use commands::Outcome;
use failure::Failure;
use input::{Input, Line};
use output::Style;

use crate::serve::fail;
use crate::tls_options::TlsArgs;

/// Works with the znodes of a server: one command, commands from standard input, or interactively.
///
/// Exit code of a command and of a script: 0 done, 1 the server refused, 2 not understood, 3 no
/// connection. A single command that sets a watch waits until it has fired; `help` lists the
/// commands.
#[derive(Args, Debug)]
pub(crate) struct ShellArgs {
    /// Servers, and the znode that becomes the root.
    #[arg(short, long, value_name = "HOST:PORT[,…][/CHROOT]", default_value = "127.0.0.1:2181")]
    server: ConnectString,
    /// Session timeout to ask for, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 30_000, value_parser = clap::value_parser!(i32).range(1..))]
    timeout: i32,
    /// Print one JSON object for each command; `help COMMAND` names its fields.
    #[arg(long)]
    json: bool,
    /// Continue with the next line of standard input after an error.
    #[arg(long)]
    keep_going: bool,
    /// Accept a server that can only read.
    #[arg(short, long)]
    read_only: bool,
    #[command(flatten)]
    tls: TlsArgs,
    /// The command; without one they are read from standard input.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

/// Runs the shell in this process.
pub(crate) fn run(args: &ShellArgs) -> ExitCode {
    let (sender, receiver) = mpsc::channel();
    let tls = match args.tls.read() {
        Ok(tls) => tls,
        Err(error) => {
            fail(&error);
            return ExitCode::from(2);
        }
    };
    let options =
        SessionOptions { timeout_ms: args.timeout, read_only: args.read_only, tls, events: Some(sender) };
    let code = if !args.command.is_empty() {
        let mut shell = Shell::new(args, options, Box::new(input::Piped { has_command: true }));
        script::one(&mut shell, &receiver, &args.command)
    } else if std::io::stdin().is_terminal() {
        interactive::run(args, options, receiver)
    } else {
        let mut shell = Shell::new(args, options, Box::new(input::Piped { has_command: false }));
        script::lines(&mut shell, &receiver, args.keep_going)
    };
    ExitCode::from(code)
}

/// What the commands work with.
pub(crate) struct Shell {
    /// How answers look.
    pub(crate) style: Style,
    error_style: Style,
    json: bool,
    servers: ConnectString,
    /// Of which the events are a channel that is shared by all sessions of this shell.
    options: SessionOptions,
    /// The session; shared with the completion of paths. It is opened when it is first needed.
    session: Rc<RefCell<Option<Session>>>,
    /// Whether the user closed the session, so that only `connect` opens another.
    closed: bool,
    print_watches: Arc<AtomicBool>,
    input: Box<dyn Input>,
    history: Vec<String>,
    quitting: bool,
}

impl Shell {
    fn new(args: &ShellArgs, options: SessionOptions, input: Box<dyn Input>) -> Self {
        let colours = |terminal: bool| Style {
            colours: terminal
                && !args.json
                && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        };
        Self {
            style: colours(std::io::stdout().is_terminal()),
            error_style: colours(std::io::stderr().is_terminal()),
            json: args.json,
            servers: args.server.clone(),
            options,
            session: Rc::default(),
            closed: false,
            print_watches: Arc::new(AtomicBool::new(true)),
            input,
            history: Vec::new(),
            quitting: false,
        }
    }

    /// The session, opened if there is none.
    ///
    /// # Errors
    /// [`Failure::Connection`] if no server accepts the connection, or the user has closed the
    /// session.
    fn session(&mut self) -> Result<Session, Failure> {
        if self.closed {
            return Err(Failure::Connection("not connected; 'connect' opens a session".to_owned()));
        }
        if let Some(session) = &*self.session.borrow() {
            return Ok(session.clone());
        }
        let session = Session::open(&self.servers, self.options.clone())?;
        *self.session.borrow_mut() = Some(session.clone());
        Ok(session)
    }

    fn set_servers(&mut self, servers: ConnectString) {
        self.servers = servers;
    }

    /// Ends the session; until [`Self::reopen`] there is no other.
    fn close_session(&mut self) -> Result<(), Failure> {
        self.closed = true;
        let session = self.session.borrow_mut().take();
        Ok(session.map_or(Ok(()), |session| session.close())?)
    }

    fn reopen(&mut self) {
        self.closed = false;
    }

    fn print_watches(&mut self, on: bool) {
        self.print_watches.store(on, Ordering::Relaxed);
    }

    fn prints_watches(&self) -> bool {
        self.print_watches.load(Ordering::Relaxed)
    }

    fn read_data(&mut self) -> Result<Vec<u8>, Failure> {
        self.input.data()
    }

    fn read_line(&mut self, prompt: &str) -> Result<Line, Failure> {
        self.input.line(prompt).map_err(|error| Failure::Usage(format!("no line can be read: {error}")))
    }

    fn history(&self) -> &[String] {
        &self.history
    }

    fn quit(&mut self) {
        self.quitting = true;
    }

    /// Notes a line, unless it might hold credentials: one of `addauth`, or one that is no command,
    /// because a typing error must not put a password on disk.
    fn remember(&mut self, line: &str) {
        if may_be_remembered(line) {
            self.history.push(line.to_owned());
            self.input.remember(line);
        }
    }

    /// Executes a line; nothing if it is blank or a comment.
    fn execute(&mut self, line: &str) -> Option<Outcome> {
        if line.trim_start().starts_with('#') {
            return None;
        }
        match words::split(line) {
            Ok(words) if words.is_empty() => None,
            Ok(words) => Some(commands::run(self, &words)),
            Err(why) => Some(Err(Failure::Usage(why))),
        }
    }

    /// Prints the answer of a command.
    fn print(&self, outcome: &Outcome) {
        // The reader of our output is gone, so nothing can be reported.
        let _ = match outcome {
            Ok(output) if self.json => {
                writeln!(std::io::stdout(), "{}", serde_json::Value::Object(output.json.clone()))
            }
            Ok(output) => std::io::stdout().write_all(output.text.as_bytes()),
            Err(failure) if self.json => writeln!(std::io::stdout(), "{}", failure.json()),
            Err(failure) => {
                writeln!(std::io::stderr(), "{}", self.error_style.error(&failure.to_string()))
            }
        };
        let _ = std::io::stdout().flush();
    }
}

fn may_be_remembered(line: &str) -> bool {
    let scan = words::scan(line);
    let command = scan.words.first().and_then(|word| commands::find(&word.text));
    command.is_some_and(|spec| spec.name != "addauth")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_not_remembered() {
        for line in
            ["addauth digest u:p", " AddAuth digest u:p", "'addauth' digest 'u:p", "addauht digest u:p", ""]
        {
            assert!(!may_be_remembered(line), "{line}");
        }
        assert!(may_be_remembered("get /a"));
        assert!(may_be_remembered("create /a 'open"));
    }
}

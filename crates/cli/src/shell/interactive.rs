//! The shell at a terminal.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;

use client::{Session, SessionEvent, SessionOptions, SessionState};
use rustyline::config::Configurer;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{ColorMode, CompletionType, Config, Editor, ExternalPrinter};

use super::completion::Helper;
use super::failure::Failure;
use super::input::{self, Input, Line, Piped};
use super::notices::{self, Stream};
use super::{Shell, ShellArgs, output::Style};

/// Lines kept in the history file.
const HISTORY_MAX: usize = 1_000;

/// Reads and executes commands until the user leaves; returns the exit code.
pub(super) fn run(args: &ShellArgs, options: SessionOptions, events: Receiver<SessionEvent>) -> u8 {
    // Its input is replaced as soon as there is a terminal; until then it is not read.
    let mut shell = Shell::new(args, options, Box::new(Piped { has_command: false }));
    let editor = editor(&shell).and_then(|mut editor| {
        let printer = editor.create_external_printer()?;
        Ok((editor, printer))
    });
    let (editor, printer) = match editor {
        Ok(pair) => pair,
        Err(error) => {
            shell.print(&Err(Failure::Usage(format!("the terminal cannot be used: {error}"))));
            return 2;
        }
    };
    let history = history_file();
    shell.input = Box::new(Terminal::new(editor, history));
    print_events(printer, events, Arc::clone(&shell.print_watches), shell.json, shell.style);
    greet(&mut shell);
    while !shell.quitting {
        let prompt = prompt(&shell);
        match shell.read_line(&prompt) {
            Ok(Line::Text(line)) => {
                shell.remember(&line);
                if let Some(outcome) = shell.execute(&line) {
                    shell.print(&outcome);
                }
            }
            Ok(Line::Interrupted) => {}
            Ok(Line::End) => break,
            Err(failure) => {
                shell.print(&Err(failure));
                break;
            }
        }
    }
    // The user has left already; a session that cannot be closed ends with its timeout.
    let _ = shell.close_session();
    0
}

fn editor(shell: &Shell) -> Result<Editor<Helper, FileHistory>, ReadlineError> {
    let colours = if shell.style.colours { ColorMode::Enabled } else { ColorMode::Disabled };
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .color_mode(colours)
        .auto_add_history(false)
        .build();
    let mut editor = Editor::with_config(config)?;
    editor.set_max_history_size(HISTORY_MAX)?;
    editor.set_helper(Some(Helper::new(shell.session.clone(), shell.style)));
    Ok(editor)
}

fn greet(shell: &mut Shell) {
    if !shell.json {
        println!("Ostler shell {}; 'help' lists the commands, Tab completes.", env!("CARGO_PKG_VERSION"));
    }
    if let Err(failure) = shell.session() {
        shell.print(&Err(failure));
    }
}

/// Server and state, as zkCli shows them, and the number the command will have in the history.
fn prompt(shell: &Shell) -> String {
    let session = shell.session.borrow();
    let server = session.as_ref().map_or_else(|| shell.servers.servers()[0].clone(), Session::server);
    let state = session.as_ref().map_or(SessionState::Closed, Session::state);
    let chroot = Some(shell.servers.chroot()).filter(|chroot| *chroot != "/").unwrap_or_default();
    format!("[{server}{chroot}({}) {}] ", state_name(state), shell.history.len())
}

/// ZooKeeper's word for a state. A session that was given up is as good as expired.
fn state_name(state: SessionState) -> &'static str {
    match state {
        SessionState::AuthFailed => SessionState::Expired.name(),
        state => state.name(),
    }
}

/// Prints events and changes of the connection as they come, above the line that is being typed.
fn print_events(
    mut printer: impl ExternalPrinter + Send + 'static,
    events: Receiver<SessionEvent>,
    print_watches: Arc<AtomicBool>,
    json: bool,
    style: Style,
) {
    let print = move || {
        for event in events {
            let Some((stream, line)) = notices::line(&event, json, style) else { continue };
            if stream == Stream::Err || print_watches.load(Ordering::Relaxed) {
                // Without a terminal there is no one to tell.
                let _ = printer.print(format!("{line}\n"));
            }
        }
    };
    // It ends with the process. Without it the shell still answers.
    if let Err(error) = std::thread::Builder::new().name("notices".into()).spawn(print) {
        eprintln!("events will not be printed: {error}");
    }
}

/// Lines from a user at a terminal.
struct Terminal {
    editor: Editor<Helper, FileHistory>,
    history: Option<PathBuf>,
}

impl Terminal {
    fn new(mut editor: Editor<Helper, FileHistory>, history: Option<PathBuf>) -> Self {
        if let Some(file) = &history {
            // The first start finds no history; a history that cannot be read is ignored.
            let _ = editor.load_history(file);
        }
        Self { editor, history }
    }
}

impl Input for Terminal {
    fn line(&mut self, prompt: &str) -> io::Result<Line> {
        match self.editor.readline(prompt) {
            Ok(line) => Ok(Line::Text(line)),
            Err(ReadlineError::Interrupted) => Ok(Line::Interrupted),
            Err(ReadlineError::Eof) => Ok(Line::End),
            Err(ReadlineError::Io(error)) => Err(error),
            Err(error) => Err(io::Error::other(error)),
        }
    }

    fn data(&mut self) -> Result<Vec<u8>, Failure> {
        Err(input::refuse_data("is the terminal"))
    }

    fn remember(&mut self, line: &str) {
        let added = self.editor.add_history_entry(line).unwrap_or(false);
        if let (true, Some(file)) = (added, &self.history) {
            // As in `new`: a history that cannot be written is ignored.
            let _ = self.editor.append_history(file);
        }
    }
}

/// Where the history is kept: `ostler/shell_history` in the user's state folder, which is
/// created if it does not exist.
fn history_file() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    let folder = state.join("ostler");
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).ok()?;
    Some(folder.join("shell_history"))
}

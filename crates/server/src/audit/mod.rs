//! The audit log: a line for each event that ZooKeeper audits, who caused it, and what came of it.
//!
//! Every server audits the requests of its own clients, where their results become known
//! ([`requests`]), and their reads where that is asked for ([`reads`]). Lines wait in a bounded
//! queue for a thread of their own: a disk or a reader that takes none costs lines, which are
//! counted, and never makes another thread wait.

mod event;
mod file;
mod identity;
pub mod reads;
pub mod requests;

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use self::event::Format;
pub use self::event::{Event, Outcome};
use self::file::RotatedFile;
pub use self::identity::server_user;
use crate::config::{Audit, AuditPlace};

/// Bytes of lines that may wait.
const WAITING_BYTES_MAX: usize = 4 << 20;

/// Bytes of lines that are written without waiting for more.
const GATHERED_BYTES_MAX: usize = 1 << 20;

/// How long lines gather before they are written: to write a few at a time costs more than to make
/// them.
const GATHER: Duration = Duration::from_millis(5);

/// How often the thread checks whether the server stops.
const CHECK: Duration = Duration::from_secs(1);

/// A server that stops waits this long at most for its last lines to be written.
const LAST_LINES: Duration = Duration::from_secs(2);

/// The way to the audit log. Any thread may add to it, and none ever waits.
#[derive(Debug)]
pub struct AuditLog {
    format: Format,
    /// The user in events that no client causes.
    server_user: String,
    has_reads: bool,
    waiting: Mutex<Waiting>,
    /// There is something to write, or the server stops.
    filled: Condvar,
    /// There is enough to write, or the server stops.
    gathered: Condvar,
    /// The thread has written everything and ended.
    ended: Condvar,
}

/// Lines that are not written yet.
#[derive(Debug, Default)]
struct Waiting {
    /// Whole lines, back to back.
    text: String,
    lines: u64,
    /// Lines that found no room since the thread last took the others.
    overflowed: u64,
    is_stopping: bool,
    has_ended: bool,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.lines == 0 && self.overflowed == 0
    }
}

impl AuditLog {
    /// A log for these settings, whose events without a client name this user.
    pub fn new(settings: &Audit, server_user: String) -> AuditLog {
        let format = Format::of(&settings.place);
        let (waiting, filled, gathered, ended) = Default::default();
        AuditLog { format, server_user, has_reads: settings.reads, waiting, filled, gathered, ended }
    }

    /// Whether reads are audited.
    pub fn has_reads(&self) -> bool {
        self.has_reads
    }

    /// Adds an event. `false`: there was no room, and the event is lost.
    pub fn put(&self, now_ms: i64, event: &Event<'_>) -> bool {
        let mut waiting = self.waiting.lock();
        let (start, was_empty) = (waiting.text.len(), waiting.is_empty());
        event.write(self.format, now_ms, &mut waiting.text);
        let has_room = waiting.text.len() <= WAITING_BYTES_MAX;
        if has_room {
            waiting.lines += 1;
        } else {
            waiting.text.truncate(start);
            waiting.overflowed += 1;
        }
        let is_enough = start < GATHERED_BYTES_MAX && waiting.text.len() >= GATHERED_BYTES_MAX;
        drop(waiting);
        if was_empty {
            self.filled.notify_one();
        }
        if is_enough {
            self.gathered.notify_one();
        }
        has_room
    }

    /// The user in events that no client causes.
    pub fn server_user(&self) -> &str {
        &self.server_user
    }

    /// Writes what is added until [`finish`](Self::finish). Counts lines that cannot be written in
    /// `dropped`, where those that found no room were counted before.
    pub fn run(&self, mut sink: Sink, dropped: &AtomicU64, now_ms: impl Fn() -> i64) {
        let mut lost = 0;
        loop {
            let Waiting { text, lines, overflowed, is_stopping, .. } = self.take();
            lost += overflowed;
            if !text.is_empty() {
                match sink.write(&text, now_ms()) {
                    Ok(()) => {}
                    Err(error) => {
                        tracing::warn!("the audit log cannot be written: {error}");
                        lost += lines;
                        dropped.fetch_add(lines, Relaxed);
                    }
                }
            }
            if lost > 0 && self.admit_loss(&mut sink, lost, now_ms()).is_ok() {
                tracing::warn!("{lost} lines of the audit log were lost");
                lost = 0;
            }
            if is_stopping && self.end_if_empty() {
                return;
            }
        }
    }

    /// Writes into the log itself how many lines it lacks.
    fn admit_loss(&self, sink: &mut Sink, lost: u64, now_ms: i64) -> io::Result<()> {
        let mut line = String::new();
        let event = Event {
            user: Some(&self.server_user),
            lines: Some(lost),
            ..Event::new("auditLinesLost", Outcome::Failure)
        };
        event.write(self.format, now_ms, &mut line);
        sink.write(&line, now_ms)
    }

    /// Everything that waits and what comes with it; nothing if nothing comes for a while.
    fn take(&self) -> Waiting {
        let mut waiting = self.waiting.lock();
        if waiting.is_empty() && !waiting.is_stopping {
            self.filled.wait_for(&mut waiting, CHECK);
        }
        if !waiting.is_empty() && !waiting.is_stopping && waiting.text.len() < GATHERED_BYTES_MAX {
            self.gathered.wait_for(&mut waiting, GATHER);
        }
        let is_stopping = waiting.is_stopping;
        std::mem::replace(&mut *waiting, Waiting { is_stopping, ..Waiting::default() })
    }

    fn end_if_empty(&self) -> bool {
        let mut waiting = self.waiting.lock();
        waiting.has_ended = waiting.lines == 0;
        self.ended.notify_all();
        waiting.has_ended
    }

    /// Waits until the last lines are written, for a server that stops.
    pub fn finish(&self) {
        let deadline = Instant::now() + LAST_LINES;
        let mut waiting = self.waiting.lock();
        waiting.is_stopping = true;
        self.filled.notify_one();
        self.gathered.notify_one();
        while !waiting.has_ended && !self.ended.wait_until(&mut waiting, deadline).timed_out() {}
    }
}

/// Where the lines go.
#[derive(Debug)]
pub enum Sink {
    /// A file that begins anew each day, and when it is full.
    File(RotatedFile),
    /// Standard output.
    StandardOutput(File),
}

impl Sink {
    /// Opens the place that the settings name.
    ///
    /// # Errors
    /// The file cannot be opened, or the process has no standard output.
    pub fn open(settings: &Audit, now_ms: i64) -> io::Result<Sink> {
        Ok(match &settings.place {
            AuditPlace::File(path) => Sink::File(RotatedFile::open(path, settings, now_ms)?),
            // Not through `std::io::stdout`, which would keep what the system refuses and retry it.
            AuditPlace::StandardOutput => {
                Sink::StandardOutput(io::stdout().as_fd().try_clone_to_owned()?.into())
            }
        })
    }

    fn write(&mut self, lines: &str, now_ms: i64) -> io::Result<()> {
        match self {
            Sink::File(file) => file.write(lines, now_ms),
            Sink::StandardOutput(output) => output.write_all(lines.as_bytes()),
        }
    }
}

/// What the place of the log is called in messages.
pub fn name_of(place: &AuditPlace) -> &Path {
    match place {
        AuditPlace::File(path) => path,
        AuditPlace::StandardOutput => Path::new("standard output"),
    }
}

/// Writes that the server did not start. Best effort: the log may be what cannot be opened.
pub fn record_failed_start(settings: &Audit, server_user: &str, now_ms: i64) {
    let event = Event { user: Some(server_user), ..Event::new("serverStart", Outcome::Failure) };
    let mut line = String::new();
    event.write(Format::of(&settings.place), now_ms, &mut line);
    let written = Sink::open(settings, now_ms).and_then(|mut sink| sink.write(&line, now_ms));
    if let Err(error) = written {
        tracing::warn!("the audit log does not say that the server did not start: {error}");
    }
}

#[cfg(test)]
mod tests;

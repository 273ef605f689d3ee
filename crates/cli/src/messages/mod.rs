//! What a server says on standard output and standard error.
//! Logging never fails, never waits and never ends the server: a line goes into a
//! [`Queue`], and a thread of its own writes it. The reader of the lines may go away, stop reading,
//! or have a full disk; then lines are lost, and the server says how many once it can write again.
//! Messages that repeat are summed up ([`Repeats`]).

mod queue;
mod repeats;

use std::backtrace::Backtrace;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use signal_hook::consts::SIGXFSZ;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use self::queue::{Queue, Stream};
use self::repeats::Repeats;

/// How often the thread that writes looks for summaries that are due.
const GLANCE: Duration = Duration::from_secs(1);

/// The name of the thread that writes.
const WRITER: &str = "messages";

/// A process that ends waits this long at most for its last lines to be written.
const LAST_LINES: Duration = Duration::from_secs(2);

/// The way to both streams. Clones share it.
#[derive(Clone)]
pub(crate) struct Messages {
    queue: Arc<Queue>,
    repeats: Repeats,
}

impl Messages {
    /// Takes over both streams and all tracing output, as `OSTLER_LOG` selects it.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub(crate) fn start() -> io::Result<Messages> {
        let messages = Messages { queue: Arc::default(), repeats: Repeats::default() };
        let filter = EnvFilter::try_from_env("OSTLER_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
        let queue = Arc::clone(&messages.queue);
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(move || Line(Arc::clone(&queue)))
            .with_ansi(io::stderr().is_terminal())
            .log_internal_errors(false)
            .finish()
            .with(messages.repeats.clone())
            .init();
        // A file for messages that reaches the limit on its size costs messages as well, not the
        // process.
        signal_hook::flag::register(SIGXFSZ, Arc::default())?;
        let writer = messages.clone();
        std::thread::Builder::new().name(WRITER.to_owned()).spawn(move || writer.write())?;
        Ok(messages)
    }

    /// Writes this to standard output.
    pub(crate) fn print(&self, text: &str) {
        self.queue.put(Stream::Output, text.as_bytes());
    }

    /// Writes this to standard error.
    pub(crate) fn complain(&self, text: &str) {
        self.queue.put(Stream::Error, text.as_bytes());
    }

    /// Waits until all lines are written, for a process that is about to end.
    pub(crate) fn finish(&self) {
        self.repeats.report(None);
        self.queue.wait_until_written(LAST_LINES);
    }

    /// Writes the message of a panic.
    pub(crate) fn report_panic(&self, panic: &std::panic::PanicHookInfo<'_>) {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("<unnamed>");
        let text = format!("thread '{name}' {panic}\n{}\n", Backtrace::capture());
        if name == WRITER {
            // No other thread would write it, and a failure cannot be reported.
            let _ = queue::write_to_stream(Stream::Error, text.as_bytes());
        } else {
            self.complain(&text);
        }
    }

    /// Writes the lines for as long as the process lives.
    fn write(&self) {
        let mut lost = 0;
        loop {
            if let Some(written) = self.queue.write_next(GLANCE, queue::write_to_stream) {
                match written {
                    Ok(()) if lost + self.queue.overflowed() > 0 => {
                        let lost = std::mem::take(&mut lost) + self.queue.take_overflowed();
                        tracing::warn!(
                            "{lost} messages were lost, because standard output or standard error took none"
                        );
                    }
                    Ok(()) => {}
                    Err(_) => lost += 1,
                }
            }
            self.repeats.report(Some(Instant::now()));
        }
    }
}

/// Where one traced message goes.
struct Line(Arc<Queue>);

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.put(Stream::Error, bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

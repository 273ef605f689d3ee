//! The server's log, on its way to Python's `logging`.
//!
//! The server's threads never wait for the interpreter: they put lines into a queue, from which a
//! thread of Python takes them. Lines that find it full are dropped.

use std::fmt::{self, Write as _};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use parking_lot::Mutex;
use pyo3::prelude::*;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

/// Lines that may wait for Python.
const LINES_MAX: usize = 10_000;

struct Line {
    level: Level,
    module: &'static str,
    text: String,
}

static LINES: OnceLock<Mutex<Option<Receiver<Line>>>> = OnceLock::new();

struct ToPython(SyncSender<Line>);

impl<S: Subscriber> Layer<S> for ToPython {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        let line = Line { level: *event.metadata().level(), module: event.metadata().target(), text: text.0 };
        // Full: it is dropped.
        let _taken = self.0.try_send(line);
    }
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let separator = if self.0.is_empty() { "" } else { " " };
        let written = match field.name() {
            "message" => write!(self.0, "{separator}{value:?}"),
            name => write!(self.0, "{separator}{name}={value:?}"),
        };
        // A string takes everything.
        debug_assert!(written.is_ok());
    }
}

/// Sends the log of this process to Python from now on, unless it goes elsewhere already.
pub(crate) fn start() {
    LINES.get_or_init(|| {
        let (sender, lines) = sync_channel(LINES_MAX);
        let layer = ToPython(sender).with_filter(tracing_subscriber::filter::LevelFilter::INFO);
        let started = tracing_subscriber::registry().with(layer).try_init();
        Mutex::new(started.is_ok().then_some(lines))
    });
}

/// The next line: its level for `logging`, its module, its text. `None` when no line comes for a
/// while, `False` when no line will come any more.
#[pyfunction]
pub(crate) fn next_log(py: Python<'_>) -> (bool, Option<(u8, &'static str, String)>) {
    let next = py.detach(|| {
        let lines = LINES.get().map(Mutex::lock);
        let lines = lines.as_ref().and_then(|lines| lines.as_ref()).ok_or(RecvTimeoutError::Disconnected)?;
        lines.recv_timeout(Duration::from_millis(200))
    });
    match next {
        Ok(Line { level, module, text }) => (true, Some((number(level), module, text))),
        Err(RecvTimeoutError::Timeout) => (true, None),
        Err(RecvTimeoutError::Disconnected) => (false, None),
    }
}

/// Ends the log.
#[pyfunction]
pub(crate) fn close_log(py: Python<'_>) {
    py.detach(|| {
        if let Some(lines) = LINES.get() {
            *lines.lock() = None;
        }
    });
}

/// The number of a level in `logging`.
fn number(level: Level) -> u8 {
    match level {
        Level::ERROR => 40,
        Level::WARN => 30,
        Level::INFO => 20,
        _ => 10,
    }
}

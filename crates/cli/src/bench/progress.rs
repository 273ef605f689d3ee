//! The progress line of a run. It is drawn on a terminal only.

use super::measure::Control;
use indicatif::{ProgressBar, ProgressStyle};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The line.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// How often the line is redrawn.
    pub(super) const TICK: Duration = Duration::from_millis(100);

    pub(super) fn new() -> Self {
        let bar = ProgressBar::new_spinner();
        bar.set_style(ProgressStyle::with_template("{spinner} {msg}").expect("the template is well-formed"));
        Self(bar)
    }

    fn say(&self, text: String) {
        self.0.set_message(text);
        self.0.tick();
    }

    /// Znodes are being made.
    pub(super) fn filling(&self, server: &str, control: &Control<'_>, count: u64) {
        let done = control.done.load(Ordering::Relaxed);
        let seconds = control.window.now_ns() as f64 / 1e9;
        self.say(format!("{server}: preparing znodes, {done} of {count} ({:.0}/s)", done as f64 / seconds));
    }

    /// Znodes are being deleted.
    pub(super) fn emptying(&self, server: &str, count: usize) {
        self.say(format!("{server}: deleting {count} znodes"));
    }

    /// A round is going on; `rate` is that of the last tick.
    pub(super) fn measuring(&self, label: &str, control: &Control<'_>, rate: f64) {
        let (now, window) = (control.window.now_ns(), &control.window);
        let stage = if now < window.warm_ns { "warming up" } else { "measuring" };
        let left = window.end_ns.saturating_sub(now) as f64 / 1e9;
        self.say(format!("{label}: {stage}, {rate:.0} operations/s, {left:.0} s to go"));
    }

    /// Something without figures.
    pub(super) fn note(&self, text: &str) {
        self.say(text.into());
    }

    /// Removes the line.
    pub(super) fn clear(&self) {
        self.0.finish_and_clear();
    }
}

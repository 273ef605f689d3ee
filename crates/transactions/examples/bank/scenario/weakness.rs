//! At which step a teller falls, and how.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};
use serde::{Deserialize, Serialize};
use transactions::{Observer, Step, TransactionId, When};

use super::cable::Cable;

/// How long a teller stays stopped or cut off: its session ends meanwhile.
pub(super) const PAUSE: Duration = Duration::from_millis(2_500);
/// What a teller says when it is cut off.
pub(super) const CUT_OFF: &str = "cut off";

/// What becomes of a teller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Fall {
    /// Its process ends.
    Killed,
    /// Its process stops, and goes on after [`PAUSE`].
    Stopped,
    /// It reaches no server, and what was sent either way arrives after [`PAUSE`].
    CutOff,
}

/// Where a teller falls.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Weakness {
    /// The step, as [`step_name`] names it.
    pub(super) step: String,
    /// Whether it falls before the step, or after it.
    pub(super) before: bool,
    /// At which time of this step, counted from 1.
    pub(super) at: usize,
    /// What becomes of it.
    pub(super) fall: Fall,
}

/// Lets a teller fall.
pub(super) struct Failpoint {
    weakness: Weakness,
    cable: Arc<Cable>,
    seen: AtomicUsize,
}

impl Failpoint {
    pub(super) fn new(weakness: Weakness, cable: &Arc<Cable>) -> Failpoint {
        Failpoint { weakness, cable: Arc::clone(cable), seen: AtomicUsize::new(0) }
    }
}

impl Observer for Failpoint {
    fn step(&self, _: &TransactionId, when: When, step: &Step) {
        let Weakness { step: name, before, at, fall } = &self.weakness;
        if (when == When::Before) != *before || step_name(step) != *name {
            return;
        }
        if self.seen.fetch_add(1, SeqCst) + 1 != *at {
            return;
        }
        let signal = |signal| kill_process(getpid(), signal).expect("a signal to oneself");
        match fall {
            Fall::Killed => signal(Signal::KILL),
            Fall::Stopped => signal(Signal::STOP),
            Fall::CutOff => {
                self.cable.cut(PAUSE);
                println!("{CUT_OFF}");
            }
        }
    }
}

/// What steps are called in a [`Weakness`].
fn step_name(step: &Step) -> String {
    match step {
        Step::Prepare(resource) => format!("prepare-{resource}"),
        Step::CommitAtOnce(resource) => format!("commit-at-once-{resource}"),
        Step::Decide => "decide".to_owned(),
        Step::ReadDecision => "read-decision".to_owned(),
        Step::Finish(resource, decision) => format!("{decision}-{resource}"),
        Step::Inspect(resource) => format!("inspect-{resource}"),
        Step::Forget => "forget".to_owned(),
        Step::WriteAbort => "write-abort".to_owned(),
    }
}

//! The guarantees. Each has a checker whose failure text is the broken guarantee.

pub mod agreement;
pub mod order;
pub mod reads;
pub mod sessions;
pub mod watches;
pub mod writes;

use std::fmt;

use self::agreement::Agreement;
use crate::history::History;
use crate::plan::Plan;

/// A guarantee that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The text of the guarantee.
    pub guarantee: &'static str,
    /// What was seen instead.
    pub evidence: String,
}

impl Violation {
    /// A broken guarantee, with its evidence.
    pub fn new(guarantee: &'static str, evidence: impl Into<String>) -> Violation {
        Violation { guarantee, evidence: evidence.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.guarantee, self.evidence)
    }
}

/// Judges what the clients of a run saw.
///
/// # Errors
/// The first guarantee that is broken.
pub fn judge(history: &History, agreement: &Agreement, plan: &Plan) -> Result<(), Violation> {
    let written = writes::written(&agreement.outcomes)?;
    writes::judge(history, &written, &agreement.outcomes, &plan.full_disks())?;
    order::judge(history, &written, &agreement.outcomes)?;
    reads::judge(history, agreement, plan)?;
    sessions::judge(history, agreement, plan)?;
    watches::judge(history, agreement)
}

//! Three-phase commit: a coordinator, and an agent beside each participant.
//!
//! ```text
//!  coordinator                      agent                       what the agent may do if the
//!                                                               coordinator is gone
//!  CanCommit ─────────────────────► initial                     abort
//!            ◄───────────── Vote ── prepared                    ask the others
//!  PreCommit ─────────────────────► pre-committed               ask the others
//!            ◄───── PreCommitted ──
//!  Decide ────────────────────────► committed
//! ```
//!
//! No agent is prepared while another one may have committed: `pre-committed` lies between. So
//! agents that can all speak to each other know enough to end a transaction without its
//! coordinator:
//!
//! - An agent that has heard nothing from the coordinator for [`Timing::silence_ms`] asks all
//!   others.
//! - Who knows a decision says so, and everybody follows.
//! - Otherwise the *backup* decides: of the agents that answer and have not crashed since they
//!   voted, the one with the lowest place. If any of them is pre-committed, it brings all of them
//!   to that state, waits for their answers, and commits. Otherwise it aborts.
//! - An agent that has crashed asks, and decides nothing: others may have decided and crashed. If
//!   all agents have crashed and all are back, the first one decides by the same rule.
//!
//! This assumes that only processes fail, and that an answer which does not come within
//! [`Timing::reply_ms`] comes from no living process. A partition breaks that: agents on one side
//! commit, and those on the other side abort. Where that can happen, two-phase commit with a
//! replicated log is right and three-phase commit is not.

mod agent;
mod coordinator;
mod message;
mod termination;
#[cfg(test)]
mod tests;

pub use agent::{Agent, AgentAction, AgentEvent};
pub use coordinator::{Coordinator, CoordinatorAction, CoordinatorEvent};
pub use message::{BadState, Message, Party, State};

/// The bounds of time that three-phase commit believes in, in ms. If they are exceeded, parties may
/// come to different decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// A coordinator sends each agent something at least this often.
    pub heartbeat_ms: u64,
    /// A coordinator that was not heard for this long is dead. More than `heartbeat_ms` and the
    /// longest way of a message.
    pub silence_ms: u64,
    /// A process that does not answer for this long is dead. More than the ways of a message and of
    /// its answer, with a write to a disk in between.
    pub reply_ms: u64,
}

impl Default for Timing {
    fn default() -> Timing {
        Timing { heartbeat_ms: 500, silence_ms: 3_000, reply_ms: 2_000 }
    }
}

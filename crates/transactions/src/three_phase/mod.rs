//! Three-phase commit, for participants that can reach each other and must not wait for a
//! coordinator or an ensemble.
//!
//! Beside each participant runs an [`Agents`], which keeps the state that databases do not have, in
//! a folder, and can end a transaction without its coordinator. A [`Conductor`] is the coordinator
//! and keeps nothing. They send each other messages over TCP, lines of JSON.
//!
//! **Promise.** While processes only crash and come back, all branches end alike, and those whose
//! processes live do not wait for those whose processes do not, nor for the conductor.
//! **What breaks it.** A network that is cut or slower than [`Timing`] says: some branches may
//! commit and others abort. [`Transactions`](crate::Transactions) does not have that weakness and
//! needs the majority of an ensemble instead; prefer it where there is one.

mod agents;
mod conductor;
mod frame;
mod mail;
mod store;

pub use agents::{AgentSettings, Agents};
pub use commit::three_phase::Timing;
pub use conductor::{Conductor, ConductorError};

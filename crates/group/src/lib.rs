//! One member of one group: engine and machine as one deterministic loop, events in and actions out.
//!
//! ```text
//!   submissions ──► batch ──► engine ──► (host makes it durable) ──► engine ──► committed entries ──► machine
//!        │                                                                                              │
//!        └────────── lines: what each local session waits for, in its order ◄───────────────────────────┘
//! ```
//!
//! The replica never reads a clock, a socket or a file. The host tells it the time, carries its entries to the disk and gives it an
//! [`ReplySink`] through which replies, events and session news leave.

#![forbid(unsafe_code)]

mod apply;
mod engine;
mod forward;
pub mod id;
mod leadership;
pub mod message;
mod parked;
mod read_barrier;
pub mod replica;
pub mod reply_sink;
mod resubmission;
mod session_homes;
mod session_owner;
mod session_queue;
pub mod submission;
#[cfg(test)]
mod tests;

pub use reply_sink::{LocalRequest, ReplySink, Token};
/// A Paxos ballot has room for the id of every member.
const _: () = assert!(state::members::MEMBER_ID_LIMIT <= consensus::paxos::MEMBER_ID_LIMIT);

pub use id::GroupId;
pub use replica::{Replica, Settings, first_member_of, next_member_of, server_of};
pub use submission::Submission;

//! Everything that decides for one consensus group: events in, actions out.
//!
//! ```text
//!   host                   Group                                               host
//!   Event ─────────► handle: joining, reconfig, sessions, timers ─────────► Action
//!   Submission ────► Replica: what is in flight, batches ─► engine ───────► Ready: flush, send
//!   flushed, messages of other members ─────────────────► engine
//!                    committed entries ──► machine ──► answers ───────────► ReplySink
//! ```
//!
//! The crate has no clock, thread, socket or file, so a simulated run is deterministic. The host
//! tells it the time, flushes its entries, sends its messages and passes a [`ReplySink`], through
//! which replies, watch events and session news leave.

#![forbid(unsafe_code)]

mod admission;
mod apply;
mod bootstrap;
mod commit_wait;
mod committed;
mod configured_members;
mod directory;
mod engine;
pub mod event;
mod flush_latency;
mod forward;
mod forwarding;
mod gathered;
pub mod group;
pub mod id;
mod in_flight;
mod incoming;
mod join;
mod leader_tasks;
pub mod leader_time;
mod leadership;
mod leadership_transfer;
mod loss;
pub mod member_status;
pub mod message;
mod milestones;
mod parked;
mod peers;
mod plan;
mod publishing;
mod quiet;
mod read_barrier;
pub mod read_progress;
mod reconfig;
pub mod replica;
pub mod reply_sink;
mod resubmission;
mod root_members;
mod serving;
mod session_homes;
mod session_owner;
pub mod session_reports;
pub mod sessions;
pub mod settings;
pub mod shared;
pub mod snapshot_schedule;
pub mod submission;
#[cfg(test)]
mod tests;
pub mod timers;
mod untold;

pub use reply_sink::{LocalRequest, ReplySink, RequestId, Token};
/// A Paxos ballot has room for every member id.
const _: () = assert!(state::members::MEMBER_ID_LIMIT <= consensus::paxos::MEMBER_ID_LIMIT);

pub use bootstrap::founding_meta;
pub use id::GroupId;
pub use replica::{Replica, Settings, first_member_of, next_member_of, server_of};
pub use submission::Submission;

//! Consensus on a log of opaque bytes.
//!
//! [`engine::Engine`] is the contract between a replica and its consensus algorithm.
//! [`raft::RaftEngine`] implements it with Raft, [`paxos::PaxosEngine`] with Multi-Paxos. Every
//! engine must pass the test suite in `conformance` (feature `testing`).
//!
//! Nothing here reads a clock, draws a random number, opens a socket or touches a disk. Time is
//! [`Engine::tick`](engine::Engine::tick), the network is bytes in and bytes out, and the disk is a
//! [`Ready`](engine::Ready) that the host writes and acknowledges; so every failure can be
//! replayed.

mod barriers;
mod codec;
#[cfg(any(test, feature = "testing"))]
pub mod conformance;
pub mod engine;
pub mod entry;
mod log;
pub mod membership;
pub mod message;

pub mod paxos;
pub mod raft;
mod term_guard;
mod timeout;

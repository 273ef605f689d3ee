//! One log of opaque bytes, agreed.
//!
//! [`engine::Engine`] is the contract: what a replica may expect of agreement, whichever algorithm gives it.
//! [`raft::RaftEngine`] keeps it with Raft, [`paxos::PaxosEngine`] with Multi-Paxos. [`conformance`] is the one suite every
//! engine has to pass.
//!
//! Nothing here reads a clock, draws a random number, opens a socket or touches a disk. Time is
//! [`Engine::tick`](engine::Engine::tick), the network is bytes in and bytes out, and the disk is a
//! [`Ready`](engine::Ready) that the host writes and reports back; so every failure can be replayed.

mod barriers;
mod codec;
pub mod conformance;
pub mod engine;
pub mod entry;
mod log;
pub mod membership;
pub mod message;
mod nearness;
pub mod paxos;
pub mod raft;
mod timeout;

//! What is replicated: the znode tree, sessions, ACLs and quotas; commands in, changes and replies out.
//!
//! ```text
//!   log entry ──► command ──► machine ──► reply body, result code, zxid
//!                               │  │
//!                             tree └────► changes ──► watch table ──► events
//! ```
//!
//! Everything here is deterministic. A member is told the time (in the [batch header](command::BatchHeader)), the
//! settings and the seeds; it asks nobody. Members that applied the same entries have the same
//! [digest](machine::Machine::digest), the same replies and the same changes in the same order.
//!
//! What is *not* replicated lives here too when it is a pure function of what is: [watches](watch), which belong to
//! one member's connections, and the [expiry queue](expiry) of the leader.

pub mod acl;
pub mod acl_table;
pub mod auth;
pub mod change;
pub mod command;
pub mod containers;
pub mod expiry;
pub mod machine;
pub mod members;
mod path_lengths;
pub mod quota;
pub mod read;
pub mod session;
pub mod snapshot;
pub mod tree;
pub mod watch;

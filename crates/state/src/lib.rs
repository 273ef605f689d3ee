//! The replicated state: the znode tree, sessions, ACLs and quotas; it takes commands and produces
//! changes and replies.
//!
//! ```text
//!   log entry ──► command ──► machine ──► reply body, result code, zxid
//!                              │   │  │
//!                       ensemble tree └────► changes ──► watch table ──► events
//! ```
//!
//! Everything here is deterministic. The time (in the [batch header](command::BatchHeader)), the
//! settings and the seeds are inputs. Members that applied the same entries have the same
//! [digest](machine::Machine::digest), the same replies and the same changes in the same order.
//!
//! Some state that is *not* replicated lives here too, because it is a pure function of replicated
//! state: [watches](watch), which belong to one member's connections, and the leader's [expiry
//! queue](expiry).

pub mod acl;
pub mod acl_table;
pub mod auth;
pub mod change;
pub mod command;
pub mod containers;
pub mod data_tree;
mod distinguished_name;
mod ensemble;
pub mod expiry;
pub mod grants;
pub mod machine;
pub mod members;
pub mod password_hash;
mod path_lengths;
pub mod quota;
pub mod read;
pub mod session;
pub mod snapshot;
pub mod tree;
pub mod watch;

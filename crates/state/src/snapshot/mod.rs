//! The whole state as bytes: writing and loading snapshots.
//!
//! ```text
//! snapshot = block*                       block = length u32 (of payload) | kind u8 | payload
//!
//! kind 1  head      magic "OSTS" | version u8 (2 or 3) | last zxid i64 | has key u8 (0 or 1)
//!                   | [cluster key, 32 bytes] | members, see `members::Members::put`;
//!                   version 1 ends before the members and can be read;
//!                   version 3 has the layout of version 2, and grants in force
//! kind 2  sessions  (id i64 | timeout_ms i32 | home u32)*
//! kind 3  ACLs      (id u32 | length u32 | jute vector<ACL>)*
//! kind 4  quotas    (path ustring | count i64 | bytes i64 | hides data u8)*
//! kind 5  nodes     node image*, see `tree::NodeImage`; parents before children
//! kind 6  end       number of nodes u64
//! ```
//!
//! The head comes first, the end last, and the other kinds in the order of their numbers, each in
//! any number of blocks. The end of the head and the sessions are the ensemble's part (`ensemble`),
//! the ACLs, quotas and nodes the data tree's (`tree`). Integers are big-endian, except inside node
//! images. The format has no checksums; the storage layer adds them. Numbers of kinds and fields of
//! a version never change.
//!
//! Everything that can be computed from the nodes is omitted: ephemerals of sessions, containers,
//! limits of quotas, grants. Version 3 is for programs that do not know grants: they must not go on
//! without them.

mod ensemble;
mod load;
mod tree;
mod write;

pub use load::{LoadError, Loader};
pub use write::SnapshotCursor;

const MAGIC: &[u8; 4] = b"OSTS";
const VERSION: u8 = 2;
/// The version of a state with grants in force.
const WITH_GRANTS: u8 = 3;
/// The last version without members.
const WITHOUT_MEMBERS: u8 = 1;

const HEAD: u8 = 1;
const SESSIONS: u8 = 2;
const ACLS: u8 = 3;
const QUOTAS: u8 = 4;
const NODES: u8 = 5;
const END: u8 = 6;

//! The ZooKeeper client protocol: frames, records, operations and codes.
//!
//! Everything here is a pure function of its input: no sockets, no clock, no configuration.
//! Decoding borrows from the frame and allocates nothing. It finds every structural error in a
//! record, so reading a decoded record later cannot fail. Encoding appends to a `Vec<u8>`.
//!
//! The meaning of a record is *not* here. `state` and `server` decide whether a path is legal, an
//! ACL acceptable or a flag supported; this crate offers only the rules about text and numbers (see
//! [`path`]).

#![forbid(unsafe_code)]

pub mod acl;
pub mod code;
pub mod event;
pub mod frame;
pub mod jute;
pub mod lenient;
pub mod opcode;
pub mod path;
pub mod record;
pub mod stat;
pub mod xid;

pub use acl::{Acl, AclList, Id};
pub use code::ErrorCode;
pub use jute::Malformed;
pub use opcode::Opcode;
pub use stat::Stat;

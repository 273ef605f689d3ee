//! The ZooKeeper client protocol as bytes and nouns.
//!
//! Everything here is a pure function of its input: no sockets, no clock, no configuration. Decoding borrows from the
//! frame and allocates nothing; whatever can be structurally wrong with a record is found while decoding it, so that
//! reading a decoded record later cannot fail. Encoding appends to a `Vec<u8>`.
//!
//! What is *not* here: what a record means. Whether a path is legal, an ACL acceptable or a flag supported is decided
//! by `state` and `server`; this crate only offers the rules that are about text and numbers alone (see [`path`]).

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

//! The headers before bodies.

use super::{Record, records};
use crate::jute::{Malformed, Reader};

records! {
    /// Before the body of every request.
    RequestHeader {
        /// The client's number for the request; the reply carries it too.
        xid: i32,
        /// The operation as sent; it may not exist.
        opcode_raw: i32,
    }

    /// Before the body of every reply and of every watch event.
    ReplyHeader {
        /// The request's number, or a number from [`crate::xid`].
        xid: i32,
        /// For a write, its own zxid; for a read, the last zxid applied; 0 after authentication.
        zxid: i64,
        /// An error code; a body follows only if it is 0.
        err: i32,
    }

    /// Before every operation and every result of a multi, and at its end.
    MultiHeader {
        /// The operation; -1 for an error and at the end.
        opcode_raw: i32,
        /// Whether this is the end.
        done: bool,
        /// In a result, the error code; in a request and at the end, -1.
        err: i32,
    }
}

impl RequestHeader {
    /// Bytes of an encoded header.
    pub const ENCODED_LEN: usize = 8;
}

impl ReplyHeader {
    /// Bytes of an encoded header.
    pub const ENCODED_LEN: usize = 16;
}

impl MultiHeader {
    /// Bytes of an encoded header.
    pub const ENCODED_LEN: usize = 9;
    /// The end of a multi.
    pub const END: Self = Self { opcode_raw: -1, done: true, err: -1 };
}

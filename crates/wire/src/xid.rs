//! Reserved request numbers.
//!
//! Ordinary numbers start at 1 and may wrap, so only these four negative numbers are special.

/// In a reply header: a watch event, not a reply.
pub const NOTIFICATION: i32 = -1;
/// A ping and its reply.
pub const PING: i32 = -2;
/// An authentication packet and its reply.
pub const AUTH: i32 = -4;
/// The re-registration of watches after a reconnect, and its reply.
pub const SET_WATCHES: i32 = -8;

//! Request numbers that are not chosen by the application.
//!
//! Ordinary numbers start at 1 and may wrap, so a negative number alone does not make a request special: only these
//! four do.

/// In a reply header: no reply at all but a watch event.
pub const NOTIFICATION: i32 = -1;
/// A ping and its answer.
pub const PING: i32 = -2;
/// An authentication packet and its answer.
pub const AUTH: i32 = -4;
/// The re-registration of watches after a reconnect, and its answer.
pub const SET_WATCHES: i32 = -8;

//! The events of one run of applying: how many bytes a connection may get.
//!
//! One command can change a million znodes, each deep down, and somebody who watches all of them is
//! to be told of each by its path. What that comes to is known only while it is made, with the
//! state held. A connection whose events are too long is closed instead: its client connects again,
//! sets its watches again and looks.

use group::Token;
use hashbrown::HashMap;

/// Bytes of events that any connection may get in a run, whatever the others get.
const ALWAYS_BYTES: usize = 1 << 20;

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// It may go out.
    Yes,
    /// It may not, and the connection has to be closed.
    Close,
    /// It may not, and the connection is being closed.
    No,
}

/// Counts the bytes of events by connection.
#[derive(Debug)]
pub(super) struct EventBytes {
    /// Bytes of one connection at most.
    one_max: usize,
    /// Bytes of all connections from which on none gets more than [`ALWAYS_BYTES`].
    all_max: usize,
    all: usize,
    /// Bytes of each connection, or [`CLOSED`]. Kept only once all together are many.
    by_token: HashMap<Token, usize>,
}

/// Instead of the bytes of a connection that is being closed.
const CLOSED: usize = usize::MAX;

impl EventBytes {
    pub(super) fn new(one_max: u64, all_max: u64) -> EventBytes {
        let bytes = |max: u64| usize::try_from(max).unwrap_or(usize::MAX);
        let (one_max, all_max) = (bytes(one_max), bytes(all_max));
        EventBytes { one_max, all_max, all: 0, by_token: HashMap::new() }
    }

    /// An event of so many bytes for that connection.
    pub(super) fn add(&mut self, token: Token, bytes: usize) -> Told {
        self.all += bytes;
        if self.all <= ALWAYS_BYTES {
            return Told::Yes;
        }
        let own = self.by_token.entry(token).or_default();
        if *own == CLOSED {
            self.all -= bytes;
            return Told::No;
        }
        *own += bytes;
        if *own <= ALWAYS_BYTES || (*own <= self.one_max && self.all <= self.all_max) {
            return Told::Yes;
        }
        self.all -= *own;
        *own = CLOSED;
        Told::Close
    }

    /// A new run begins.
    pub(super) fn clear(&mut self) {
        self.all = 0;
        self.by_token.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn who_gets_too_much_is_closed_and_all_others_are_told() {
        let mut bytes = EventBytes::new(3 * MIB as u64, 5 * MIB as u64);
        let (loud, quiet) = (Token(1), Token(2));
        let mut told = Vec::new();
        for _ in 0..6 {
            told.push(bytes.add(loud, MIB));
            assert_eq!(bytes.add(quiet, 100), Told::Yes);
        }
        // The first MiB of a run is not counted by connection.
        let (yes, no) = (Told::Yes, Told::No);
        assert_eq!(told, [yes, yes, yes, yes, Told::Close, no]);
        bytes.clear();
        assert_eq!(bytes.add(loud, MIB), yes);
    }

    #[test]
    fn many_that_get_much_are_closed_sooner() {
        let mut bytes = EventBytes::new(3 * MIB as u64, 5 * MIB as u64);
        let mut gone = 0;
        for _ in 0..3 {
            for token in 0..10 {
                gone += usize::from(bytes.add(Token(token), MIB) == Told::Close);
            }
        }
        assert!(gone >= 8, "{gone} of ten");
    }
}

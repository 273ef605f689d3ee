//! Limits the bytes of watch events that a connection may get in one run of applying.
//!
//! One command can change a million znodes with long paths, and a client that watches all of them
//! must get an event with the path of each. The total size is known only while the events are made,
//! with the state held. A connection whose events are too long is closed instead: its client
//! connects again, sets its watches again and reads the state.

use group::Token;
use hashbrown::HashMap;

/// Bytes of events that each connection may get in a run, whatever the others get.
const ALWAYS_BYTES: usize = 1 << 20;

/// What happens to an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// It is sent.
    Yes,
    /// It is not sent, and the connection must be closed.
    Close,
    /// It is not sent, and the connection is being closed already.
    No,
}

/// Counts the bytes of events by connection.
#[derive(Debug)]
pub(super) struct EventBytes {
    /// Most bytes for one connection.
    one_max: usize,
    /// Once all connections together exceed this many bytes, none gets more than [`ALWAYS_BYTES`].
    all_max: usize,
    all: usize,
    /// Bytes for each connection, or [`CLOSED`]. Counted only once all together exceed
    /// [`ALWAYS_BYTES`].
    by_token: HashMap<Token, usize>,
}

/// Stands for the bytes of a connection that is being closed.
const CLOSED: usize = usize::MAX;

impl EventBytes {
    pub(super) fn new(one_max: u64, all_max: u64) -> EventBytes {
        let bytes = |max: u64| usize::try_from(max).unwrap_or(usize::MAX);
        let (one_max, all_max) = (bytes(one_max), bytes(all_max));
        EventBytes { one_max, all_max, all: 0, by_token: HashMap::new() }
    }

    /// Counts an event of `bytes` bytes for a connection, and decides what happens to it.
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

    /// Resets the counts for a new run.
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

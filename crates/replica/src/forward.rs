//! The one ordered stream of commands from a server without the lead to the leader.
//!
//! Its messages are numbered, repeated until the leader says it has taken them, and taken in order: what one member forwards in one
//! leadership gets its places in the log in that order, once each, or not at all. A new leadership is a new stream: nothing of the old one
//! is repeated, because nobody can know what became of it.

use std::collections::VecDeque;

use bytes::Bytes;
use hashbrown::HashMap;

use crate::peer::PeerMessage;
use state::members::ServerId;

/// Ticks after which what the leader has not taken is sent again.
const REPEAT_TICKS: u32 = 10;

/// A forwarded message is closed once it holds so many bytes.
const MESSAGE_BYTES: usize = 1 << 20;

/// The sending end.
#[derive(Debug)]
pub(crate) struct Stream {
    term: u64,
    life: u64,
    /// Number of the next message.
    next: u64,
    /// Commands for the next message.
    gathered: Vec<u8>,
    /// Sent and not taken yet, the oldest first.
    untaken: VecDeque<(u64, Bytes)>,
    /// Ticks since the oldest of them was last sent.
    waited_ticks: u32,
}

impl Stream {
    /// The stream of this life of the sender to the leader of `term`.
    pub(crate) fn new(term: u64, life: u64) -> Stream {
        Stream { term, life, next: 0, gathered: Vec::new(), untaken: VecDeque::new(), waited_ticks: 0 }
    }

    /// Adds an encoded command behind all others.
    pub(crate) fn add(&mut self, command: &[u8], out: &mut Vec<PeerMessage>) {
        self.gathered.extend_from_slice(command);
        if self.gathered.len() >= MESSAGE_BYTES {
            self.send(out);
        }
    }

    /// Sends what was added.
    pub(crate) fn send(&mut self, out: &mut Vec<PeerMessage>) {
        if self.gathered.is_empty() {
            return;
        }
        let commands = Bytes::from(std::mem::take(&mut self.gathered));
        if self.untaken.is_empty() {
            self.waited_ticks = 0;
        }
        self.untaken.push_back((self.next, commands.clone()));
        out.push(self.message(self.next, commands));
        self.next += 1;
    }

    /// Sends everything again that was not taken.
    pub(crate) fn repeat(&mut self, out: &mut Vec<PeerMessage>) {
        self.waited_ticks = 0;
        out.extend(self.untaken.iter().map(|(number, commands)| self.message(*number, commands.clone())));
    }

    /// A tick went by.
    pub(crate) fn tick(&mut self, out: &mut Vec<PeerMessage>) {
        self.waited_ticks += u32::from(!self.untaken.is_empty());
        if self.waited_ticks >= REPEAT_TICKS {
            self.repeat(out);
        }
    }

    /// The leader has taken all below `next`.
    pub(crate) fn taken(&mut self, term: u64, life: u64, next: u64) {
        if (term, life) != (self.term, self.life) {
            return;
        }
        while self.untaken.front().is_some_and(|(number, _)| *number < next) {
            self.untaken.pop_front();
            self.waited_ticks = 0;
        }
    }

    /// The leadership it is meant for.
    pub(crate) fn term(&self) -> u64 {
        self.term
    }

    fn message(&self, number: u64, commands: Bytes) -> PeerMessage {
        PeerMessage::Forward { term: self.term, life: self.life, number, commands }
    }
}

/// The receiving ends of all members, in one leadership.
#[derive(Debug, Default)]
pub(crate) struct Inlets {
    ends: HashMap<ServerId, Inlet>,
    /// Members whose messages were looked at since they were last told how far they came.
    unheard: Vec<ServerId>,
}

#[derive(Debug, Default)]
struct Inlet {
    life: u64,
    next: u64,
}

impl Inlets {
    /// Whether this message is the next of its sender; it is then taken.
    pub(crate) fn take(&mut self, from: ServerId, life: u64, number: u64) -> bool {
        let inlet = self.ends.entry(from).or_default();
        if life > inlet.life {
            *inlet = Inlet { life, next: 0 };
        }
        if life < inlet.life {
            return false;
        }
        if !self.unheard.contains(&from) {
            self.unheard.push(from);
        }
        let is_next = number == inlet.next;
        inlet.next += u64::from(is_next);
        is_next
    }

    /// What to tell whom.
    pub(crate) fn answers(&mut self, term: u64) -> impl Iterator<Item = (ServerId, PeerMessage)> + '_ {
        let ends = &self.ends;
        self.unheard.drain(..).map(move |member| {
            let inlet = &ends[&member];
            (member, PeerMessage::Taken { term, life: inlet.life, next: inlet.next })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(message: &PeerMessage) -> u64 {
        match message {
            PeerMessage::Forward { number, .. } => *number,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_lost_is_repeated_and_what_comes_twice_is_taken_once() {
        let mut stream = Stream::new(5, 1);
        let mut sent = Vec::new();
        for command in [b"a", b"b", b"c"] {
            stream.add(command, &mut sent);
            stream.send(&mut sent);
        }
        let mut inlets = Inlets::default();
        assert!(inlets.take(2, 1, number(&sent[0])));
        assert!(!inlets.take(2, 1, number(&sent[2])), "one is missing");
        assert!(!inlets.take(2, 1, number(&sent[0])), "it has its place already");
        let answers: Vec<_> = inlets.answers(5).collect();
        assert_eq!(answers, [(2, PeerMessage::Taken { term: 5, life: 1, next: 1 })]);
        stream.taken(5, 1, 1);
        let mut again = Vec::new();
        (0..REPEAT_TICKS).for_each(|_| stream.tick(&mut again));
        assert_eq!(again.iter().map(number).collect::<Vec<_>>(), [1, 2]);
        assert!(again.iter().all(|message| inlets.take(2, 1, number(message))));
        stream.taken(5, 1, 3);
        again.clear();
        (0..2 * REPEAT_TICKS).for_each(|_| stream.tick(&mut again));
        assert_eq!(again, []);
    }

    #[test]
    fn an_earlier_start_of_a_member_has_nothing_to_say_any_more() {
        let mut inlets = Inlets::default();
        assert!(inlets.take(2, 7, 0));
        assert!(inlets.take(2, 8, 0), "a new start counts from 0");
        assert!(!inlets.take(2, 7, 1));
        let answers: Vec<_> = inlets.answers(1).collect();
        assert_eq!(answers, [(2, PeerMessage::Taken { term: 1, life: 8, next: 1 })]);
    }

    #[test]
    fn nobody_believes_what_was_taken_of_another_stream() {
        let mut stream = Stream::new(5, 1);
        let mut sent = Vec::new();
        stream.add(b"a", &mut sent);
        stream.send(&mut sent);
        stream.taken(4, 1, 1);
        stream.taken(5, 2, 1);
        sent.clear();
        stream.repeat(&mut sent);
        assert_eq!(sent.len(), 1);
    }
}

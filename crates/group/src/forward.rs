//! The ordered stream of commands from a follower to the leader.
//!
//! Its messages are numbered, resent until the leader acknowledges that it has taken them, and
//! taken in order: what one member forwards in one leadership gets its places in the log in that
//! order, once each, or not at all. A new leadership is a new stream and takes nothing from an old
//! one.

use std::collections::{BTreeSet, VecDeque};

use std::ops::Range;

use bytes::Bytes;
use hashbrown::HashMap;

use crate::message::{GroupMessage, RefusedCommand};
use crate::submission::{Buffer, Encoded};
use state::members::ServerId;

/// Ticks after which what the leader has not taken is resent.
const REPEAT_TICKS: u32 = 10;

/// A forwarded message is closed once it holds this many bytes.
const MESSAGE_BYTES: usize = 1 << 20;

/// The leader takes nothing more from a member with this many unacknowledged refusals.
const REFUSALS_KEPT_MAX: usize = 1 << 16;

/// Most refusals in one message.
const REFUSALS_TOLD_MAX: usize = 1 << 12;

/// The sending end.
#[derive(Debug)]
pub(crate) struct ForwardStream {
    term: u64,
    life: u64,
    /// Number of the next message.
    next: u64,
    /// Commands for the next message: parts of the buffers in which they were submitted.
    gathered: Vec<Gathered>,
    gathered_bytes: usize,
    /// Commands added since the stream began.
    commands: u64,
    /// Number of the leader's refusals that are known here.
    refusals: u64,
    /// Messages sent and not yet taken, oldest first.
    untaken: VecDeque<(u64, Vec<Bytes>)>,
    /// Ticks since the oldest of them was last sent.
    waited_ticks: u32,
}

impl ForwardStream {
    /// The stream of this life of the sender to the leader of `term`.
    pub(crate) fn new(term: u64, life: u64) -> ForwardStream {
        ForwardStream {
            term,
            life,
            next: 0,
            gathered: Vec::new(),
            gathered_bytes: 0,
            commands: 0,
            refusals: 0,
            untaken: VecDeque::new(),
            waited_ticks: 0,
        }
    }

    /// Appends an encoded command; returns its place in the stream.
    pub(crate) fn add(&mut self, command: &Encoded<'_>, out: &mut Vec<GroupMessage>) -> u64 {
        self.gathered_bytes += command.range.len();
        match self.gathered.last_mut().filter(|last| last.is_before(command)) {
            Some(last) => last.range.end = command.range.end,
            None => {
                let (buffer, range) = command.parts();
                self.gathered.push(Gathered { buffer, range });
            }
        }
        if self.gathered_bytes >= MESSAGE_BYTES {
            self.send(out);
        }
        self.commands += 1;
        self.commands - 1
    }

    /// Sends what was added.
    pub(crate) fn send(&mut self, out: &mut Vec<GroupMessage>) {
        if self.gathered.is_empty() {
            return;
        }
        let commands: Vec<Bytes> =
            self.gathered.drain(..).map(|Gathered { buffer, range }| buffer.slice(range)).collect();
        self.gathered_bytes = 0;
        if self.untaken.is_empty() {
            self.waited_ticks = 0;
        }
        self.untaken.push_back((self.next, commands.clone()));
        out.push(self.message(self.next, commands));
        self.next += 1;
    }

    /// Resends everything that was not taken.
    pub(crate) fn repeat(&mut self, out: &mut Vec<GroupMessage>) {
        self.waited_ticks = 0;
        out.extend(self.untaken.iter().map(|(number, commands)| self.message(*number, commands.clone())));
    }

    /// One tick has passed.
    pub(crate) fn tick(&mut self, out: &mut Vec<GroupMessage>) {
        self.waited_ticks += u32::from(!self.untaken.is_empty());
        if self.waited_ticks >= REPEAT_TICKS {
            self.repeat(out);
        }
    }

    /// Whether everything added was sent and taken.
    pub(crate) fn is_idle(&self) -> bool {
        self.gathered.is_empty() && self.untaken.is_empty()
    }

    /// The leader has taken everything below `next`.
    pub(crate) fn taken(&mut self, term: u64, life: u64, next: u64) {
        if (term, life) != (self.term, self.life) {
            return;
        }
        while self.untaken.front().is_some_and(|(number, _)| *number < next) {
            self.untaken.pop_front();
            self.waited_ticks = 0;
        }
    }

    /// The leader names commands that it refused, beginning with its refusal number `first`. Keeps
    /// only the new ones in `refused`, and returns the acknowledgement.
    pub(crate) fn refused(
        &mut self,
        (term, life): (u64, u64),
        first: u64,
        refused: &mut Vec<RefusedCommand>,
    ) -> Option<GroupMessage> {
        if (term, life) != (self.term, self.life) || first > self.refusals {
            refused.clear();
            return None;
        }
        let known = usize::try_from(self.refusals - first).unwrap_or(usize::MAX).min(refused.len());
        refused.drain(..known);
        self.refusals += refused.len() as u64;
        Some(GroupMessage::RefusalsKnown { term, life, next: self.refusals })
    }

    fn message(&self, number: u64, commands: Vec<Bytes>) -> GroupMessage {
        GroupMessage::Forward { term: self.term, life: self.life, number, commands }
    }
}

/// Commands that stand one after the other in a buffer.
#[derive(Debug)]
struct Gathered {
    buffer: Bytes,
    range: Range<usize>,
}

impl Gathered {
    /// Whether the command comes right behind in the same buffer.
    fn is_before(&self, command: &Encoded<'_>) -> bool {
        let Buffer::Shared(buffer) = command.buffer else { return false };
        self.buffer.as_ptr() == buffer.as_ptr() && self.range.end == command.range.start
    }
}

/// The receiving ends for all members, in one leadership.
#[derive(Debug, Default)]
pub(crate) struct ForwardedStreams {
    ends: HashMap<ServerId, Inlet>,
    /// Members whose messages were examined since the last acknowledgement to them.
    unheard: Vec<ServerId>,
    /// Members that must be told of refusals.
    untold: BTreeSet<ServerId>,
    /// Ticks since refusals were last resent.
    waited_ticks: u32,
}

#[derive(Debug, Default)]
struct Inlet {
    life: u64,
    next: u64,
    /// Commands in the messages that were taken.
    commands: u64,
    /// Refused commands that the member has not acknowledged, oldest first.
    refused: VecDeque<RefusedCommand>,
    /// Number of refusals before these.
    refusals_known: u64,
}

impl ForwardedStreams {
    /// Whether this message is the next of its sender; if so, it is taken.
    pub(crate) fn take(&mut self, from: ServerId, life: u64, number: u64) -> bool {
        let inlet = self.ends.entry(from).or_default();
        if life > inlet.life {
            *inlet = Inlet { life, ..Inlet::default() };
        }
        if life < inlet.life {
            return false;
        }
        if !self.unheard.contains(&from) {
            self.unheard.push(from);
        }
        let is_next = number == inlet.next && inlet.refused.len() < REFUSALS_KEPT_MAX;
        inlet.next += u64::from(is_next);
        is_next
    }

    /// Counts a command of a taken message; returns its place in the stream.
    pub(crate) fn count_command(&mut self, from: ServerId) -> u64 {
        let inlet = self.ends.entry(from).or_default();
        inlet.commands += 1;
        inlet.commands - 1
    }

    /// A command taken from that member gets no place in the log.
    pub(crate) fn refuse(&mut self, from: ServerId, refused: RefusedCommand) {
        self.ends.entry(from).or_default().refused.push_back(refused);
        self.untold.insert(from);
    }

    /// That member knows of all refusals below `next`.
    pub(crate) fn refusals_known(&mut self, from: ServerId, life: u64, next: u64) {
        let Some(inlet) = self.ends.get_mut(&from).filter(|inlet| inlet.life == life) else { return };
        while inlet.refusals_known < next && inlet.refused.pop_front().is_some() {
            inlet.refusals_known += 1;
        }
    }

    /// Whether every member knows what was taken and refused.
    pub(crate) fn are_idle(&self) -> bool {
        self.unheard.is_empty()
            && self.untold.is_empty()
            && self.ends.values().all(|inlet| inlet.refused.is_empty())
    }

    /// One tick has passed: resends what a member may not have received.
    pub(crate) fn tick(&mut self) {
        self.waited_ticks += 1;
        if self.waited_ticks >= REPEAT_TICKS {
            self.waited_ticks = 0;
            let waiting = self.ends.iter().filter(|(_, inlet)| !inlet.refused.is_empty());
            self.untold.extend(waiting.map(|(member, _)| *member));
        }
    }

    /// The acknowledgements and refusals to send.
    pub(crate) fn answers(&mut self, term: u64, out: &mut Vec<(ServerId, GroupMessage)>) {
        for member in self.unheard.drain(..) {
            let inlet = &self.ends[&member];
            out.push((member, GroupMessage::Taken { term, life: inlet.life, next: inlet.next }));
        }
        while let Some(member) = self.untold.pop_first() {
            let inlet = &self.ends[&member];
            let refused: Vec<_> = inlet.refused.iter().copied().take(REFUSALS_TOLD_MAX).collect();
            if !refused.is_empty() {
                let (life, first) = (inlet.life, inlet.refusals_known);
                out.push((member, GroupMessage::NotTaken { term, life, first, refused }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(message: &GroupMessage) -> u64 {
        match message {
            GroupMessage::Forward { number, .. } => *number,
            other => panic!("{other:?}"),
        }
    }

    fn answers(inlets: &mut ForwardedStreams) -> Vec<(ServerId, GroupMessage)> {
        let mut out = Vec::new();
        inlets.answers(5, &mut out);
        out
    }

    #[test]
    fn what_is_lost_is_repeated_and_what_comes_twice_is_taken_once() {
        let mut stream = ForwardStream::new(5, 1);
        let mut sent = Vec::new();
        for command in [b"a", b"b", b"c"] {
            stream.add(&Encoded::whole(&Bytes::copy_from_slice(command)), &mut sent);
            stream.send(&mut sent);
        }
        let mut inlets = ForwardedStreams::default();
        assert!(inlets.take(2, 1, number(&sent[0])));
        assert!(!inlets.take(2, 1, number(&sent[2])), "one is missing");
        assert!(!inlets.take(2, 1, number(&sent[0])), "it has its place already");
        assert_eq!(answers(&mut inlets), [(2, GroupMessage::Taken { term: 5, life: 1, next: 1 })]);
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
        let mut inlets = ForwardedStreams::default();
        assert!(inlets.take(2, 7, 0));
        assert!(inlets.take(2, 8, 0), "a new start counts from 0");
        assert!(!inlets.take(2, 7, 1));
        assert_eq!(answers(&mut inlets), [(2, GroupMessage::Taken { term: 5, life: 8, next: 1 })]);
    }

    #[test]
    fn nobody_believes_what_was_taken_of_another_stream() {
        let mut stream = ForwardStream::new(5, 1);
        let mut sent = Vec::new();
        stream.add(&Encoded::whole(&Bytes::from_static(b"a")), &mut sent);
        stream.send(&mut sent);
        stream.taken(4, 1, 1);
        stream.taken(5, 2, 1);
        sent.clear();
        stream.repeat(&mut sent);
        assert_eq!(sent.len(), 1);
    }

    /// Regression: a refusal sent once was lost with the connection between the servers, and the
    /// client waited forever.
    #[test]
    fn a_refusal_is_told_until_it_is_known() {
        let mut stream = ForwardStream::new(5, 1);
        let mut sent = Vec::new();
        assert_eq!(
            (
                stream.add(&Encoded::whole(&Bytes::from_static(b"a")), &mut sent),
                stream.add(&Encoded::whole(&Bytes::from_static(b"b")), &mut sent)
            ),
            (0, 1)
        );
        stream.send(&mut sent);
        let mut inlets = ForwardedStreams::default();
        assert!(inlets.take(2, 1, number(&sent[0])));
        assert_eq!((inlets.count_command(2), inlets.count_command(2)), (0, 1));
        inlets.refuse(2, RefusedCommand { session: 7, place: 1 });
        assert_eq!(answers(&mut inlets).len(), 2, "taken, and refused; but this is lost");
        assert_eq!(answers(&mut inlets).len(), 0);
        (0..REPEAT_TICKS).for_each(|_| inlets.tick());
        inlets.refuse(2, RefusedCommand { session: 8, place: 2 });
        let Some((2, GroupMessage::NotTaken { term, life, first, refused })) = answers(&mut inlets).pop()
        else {
            panic!("a refusal is told again");
        };
        let mut news = refused.clone();
        let known = stream.refused((term, life), first, &mut news);
        assert_eq!(news.iter().map(|refused| refused.place).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(known, Some(GroupMessage::RefusalsKnown { term: 5, life: 1, next: 2 }));
        let mut doubled = refused.clone();
        assert!(stream.refused((term, life), first, &mut doubled).is_some() && doubled.is_empty());
        let mut gap = refused.clone();
        assert!(stream.refused((term, life), 3, &mut gap).is_none() && gap.is_empty());
        inlets.refusals_known(2, 1, 2);
        (0..REPEAT_TICKS).for_each(|_| inlets.tick());
        assert_eq!(answers(&mut inlets), []);
    }

    #[test]
    fn who_does_not_hear_of_refusals_is_not_listened_to() {
        let mut inlets = ForwardedStreams::default();
        assert!(inlets.take(2, 1, 0));
        for place in 0..REFUSALS_KEPT_MAX as u64 {
            inlets.refuse(2, RefusedCommand { session: 7, place });
        }
        assert!(!inlets.take(2, 1, 1), "it is sent again");
        inlets.refusals_known(2, 1, 1);
        assert!(inlets.take(2, 1, 1));
    }
}

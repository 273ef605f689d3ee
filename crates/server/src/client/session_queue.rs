//! The requests of one connection that are not answered yet: the one place that decides the order
//! of replies.
//!
//! Each request gets a number. The groups, and this server where it answers a request itself, give
//! (number, answer) in any order; a client gets the replies in the order of its requests. An answer
//! that comes early is held here until all before it have left. As a rule answers come in order,
//! and one that does goes straight to the output.
//!
//! **Events.** A watch event must never leave after a reply that shows the change, or anything
//! newer, to its client. Events and answers come from the mailbox in such an order, and only
//! replies are ever held: an event goes to the output at once, and so do the events that belong
//! before a reply, though the reply itself may have to wait. So holding replies only puts events
//! earlier. That is right as long as the client knows of the watch: the reply that confirms a new
//! watch must leave before its event. Such a reply is never held, because the requests that may set
//! a new watch are executed when everything sent before them is answered ([`group::RequestId`]).
//! What is held are refusals, which show nothing but a zxid.
//!
//! **zxids.** A client takes the zxid of the latest reply for what it has seen, so the zxids of its
//! replies must not fall. A reply that was held gets at least the zxid of the one before it. The
//! events up to that are already out.

use std::collections::VecDeque;

use state::read::Piece;
use wire::frame;

/// Who gets the answer to a request, and who gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The client, from its group.
    Client,
    /// The client, from this thread: it was not submitted.
    TurnedAway,
    /// This server: its own request, whose reply does not go to the client.
    Own,
}

/// A request not yet answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unanswered {
    pub(super) opcode: i32,
    pub(super) kind: Kind,
    /// When it was read, in µs of the server's clock.
    pub(super) since_us: u64,
    /// Its length if it counts as large (`largeRequestThreshold`), else 0.
    pub(super) large_bytes: u64,
}

/// A reply that has to wait for its turn.
#[derive(Debug)]
pub(super) struct Held {
    /// The frame without its long parts.
    pub(super) frame: Vec<u8>,
    /// The long parts, each with the position in `frame` before which it belongs.
    pub(super) pieces: Vec<(usize, Piece)>,
}

impl Held {
    fn bytes(&self) -> usize {
        self.frame.len() + self.pieces.iter().map(|(_, piece)| piece.held_bytes()).sum::<usize>()
    }

    fn raise_zxid(&mut self, at_least: i64) {
        const AT: usize = frame::LENGTH_BYTES + size_of::<i32>();
        // Zero and less stand for no zxid.
        if let Some(zxid) = self.frame.get_mut(AT..).and_then(|rest| rest.first_chunk_mut::<8>())
            && (1..at_least).contains(&i64::from_be_bytes(*zxid))
        {
            *zxid = at_least.to_be_bytes();
        }
    }
}

#[derive(Debug)]
struct Place {
    request: Unanswered,
    held: Option<Box<Held>>,
}

/// The unanswered requests of one connection, oldest first.
#[derive(Debug, Default)]
pub(super) struct SessionQueue {
    /// Consecutive numbers, the last one before `next`.
    requests: VecDeque<Place>,
    /// Number of the next request.
    next: u64,
    /// Bytes of memory of the answers that are held.
    held_bytes: usize,
    /// Highest zxid in a reply that has left.
    shown_zxid: i64,
    /// Places of the reads submitted since nothing was last unanswered: all of them may be answered
    /// at once when the write before them is applied.
    read_places: usize,
}

impl SessionQueue {
    /// Adds a request behind all others; returns its number.
    pub(super) fn push(&mut self, request: Unanswered) -> u64 {
        let number = self.next;
        self.next += 1;
        self.requests.push_back(Place { request, held: None });
        number
    }

    /// The same for a read that takes this many places of [`read_places`](Self::read_places).
    pub(super) fn push_read(&mut self, request: Unanswered, places: usize) -> u64 {
        self.read_places += places;
        self.push(request)
    }

    /// Takes the request of this number, which has its answer, if the reply may leave now. What was
    /// held behind it must then be taken with [`pop_held`](Self::pop_held).
    pub(super) fn pop(&mut self, number: u64) -> Option<Unanswered> {
        if self.position(number) != Some(0) {
            return None;
        }
        self.requests.pop_front().map(|first| self.popped(first.request))
    }

    /// Holds the reply to this request, until those before it have left. A reply to a request that
    /// was answered before, or dropped with its session, is dropped.
    pub(super) fn hold(&mut self, number: u64, reply: Held) {
        let Some(at) = self.position(number) else { return };
        let held = &mut self.requests[at].held;
        if held.is_none() {
            self.held_bytes += reply.bytes();
            *held = Some(Box::new(reply));
        }
    }

    /// Takes the oldest request, if its reply was held.
    pub(super) fn pop_held(&mut self) -> Option<(Unanswered, Held)> {
        let first = self.requests.pop_front_if(|first| first.held.is_some())?;
        let mut reply = *first.held?;
        self.held_bytes -= reply.bytes();
        reply.raise_zxid(self.shown_zxid);
        Some((self.popped(first.request), reply))
    }

    /// A reply with this zxid has left.
    pub(super) fn has_shown(&mut self, zxid: i64) {
        self.shown_zxid = self.shown_zxid.max(zxid);
    }

    /// Drops everything: the session has ended, or the connection has. Returns the bytes of the
    /// large requests among them.
    pub(super) fn clear(&mut self) -> u64 {
        (self.held_bytes, self.read_places) = (0, 0);
        self.requests.drain(..).map(|place| place.request.large_bytes).sum()
    }

    /// The oldest request.
    pub(super) fn oldest(&self) -> Option<&Unanswered> {
        self.requests.front().map(|first| &first.request)
    }

    /// Number of requests whose replies have not left.
    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }

    /// Whether every request is answered.
    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Places that the reads among the requests take.
    pub(super) fn read_places(&self) -> usize {
        self.read_places
    }

    /// Bytes of memory of the answers that are held.
    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    fn position(&self, number: u64) -> Option<usize> {
        let first = self.next - self.requests.len() as u64;
        let at = usize::try_from(number.checked_sub(first)?).ok()?;
        (at < self.requests.len()).then_some(at)
    }

    fn popped(&mut self, request: Unanswered) -> Unanswered {
        if self.requests.is_empty() {
            self.read_places = 0;
        }
        request
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request() -> Unanswered {
        Unanswered { opcode: 5, kind: Kind::Client, since_us: 0, large_bytes: 1 }
    }

    /// The frame of a reply with that xid and zxid.
    fn reply(xid: u64, zxid: i64) -> Held {
        let mut frame = 16_i32.to_be_bytes().to_vec();
        frame.extend((xid as i32).to_be_bytes());
        frame.extend(zxid.to_be_bytes());
        frame.extend(0_i32.to_be_bytes());
        Held { frame, pieces: Vec::new() }
    }

    fn fields(frame: &[u8]) -> (u64, i64) {
        let xid = i32::from_be_bytes(frame[4..8].try_into().expect("four bytes"));
        (xid as u64, i64::from_be_bytes(frame[8..16].try_into().expect("eight bytes")))
    }

    /// What a connection does with an answer: appends number and zxid of each reply that leaves.
    fn answer(queue: &mut SessionQueue, number: u64, zxid: i64, output: &mut Vec<(u64, i64)>) {
        match queue.pop(number) {
            Some(_) => {
                queue.has_shown(zxid);
                output.push((number, zxid));
            }
            None => queue.hold(number, reply(number, zxid)),
        }
        while let Some((_, held)) = queue.pop_held() {
            let (number, zxid) = fields(&held.frame);
            queue.has_shown(zxid);
            output.push((number, zxid));
        }
    }

    #[test]
    fn a_refusal_keeps_its_place_behind_a_command_in_flight() {
        let mut queue = SessionQueue::default();
        let [first, refused, last] = std::array::from_fn(|_| queue.push(request()));
        let mut output = Vec::new();
        answer(&mut queue, refused, 4, &mut output);
        assert_eq!((output.as_slice(), queue.len(), queue.held_bytes()), (&[][..], 3, 20));
        answer(&mut queue, first, 7, &mut output);
        assert_eq!(output, [(first, 7), (refused, 7)], "the client has seen zxid 7 by then");
        answer(&mut queue, last, 9, &mut output);
        assert_eq!((output.len(), queue.is_empty(), queue.held_bytes()), (3, true, 0));
    }

    #[test]
    fn a_held_reply_without_a_zxid_gets_none() {
        let mut queue = SessionQueue::default();
        let numbers = [(); 3].map(|()| queue.push(request()));
        let mut output = Vec::new();
        for (number, zxid) in [(2, -1), (1, 0), (0, 5)] {
            answer(&mut queue, numbers[number], zxid, &mut output);
        }
        assert_eq!(output.iter().map(|(_, zxid)| *zxid).collect::<Vec<_>>(), [5, 0, -1]);
    }

    #[test]
    fn reads_take_places_until_everything_is_answered() {
        let mut queue = SessionQueue::default();
        let write = queue.push(request());
        let read = queue.push_read(request(), 3);
        assert!(queue.pop(write).is_some());
        assert_eq!(queue.read_places(), 3);
        assert!(queue.pop(read).is_some());
        assert_eq!(queue.read_places(), 0);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Push,
        /// Answers one of those that have no answer yet.
        Answer(prop::sample::Index),
        /// Answers what has its answer already, or was dropped, or was never asked.
        Stray(u64),
        Clear,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            16 => Just(Step::Push),
            16 => any::<prop::sample::Index>().prop_map(Step::Answer),
            4 => (0..100_u64).prop_map(Step::Stray),
            1 => Just(Step::Clear),
        ];
        prop::collection::vec(step, 0..200)
    }

    proptest! {
        /// Whatever the order of the answers, each reply leaves once, in the order of the requests
        /// and as soon as all before it have left, and the zxids do not fall.
        #[test]
        fn replies_leave_in_the_order_of_the_requests(steps in steps()) {
            let mut queue = SessionQueue::default();
            // Requests whose replies have not left: number, and whether it has its answer.
            let mut asked: Vec<(u64, bool)> = Vec::new();
            let (mut output, mut expected) = (Vec::new(), Vec::new());
            // The state goes on with time, and an answer shows the zxid of its moment.
            for (zxid, step) in (1..).zip(steps) {
                match step {
                    Step::Push => asked.push((queue.push(request()), false)),
                    Step::Answer(which) => {
                        let open: Vec<usize> = (0..asked.len()).filter(|at| !asked[*at].1).collect();
                        if !open.is_empty() {
                            let (number, answered) = &mut asked[open[which.index(open.len())]];
                            *answered = true;
                            answer(&mut queue, *number, zxid, &mut output);
                        }
                    }
                    Step::Stray(number) if asked.contains(&(number, false)) => {}
                    Step::Stray(number) => answer(&mut queue, number, zxid, &mut output),
                    Step::Clear => prop_assert_eq!(queue.clear(), asked.drain(..).count() as u64),
                }
                let ready = asked.iter().take_while(|(_, answered)| *answered).count();
                expected.extend(asked.drain(..ready).map(|(number, _)| number));
                let (numbers, zxids): (Vec<u64>, Vec<i64>) = output.iter().copied().unzip();
                prop_assert_eq!(&numbers, &expected);
                prop_assert!(zxids.is_sorted(), "{:?}", zxids);
                let held = asked.iter().filter(|(_, answered)| *answered).count();
                prop_assert_eq!((queue.len(), queue.held_bytes()), (asked.len(), 20 * held));
            }
        }
    }
}

//! The output of a connection.

use std::collections::VecDeque;
use std::io;

use state::read::Piece;

use crate::stream::Stream;

/// Bytes written for one connection before others are served.
const FLUSH_BYTES_MAX: usize = 1 << 20;

/// Bytes of the long parts of replies that are copied at a time.
const COPIED_BYTES: usize = 256 << 10;

/// Capacity that an idle connection's output may keep.
const IDLE_BYTES: usize = 16 << 10;

/// The outcome of a flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flushed {
    /// Everything was taken.
    All,
    /// The socket takes no more now, and bytes are left here or in the stream; an event will
    /// announce when it does.
    Blocked,
    /// There is more, and the socket may take it.
    More,
}

/// Replies and events in the order in which the client must see them. Long parts of replies stay
/// shared with the tree until the client takes them, so that a reply costs memory only for what is
/// in transit, not for its length.
#[derive(Default)]
pub(super) struct Output {
    /// Sent next.
    front: Vec<u8>,
    /// Bytes of `front` that the socket has taken.
    written: usize,
    /// Sent after `front`.
    behind: VecDeque<Part>,
    /// Bytes of `behind`.
    behind_bytes: usize,
    /// Bytes of memory of `behind`.
    behind_held_bytes: usize,
    /// Sent after `behind`. Invariant: empty while `behind` is.
    tail: Vec<u8>,
    /// Bytes of memory of the longest reply queued since the output was last empty.
    longest_held_bytes: usize,
}

enum Part {
    Bytes(Vec<u8>),
    /// The piece from byte `at` of its part `number` on; `left` bytes remain.
    Piece {
        piece: Piece,
        number: usize,
        at: usize,
        left: usize,
    },
}

impl Output {
    /// Where short replies and events are appended.
    pub(super) fn end(&mut self) -> &mut Vec<u8> {
        if self.behind.is_empty() { &mut self.front } else { &mut self.tail }
    }

    /// Inserts long parts into what was appended at [`end`](Self::end) since nothing else was, each
    /// before the byte at its position.
    pub(super) fn splice(&mut self, pieces: Vec<(usize, Piece)>) {
        if pieces.is_empty() {
            return;
        }
        let mut parts = Vec::new();
        for (at, piece) in pieces.into_iter().rev() {
            parts.push(Part::Bytes(self.end().split_off(at)));
            let left = piece.len();
            parts.push(Part::Piece { piece, number: 0, at: 0, left });
        }
        parts.push(Part::Bytes(std::mem::take(&mut self.tail)));
        for part in parts.into_iter().rev().filter(|part| part.left() > 0) {
            self.behind_bytes += part.left();
            self.behind_held_bytes += part.held_bytes();
            self.behind.push_back(part);
        }
    }

    /// Bytes queued and not yet taken by the socket.
    pub(super) fn backlog(&self) -> usize {
        self.front.len() - self.written + self.behind_bytes + self.tail.len()
    }

    /// Bytes of memory that the backlog takes.
    pub(super) fn held_bytes(&self) -> usize {
        self.front.len() - self.written + self.behind_held_bytes + self.tail.len()
    }

    /// Records that a reply was queued that takes this many bytes of memory.
    pub(super) fn queued_reply(&mut self, held_bytes: usize) {
        self.longest_held_bytes = self.longest_held_bytes.max(held_bytes);
    }

    /// Bytes of memory beyond those of one reply: the client asked for that length, and one that
    /// reads as fast as it can must be able to get it.
    pub(super) fn held_bytes_beside_one_reply(&self) -> usize {
        self.held_bytes().saturating_sub(self.longest_held_bytes)
    }

    /// Offers what is queued to the stream.
    pub(super) fn flush(&mut self, stream: &mut dyn Stream) -> io::Result<Flushed> {
        let mut budget = FLUSH_BYTES_MAX;
        loop {
            while self.written < self.front.len() {
                if budget == 0 {
                    return Ok(Flushed::More);
                }
                let end = self.front.len().min(self.written + budget);
                match stream.write(&self.front[self.written..end]) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(n) => {
                        self.written += n;
                        budget -= n;
                    }
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                        self.compact();
                        return Ok(Flushed::Blocked);
                    }
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(e) => return Err(e),
                }
            }
            self.written = 0;
            self.front.clear();
            if !self.refill() {
                self.longest_held_bytes = 0;
                self.front.shrink_to(IDLE_BYTES);
                return finish(stream);
            }
        }
    }

    /// Drops what the socket has taken once that is the larger part, so that a client that never
    /// quite catches up costs its backlog, not its history.
    fn compact(&mut self) {
        if self.written > self.front.len() / 2 {
            self.front.drain(..self.written);
            self.written = 0;
        }
    }

    /// Copies the next bytes into the empty `front`; `false` when there are none.
    fn refill(&mut self) -> bool {
        self.front.shrink_to(COPIED_BYTES);
        while self.front.len() < COPIED_BYTES
            && let Some(part) = self.behind.front_mut()
        {
            let (before, held) = (part.left(), part.held_bytes());
            part.move_to(&mut self.front);
            self.behind_bytes -= before - part.left();
            if part.left() == 0 {
                self.behind_held_bytes -= held;
                self.behind.pop_front();
            } else {
                self.behind_held_bytes -= held - part.held_bytes();
            }
        }
        if self.behind.is_empty() {
            self.front.append(&mut self.tail);
            self.tail = Vec::new();
        }
        !self.front.is_empty()
    }
}

/// Everything has been written: what the stream still holds goes to the socket.
fn finish(stream: &mut dyn Stream) -> io::Result<Flushed> {
    while stream.wants_write() {
        match stream.flush() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() != io::ErrorKind::WouldBlock => return Err(e),
            _ if stream.wants_write() => return Ok(Flushed::Blocked),
            _ => {}
        }
    }
    Ok(Flushed::All)
}

impl Part {
    /// Its remaining bytes.
    fn left(&self) -> usize {
        match self {
            Part::Bytes(bytes) => bytes.len(),
            Part::Piece { left, .. } => *left,
        }
    }

    fn held_bytes(&self) -> usize {
        match self {
            Part::Bytes(bytes) => bytes.len(),
            Part::Piece { piece, .. } => piece.held_bytes(),
        }
    }

    /// Moves bytes to the end of `front`, up to its limit and at least one.
    fn move_to(&mut self, front: &mut Vec<u8>) {
        match self {
            Part::Bytes(bytes) if front.is_empty() => std::mem::swap(bytes, front),
            Part::Bytes(bytes) => front.append(bytes),
            Part::Piece { piece, number, at, left } => {
                while front.len() < COPIED_BYTES
                    && let Some(part) = piece.part(*number)
                {
                    let end = part.len().min(*at + COPIED_BYTES - front.len());
                    front.extend_from_slice(&part[*at..end]);
                    *left -= end - *at;
                    (*number, *at) = if end == part.len() { (*number + 1, 0) } else { (*number, end) };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use state::auth::Identities;
    use state::command::{BatchHeader, Command, Features, SessionTerms};
    use state::machine::Machine;
    use state::read::{Body, Dialect, Reader};
    use wire::ErrorCode;
    use wire::acl::AclList;
    use wire::opcode::Opcode;
    use wire::record::{Create, GetData, Request};

    use super::*;

    /// A client that takes at most `at_once` bytes at a time, and `room` bytes in all.
    struct Taker {
        taken: Vec<u8>,
        at_once: usize,
        room: usize,
    }

    impl Write for Taker {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let n = bytes.len().min(self.at_once).min(self.room);
            if n == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.taken.extend_from_slice(&bytes[..n]);
            self.room -= n;
            Ok(n)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Read for Taker {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::WouldBlock.into())
        }
    }

    impl Stream for Taker {
        fn close(&mut self) {}
    }

    /// The reply to a read of one long node: its short bytes, and its long part.
    fn long_reply(bytes: usize) -> (Vec<u8>, Vec<(usize, Piece)>) {
        let mut machine = Machine::new(1);
        let identities = Identities::new();
        let mut body = Vec::new();
        SessionTerms { timeout_ms: 10_000, home: 0 }.put(&mut body);
        let mut apply = |opcode: Opcode, body: &[u8]| {
            let batch = BatchHeader { time_ms: 1, zxid_floor: 0, features: Features::default() };
            let command = Command {
                session: 1,
                cxid: 1,
                opcode: opcode as i32,
                identities: identities.encoded(),
                body,
            };
            let applied = machine.apply(&batch, &command, &mut Vec::new(), &mut state::change::Ignore);
            assert_eq!(applied.code, ErrorCode::Ok);
        };
        apply(Opcode::CreateSession, &body);
        let data: Vec<u8> = (0..bytes).map(|at| (at % 251) as u8).collect();
        let mut create = Vec::new();
        Request::Create(Create {
            path: "/long",
            data: Some(&data),
            acl: AclList::OPEN,
            flags: 0,
            ttl: None,
            kind: Opcode::Create,
        })
        .encode(&mut create);
        apply(Opcode::Create, &create);
        let reader = Reader {
            session: 1,
            identities: &identities,
            features: Features::default(),
            dialect: Dialect::default(),
            request_bytes_max: 0,
        };
        let mut short = Vec::new();
        let mut body = Body::new(&mut short, usize::MAX);
        let get = Request::GetData(GetData { path: "/long", watch: false });
        assert_eq!(machine.read(&get, &reader, &mut body, &mut |_| {}), ErrorCode::Ok);
        let pieces = body.finish();
        assert_eq!(pieces.len(), 1, "it is shared");
        (short, pieces)
    }

    fn whole(short: &[u8], pieces: &[(usize, Piece)]) -> Vec<u8> {
        let (at, piece) = &pieces[0];
        [&short[..*at], piece.part(0).expect("its bytes"), &short[*at..]].concat()
    }

    #[test]
    fn everything_is_sent_in_its_order_however_little_is_taken_at_a_time() {
        for (at_once, room) in [(usize::MAX, 700_000), (1000, 5_000_000), (100_000, 100_001)] {
            let (short, pieces) = long_reply(900_000);
            let (mut output, mut expected) = (Output::default(), Vec::new());
            let mut taker = Taker { taken: Vec::new(), at_once, room: 0 };
            for number in 0..4u8 {
                output.end().extend_from_slice(&[number; 10]);
                expected.extend_from_slice(&[number; 10]);
                let start = output.end().len();
                output.end().extend_from_slice(&short);
                output.splice(pieces.iter().map(|(at, piece)| (start + at, piece.clone())).collect());
                expected.extend_from_slice(&whole(&short, &pieces));
                output.end().push(number);
                expected.push(number);
                assert_eq!(output.backlog(), expected.len() - taker.taken.len());
                taker.room = 50_000;
                output.flush(&mut taker).expect("it is there");
            }
            while output.backlog() > 0 {
                taker.room = room;
                let flushed = output.flush(&mut taker).expect("it is there");
                assert_eq!(flushed == Flushed::All, output.backlog() == 0);
                assert_eq!(output.backlog(), expected.len() - taker.taken.len());
                assert!(output.front.capacity() <= 4 * COPIED_BYTES, "no reply is ever copied whole");
            }
            assert!(taker.taken == expected, "the bytes in their order");
            assert_eq!((output.held_bytes(), output.behind_held_bytes), (0, 0));
        }
    }

    #[test]
    fn others_are_served_while_a_client_takes_a_long_reply() {
        let (short, pieces) = long_reply(5_000_000);
        let mut output = Output::default();
        output.end().extend_from_slice(&short);
        output.splice(pieces);
        let mut taker = Taker { taken: Vec::new(), at_once: usize::MAX, room: usize::MAX };
        let mut turns = 0;
        while output.flush(&mut taker).expect("it is there") == Flushed::More {
            turns += 1;
        }
        assert_eq!((turns, taker.taken.len()), (4, short.len() + 5_000_000));
    }
}

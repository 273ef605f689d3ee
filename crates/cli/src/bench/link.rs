//! One non-blocking connection: bytes in, replies out, requests batched into one write.

use super::link_stream::LinkStream;
use std::io;

/// Bytes of the buffer a thread reads into, shared by its connections.
pub(super) const READ_BYTES: usize = 256 << 10;
/// Replies longer than this are counted and dropped as they arrive instead of being assembled.
const WHOLE_BYTES_MAX: usize = 64 << 10;
const HEADER_BYTES: usize = 4 + 4 + 8 + 4;

/// A reply as far as a load generator looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reply<'a> {
    /// Negative for what answers no request: -1 a watch event, -2 a ping.
    pub(super) xid: i32,
    /// The code of the header, 0 for success.
    pub(super) code: i32,
    /// The record behind the header; empty when it was too long to be kept.
    pub(super) body: &'a [u8],
}

/// Bytes still to drop of a reply that is too long to keep.
#[derive(Debug)]
struct Skip {
    xid: i32,
    code: i32,
    bytes: usize,
}

/// Where the replies of a stream end.
#[derive(Debug, Default)]
struct Splitter {
    skip: Option<Skip>,
}

impl Splitter {
    /// Calls `each` for the replies in `input` and returns how many bytes at its end belong to an
    /// incomplete one.
    fn split(&mut self, mut input: &[u8], each: &mut impl FnMut(Reply<'_>)) -> io::Result<usize> {
        loop {
            if let Some(skip) = &mut self.skip {
                let bytes = skip.bytes.min(input.len());
                input = &input[bytes..];
                skip.bytes -= bytes;
                if skip.bytes > 0 {
                    return Ok(0);
                }
                each(Reply { xid: skip.xid, code: skip.code, body: &[] });
                self.skip = None;
            }
            let Some(header) = input.first_chunk::<HEADER_BYTES>() else { return Ok(input.len()) };
            let [length, xid, code] = [0, 4, 16].map(|at| {
                i32::from_be_bytes(header[at..at + 4].try_into().expect("four bytes of the header"))
            });
            let end = match usize::try_from(length) {
                Ok(length) if length + 4 >= HEADER_BYTES => length + 4,
                _ => return Err(io::ErrorKind::InvalidData.into()),
            };
            if let Some(body) = input.get(HEADER_BYTES..end) {
                each(Reply { xid, code, body });
                input = &input[end..];
            } else if end > WHOLE_BYTES_MAX {
                self.skip = Some(Skip { xid, code, bytes: end });
            } else {
                return Ok(input.len());
            }
        }
    }
}

/// A connection with an open session.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) stream: LinkStream,
    /// The beginning of a reply whose end has not arrived.
    partial: Vec<u8>,
    splitter: Splitter,
    /// Requests on their way out; callers append to it and then [`Link::flush`].
    pub(super) out: Vec<u8>,
    /// Bytes of `out` that have left.
    sent: usize,
}

impl Link {
    pub(super) fn new(stream: LinkStream) -> Self {
        Self { stream, partial: Vec::new(), splitter: Splitter::default(), out: Vec::new(), sent: 0 }
    }

    /// Reads what has arrived into `buffer` (of [`READ_BYTES`]) and calls `each` for every complete
    /// reply, with the buffer of requests to append to. Returns whether there may be more to read;
    /// when there is not, the next bytes raise an event, but the end of the stream may have been
    /// part of the last one.
    ///
    /// # Errors
    /// The connection is lost (`UnexpectedEof` when the server closed it) or sent what is no reply
    /// (`InvalidData`).
    pub(super) fn receive(
        &mut self,
        buffer: &mut [u8],
        mut each: impl FnMut(&mut Vec<u8>, Reply<'_>),
    ) -> io::Result<bool> {
        let kept = self.partial.len();
        buffer[..kept].copy_from_slice(&self.partial);
        let length = match self.stream.read(&mut buffer[kept..]) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        };
        self.partial.clear();
        let end = kept + length;
        let out = &mut self.out;
        let rest = self.splitter.split(&buffer[..end], &mut |reply| each(out, reply))?;
        self.partial.extend_from_slice(&buffer[end - rest..end]);
        // A read that did not fill the buffer has drained the socket, and the next bytes raise the
        // next event.
        Ok(end == buffer.len())
    }

    /// Writes the requests, in one call as long as the socket takes them. What it does not take
    /// leaves when the socket becomes writable and this is called again.
    ///
    /// # Errors
    /// The connection is lost.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        while self.sent < self.out.len() {
            match self.stream.write(&self.out[self.sent..]) {
                Ok(length) => self.sent += length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        self.sent = 0;
        self.stream.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(xid: i32, code: i32, body: &[u8]) -> Vec<u8> {
        let length = (16 + body.len()) as i32;
        [&length.to_be_bytes(), &xid.to_be_bytes(), &[0; 8][..], &code.to_be_bytes(), body].concat()
    }

    /// Feeds `input` in pieces of `step` bytes and records the output as (xid, code, length of the
    /// body).
    fn replies(input: &[u8], step: usize) -> Vec<(i32, i32, usize)> {
        let (mut splitter, mut partial, mut seen) = (Splitter::default(), Vec::new(), Vec::new());
        for piece in input.chunks(step) {
            let whole = [partial.as_slice(), piece].concat();
            let mut each = |reply: Reply<'_>| seen.push((reply.xid, reply.code, reply.body.len()));
            let rest = splitter.split(&whole, &mut each).unwrap();
            partial = whole[whole.len() - rest..].to_vec();
        }
        assert!(partial.is_empty() && splitter.skip.is_none());
        seen
    }

    #[test]
    fn finds_the_same_replies_however_the_bytes_arrive() {
        let long = vec![9; 3 * WHOLE_BYTES_MAX];
        let input =
            [frame(1, 0, b"abc"), frame(2, -101, &[]), frame(3, 0, &long), frame(-1, 0, b"event")].concat();
        for step in [1, 19, 20, 21, 1000, WHOLE_BYTES_MAX] {
            assert_eq!(replies(&input, step), [(1, 0, 3), (2, -101, 0), (3, 0, 0), (-1, 0, 5)], "{step}");
        }
        // In one piece nothing is dropped.
        assert_eq!(replies(&input, input.len())[2], (3, 0, long.len()));
    }

    #[test]
    fn refuses_a_length_that_cannot_be_a_reply() {
        for length in [-1i32, 0, 15] {
            let input = [&length.to_be_bytes()[..], &[0; 32]].concat();
            let refused = Splitter::default().split(&input, &mut |_| panic!("no reply"));
            assert!(refused.is_err(), "{length}");
        }
    }
}

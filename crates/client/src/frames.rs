//! Reading frames from a byte stream.

use crate::error::RequestError;
use std::io::{self, Read};
use wire::frame::{self, Split};

const READ_BYTES: usize = 64 << 10;

/// Bytes received but not yet consumed. A read that times out in the middle of a frame loses
/// nothing.
#[derive(Debug)]
pub(crate) struct Frames {
    buffer: Vec<u8>,
    /// Number of consumed bytes at the start of `buffer`.
    taken: usize,
    /// Maximum frame length accepted.
    max: usize,
}

impl Frames {
    pub(crate) fn new(max: usize) -> Self {
        Self { buffer: Vec::new(), taken: 0, max }
    }

    /// Consumes one frame, reading from `stream` as far as needed. [`Self::get`] returns the
    /// payload of the range until the next call.
    pub(crate) fn next(&mut self, stream: &mut impl Read) -> Result<std::ops::Range<usize>, RequestError> {
        loop {
            match frame::split(&self.buffer[self.taken..], self.max) {
                Split::Frame { start, end } => {
                    let range = self.taken + start..self.taken + end;
                    self.taken = range.end;
                    return Ok(range);
                }
                Split::TooLong(length) => return Err(RequestError::ReplyLength(length)),
                Split::Incomplete => self.read(stream)?,
            }
        }
    }

    pub(crate) fn get(&self, range: std::ops::Range<usize>) -> &[u8] {
        &self.buffer[range]
    }

    fn read(&mut self, stream: &mut impl Read) -> io::Result<()> {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        let length = self.buffer.len();
        // The buffer grows with the bytes received, not with the announced length, so that a wrong
        // length cannot exhaust memory.
        self.buffer.resize(length + READ_BYTES.max(length), 0);
        let read = loop {
            match stream.read(&mut self.buffer[length..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.buffer.truncate(length + *read.as_ref().unwrap_or(&0));
        match read {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            read => read.map(drop),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream that returns one byte at a time and times out before each.
    struct Slow<'a>(&'a [u8], bool);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.0.read(&mut buffer[..1])
        }
    }

    #[test]
    fn a_timeout_inside_a_frame_loses_nothing() {
        let mut stream = Slow(b"\0\0\0\x03abc\0\0\0\x01d", false);
        let (mut frames, mut seen) = (Frames::new(10), Vec::new());
        loop {
            match frames.next(&mut stream) {
                Ok(range) => seen.push(frames.get(range).to_vec()),
                Err(RequestError::Timeout) => {}
                Err(RequestError::Closed) => break,
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(seen, [b"abc".to_vec(), b"d".to_vec()]);
    }

    #[test]
    fn a_frame_over_the_limit_is_refused_before_it_is_read() {
        let mut frames = Frames::new(10);
        let error = frames.next(&mut &b"\0\0\0\x0b"[..]).unwrap_err();
        assert!(matches!(error, RequestError::ReplyLength(11)), "{error:?}");
    }
}

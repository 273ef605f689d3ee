//! Frames: a 32-bit length followed by that many bytes.
//!
//! A frame is either incomplete or invalid, never both: the length alone decides validity, before
//! any memory is allocated for the payload.

use crate::jute::Put;

/// Bytes of the length in front of a frame.
pub const LENGTH_BYTES: usize = 4;

/// What the bytes received so far start with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Part of a frame. More bytes are needed to tell more.
    Incomplete,
    /// A whole frame: its payload is `buf[start..end]`, the next frame starts at `end`.
    Frame {
        /// First byte of the payload.
        start: usize,
        /// The byte after the payload.
        end: usize,
    },
    /// The announced length, negative or above the limit. The connection cannot continue.
    TooLong(i32),
}

/// Finds the frame at the start of `buf`. `max` is the longest payload allowed, in bytes
/// (`jute.maxbuffer`).
#[inline]
pub fn split(buf: &[u8], max: usize) -> Split {
    let Some(length) = buf.first_chunk::<LENGTH_BYTES>() else { return Split::Incomplete };
    let announced = i32::from_be_bytes(*length);
    match usize::try_from(announced) {
        Ok(length) if length <= max => {
            let end = LENGTH_BYTES + length;
            if buf.len() < end { Split::Incomplete } else { Split::Frame { start: LENGTH_BYTES, end } }
        }
        _ => Split::TooLong(announced),
    }
}

/// Starts a frame at the end of `out` and returns the mark that [`finish`] needs.
#[inline]
pub fn begin(out: &mut Vec<u8>) -> usize {
    let mark = out.len();
    out.put_i32(0);
    mark
}

/// Ends the frame begun at `mark`: everything appended since is its payload.
///
/// # Panics
/// If `mark` is not from [`begin`] on the same buffer, or the payload has 2^31 bytes or more.
#[inline]
pub fn finish(out: &mut [u8], mark: usize) {
    finish_around(out, mark, 0);
}

/// [`finish`] for a payload with `elsewhere` bytes outside `out`.
///
/// # Panics
/// As [`finish`].
#[inline]
pub fn finish_around(out: &mut [u8], mark: usize, elsewhere: usize) {
    let payload = mark + LENGTH_BYTES;
    let length = i32::try_from(out.len() - payload + elsewhere).expect("a frame is below 2^31 bytes");
    out[mark..payload].copy_from_slice(&length.to_be_bytes());
}

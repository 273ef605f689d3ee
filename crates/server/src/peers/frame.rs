//! Framing: where a frame ends in a stream of bytes, and whether it arrived as sent.
//!
//! ```text
//!  0           4           8
//!  ├───────────┼───────────┼──────────── … ─┤
//!  │ length    │ crc32c    │ payload        │
//!  │ u32       │ u32       │ length bytes   │
//! ```
//! Big-endian. The checksum covers the payload. A length of 0 is invalid: no server sends it, and
//! otherwise a stream of zeros would be a stream of valid frames.

use bytes::{Buf, Bytes, BytesMut};

use super::limits::{FRAME_BYTES_MAX, IDLE_BUFFER_BYTES, READ_BYTES};

/// Length and checksum.
pub(super) const HEADER_BYTES: usize = 8;

/// Why bytes are not a frame. The frames after them cannot be found any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadFrame {
    /// The length is 0 or above the limit.
    #[error("a frame of {0} bytes")]
    Length(u32),
    /// The payload does not match its checksum.
    #[error("a frame with a wrong checksum")]
    Checksum,
}

/// The header of a frame whose payload consists of these parts.
///
/// # Panics
/// If they are empty or longer than [`FRAME_BYTES_MAX`]. Each sender bounds its frames far below.
pub(super) fn header(parts: &[&[u8]]) -> [u8; HEADER_BYTES] {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    assert!((1..=FRAME_BYTES_MAX).contains(&length), "a frame to send has {length} bytes");
    let checksum = parts.iter().fold(0, |checksum, part| crc32c::crc32c_append(checksum, part));
    let mut header = [0; HEADER_BYTES];
    header[..4].copy_from_slice(&(length as u32).to_be_bytes());
    header[4..].copy_from_slice(&checksum.to_be_bytes());
    header
}

/// A whole frame.
pub(super) fn framed(payload: &[u8]) -> Vec<u8> {
    [&header(&[payload])[..], payload].concat()
}

/// Extracts frames from a stream that arrives in arbitrary pieces.
///
/// Its memory is at most a few times the bytes received and not yet returned: a length field alone
/// reserves nothing.
#[derive(Debug)]
pub struct FrameReader {
    buffer: BytesMut,
    bytes_max: usize,
}

impl Default for FrameReader {
    fn default() -> Self {
        FrameReader::bounded(FRAME_BYTES_MAX)
    }
}

impl FrameReader {
    /// A reader of frames of at most `bytes_max` bytes.
    pub fn bounded(bytes_max: usize) -> FrameReader {
        FrameReader { buffer: BytesMut::new(), bytes_max }
    }

    /// Sets the maximum length of the frames from now on.
    pub(super) fn bound(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
    }

    /// Adds the next bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.buffer.capacity() == 0 {
            self.buffer.reserve(READ_BYTES.min(self.bytes_max));
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame, without its header; `None` until there is one. It shares the memory of
    /// the read buffer.
    ///
    /// # Errors
    /// The stream is not one of frames. Every later call fails too.
    pub fn next_frame(&mut self) -> Result<Option<Bytes>, BadFrame> {
        let Some((header, rest)) = self.buffer.split_first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let [l0, l1, l2, l3, c0, c1, c2, c3] = *header;
        let (length, checksum) = (u32::from_be_bytes([l0, l1, l2, l3]), u32::from_be_bytes([c0, c1, c2, c3]));
        let bytes = length as usize;
        if !(1..=self.bytes_max).contains(&bytes) {
            return Err(BadFrame::Length(length));
        }
        let Some(payload) = rest.get(..bytes) else { return Ok(None) };
        if crc32c::crc32c(payload) != checksum {
            return Err(BadFrame::Checksum);
        }
        self.buffer.advance(HEADER_BYTES);
        Ok(Some(self.buffer.split_to(bytes).freeze()))
    }

    /// Releases the memory of a long frame that was returned; otherwise the rest of the buffer
    /// would serve small frames, and the first of them that the caller keeps would keep all of it
    /// alive.
    pub fn shrink(&mut self) {
        if self.buffer.capacity() > IDLE_BUFFER_BYTES && self.buffer.len() < READ_BYTES {
            let mut small = BytesMut::with_capacity(READ_BYTES);
            small.extend_from_slice(&self.buffer);
            self.buffer = small;
        }
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    /// Bytes received and not yet returned.
    pub fn len_bytes(&self) -> usize {
        self.buffer.len()
    }
}

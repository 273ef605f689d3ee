//! Bytes queued for one peer.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Write};

use super::frame::{self, HEADER_BYTES};
use super::limits::{CHUNK_BYTES, CHUNKS_PER_WRITE_MAX, QUEUED_BYTES_MAX};

/// A queue of frames as bytes, in chunks: a chunk is freed as soon as the socket has taken it, and
/// none ever moves, so a queued byte is copied once and a long queue takes no more memory than its
/// length.
#[derive(Debug, Default)]
pub(super) struct Output {
    /// Invariant: only the first may be empty, and only if it is the only one, kept for the next
    /// frame.
    chunks: VecDeque<Vec<u8>>,
    /// Bytes of the first chunk that the socket has taken.
    written: usize,
    /// Bytes of all chunks that the socket has not taken.
    queued: usize,
}

impl Output {
    /// Bytes queued and not yet taken by the socket.
    pub(super) fn queued(&self) -> usize {
        self.queued
    }

    /// Queues the frame with these parts as its payload; `false` if the queue is full. A frame is
    /// never too long for an empty queue.
    pub(super) fn push(&mut self, parts: &[&[u8]]) -> bool {
        let bytes = HEADER_BYTES + parts.iter().map(|part| part.len()).sum::<usize>();
        if self.queued > 0 && self.queued + bytes > QUEUED_BYTES_MAX {
            return false;
        }
        let header = frame::header(parts);
        if self.chunks.back().is_none_or(|last| last.capacity() - last.len() < bytes) {
            if self.queued == 0 {
                self.chunks.clear();
            }
            self.chunks.push_back(Vec::with_capacity(bytes.max(CHUNK_BYTES)));
        }
        let Some(chunk) = self.chunks.back_mut() else { return false };
        chunk.extend_from_slice(&header);
        for part in parts {
            chunk.extend_from_slice(part);
        }
        self.queued += bytes;
        true
    }

    /// Writes everything to `socket`, in one call unless it takes only part, and returns how many
    /// bytes it took. If [`queued`](Self::queued) is not 0 afterwards, the socket is full.
    ///
    /// # Errors
    /// The socket's; the rest of the queue is useless then.
    pub(super) fn write_to(&mut self, socket: &mut impl Write) -> io::Result<usize> {
        let before = self.queued;
        while self.queued > 0 {
            let first = self.chunks.iter().take(1).map(|chunk| &chunk[self.written..]);
            let others = self.chunks.iter().skip(1).map(Vec::as_slice);
            let slices: Vec<IoSlice> =
                first.chain(others).take(CHUNKS_PER_WRITE_MAX).map(IoSlice::new).collect();
            match socket.write_vectored(&slices) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(taken) => self.taken(taken),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(before - self.queued)
    }

    /// Removes `bytes` bytes from the front.
    fn taken(&mut self, mut bytes: usize) {
        self.queued -= bytes;
        loop {
            let is_last = self.chunks.len() == 1;
            let Some(first) = self.chunks.front_mut() else { return };
            let rest = first.len() - self.written;
            if bytes < rest {
                self.written += bytes;
                return;
            }
            bytes -= rest;
            self.written = 0;
            if is_last && first.capacity() <= CHUNK_BYTES {
                first.clear();
                return;
            }
            self.chunks.pop_front();
        }
    }

    /// Drops everything: the connection it was for has ended.
    pub(super) fn clear(&mut self) {
        *self = Output::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A socket that takes a given number of bytes at each call, and is full after the last.
    struct Trickle {
        got: Vec<u8>,
        takes: VecDeque<usize>,
        calls: usize,
    }

    impl Write for Trickle {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let Some(most) = self.takes.pop_front() else { return Err(io::ErrorKind::WouldBlock.into()) };
            let taken = bytes.len().min(most);
            self.got.extend_from_slice(&bytes[..taken]);
            self.calls += 1;
            Ok(taken)
        }

        fn write_vectored(&mut self, slices: &[IoSlice]) -> io::Result<usize> {
            let all: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
            self.write(&all)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn socket(takes: &[usize]) -> Trickle {
        Trickle { got: Vec::new(), takes: takes.iter().copied().collect(), calls: 0 }
    }

    #[test]
    fn what_a_socket_takes_in_pieces_is_what_was_queued() {
        let payloads = [vec![1; 10], vec![2; CHUNK_BYTES], vec![3; 30], vec![4; 3 * CHUNK_BYTES], vec![5; 1]];
        for step in [1_000, 7_777, CHUNK_BYTES, 1 << 20] {
            let mut output = Output::default();
            for payload in &payloads {
                assert!(output.push(&[&payload[..1], &payload[1..]]));
            }
            let expected: Vec<u8> = payloads.iter().flat_map(|payload| frame::framed(payload)).collect();
            assert_eq!(output.queued(), expected.len());
            let mut socket = socket(&[]);
            while output.queued() > 0 {
                socket.takes.push_back(step);
                assert!(output.write_to(&mut socket).unwrap() > 0);
            }
            assert!(socket.got == expected, "in steps of {step}");
        }
    }

    #[test]
    fn a_queue_goes_out_in_one_call_and_keeps_one_chunk() {
        let mut output = Output::default();
        for round in 1..=3 {
            for _ in 0..100 {
                assert!(output.push(&[&[9; 2_000]]));
            }
            let mut socket = socket(&[usize::MAX]);
            output.write_to(&mut socket).unwrap();
            assert_eq!((socket.calls, output.queued()), (1, 0), "round {round}");
            let kept: usize = output.chunks.iter().map(Vec::capacity).sum();
            assert!(output.chunks.len() == 1 && kept <= CHUNK_BYTES, "{kept} bytes kept");
        }
        // A long chunk is not kept.
        assert!(output.push(&[&vec![9; 1 << 20]]));
        output.write_to(&mut socket(&[usize::MAX])).unwrap();
        assert!(output.chunks.is_empty());
    }

    #[test]
    fn the_queue_is_bounded_but_takes_any_single_frame() {
        let mut output = Output::default();
        assert!(output.push(&[&vec![0; super::super::limits::FRAME_BYTES_MAX]]));
        assert!(!output.push(&[&[0]]));
        output.clear();
        let frame = vec![0; 1 << 20];
        let mut count = 0;
        while output.push(&[&frame]) {
            count += 1;
        }
        assert_eq!(count, QUEUED_BYTES_MAX / (frame.len() + HEADER_BYTES));
        let held: usize = output.chunks.iter().map(Vec::capacity).sum();
        assert!(held <= QUEUED_BYTES_MAX + CHUNK_BYTES, "{held} bytes held");
    }
}

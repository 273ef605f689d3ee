//! Lines that wait to be written.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bytes that may wait. A reader that stops reading costs this much memory, and then lines.
const BYTES_MAX: usize = 1 << 20;

/// How long the writer waits when a stream takes nothing just now and would not block.
const RETRY: Duration = Duration::from_millis(20);

/// Where a line goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

/// Lines in the order in which they were logged.
#[derive(Debug, Default)]
pub(super) struct Queue {
    inner: Mutex<Inner>,
    /// There is something to write.
    filled: Condvar,
    /// There is nothing left to write.
    emptied: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    lines: VecDeque<(Stream, Vec<u8>)>,
    bytes: usize,
    /// The writer has taken a line out and not yet written it.
    is_writing: bool,
    /// Lines that found no room.
    overflowed: u64,
}

impl Queue {
    /// Adds a line, or counts it as lost where there is no room.
    pub(super) fn put(&self, stream: Stream, line: &[u8]) {
        let mut inner = self.lock();
        if inner.bytes + line.len() > BYTES_MAX {
            inner.overflowed += 1;
            return;
        }
        inner.bytes += line.len();
        inner.lines.push_back((stream, line.to_vec()));
        drop(inner);
        self.filled.notify_one();
    }

    /// Waits for a line and has `write` write it. `None`: there was no line for this long.
    pub(super) fn write_next(
        &self,
        patience: Duration,
        write: impl FnOnce(Stream, &[u8]) -> io::Result<()>,
    ) -> Option<io::Result<()>> {
        let waited = self.filled.wait_timeout_while(self.lock(), patience, |inner| inner.lines.is_empty());
        let (mut inner, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let (stream, line) = inner.lines.pop_front()?;
        inner.bytes -= line.len();
        inner.is_writing = true;
        drop(inner);
        let written = write(stream, &line);
        let mut inner = self.lock();
        inner.is_writing = false;
        if inner.lines.is_empty() {
            self.emptied.notify_all();
        }
        Some(written)
    }

    /// Waits until nothing is left to write, or until `patience` is over.
    pub(super) fn wait_until_written(&self, patience: Duration) {
        let is_unwritten = |inner: &mut Inner| inner.is_writing || !inner.lines.is_empty();
        let waited = self.emptied.wait_timeout_while(self.lock(), patience, is_unwritten);
        drop(waited);
    }

    /// Lines that found no room and were not reported yet.
    pub(super) fn overflowed(&self) -> u64 {
        self.lock().overflowed
    }

    /// The same, and resets the count.
    pub(super) fn take_overflowed(&self) -> u64 {
        std::mem::take(&mut self.lock().overflowed)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes a line to its stream of this process. Not through `std::io::stdout`, which would keep
/// what the system refuses and retry it.
pub(super) fn write_to_stream(stream: Stream, line: &[u8]) -> io::Result<()> {
    match stream {
        Stream::Output => write_all(io::stdout().as_fd(), line),
        Stream::Error => write_all(io::stderr().as_fd(), line),
    }
}

fn write_all(fd: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(fd, bytes).map_err(io::Error::from) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => bytes = &bytes[n..],
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            // Another process that shares the stream has made it non-blocking.
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(RETRY),
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use super::*;

    #[test]
    fn lines_are_written_in_the_order_in_which_they_were_said() {
        let queue = Queue::default();
        queue.put(Stream::Output, b"one\n");
        queue.put(Stream::Error, b"two\n");
        let mut written = Vec::new();
        while let Some(done) = queue.write_next(Duration::ZERO, |stream, line| {
            written.push((stream, line.to_vec()));
            Ok(())
        }) {
            done.unwrap();
        }
        assert_eq!(written, [(Stream::Output, b"one\n".to_vec()), (Stream::Error, b"two\n".to_vec())]);
    }

    /// A reader that stops reading must not make threads that log wait.
    #[test]
    fn a_writer_that_hangs_costs_lines_and_a_bounded_amount_of_memory() {
        let queue = Arc::new(Queue::default());
        let line = [b'x'; 1000];
        let all = 3 * BYTES_MAX / line.len();
        let (begin, begun) = std::sync::mpsc::channel();
        let (go_on, may_go_on) = std::sync::mpsc::channel::<()>();
        queue.put(Stream::Error, &line);
        let writer = std::thread::spawn({
            let queue = Arc::clone(&queue);
            move || {
                let hang = |_: Stream, _: &[u8]| {
                    begin.send(()).unwrap();
                    may_go_on.recv().unwrap();
                    Ok(())
                };
                queue.write_next(Duration::from_secs(60), hang).expect("a line").unwrap();
            }
        });
        begun.recv().unwrap();
        (0..all).for_each(|_| queue.put(Stream::Error, &line));
        assert_eq!(queue.overflowed(), (all - BYTES_MAX / line.len()) as u64);
        queue.wait_until_written(Duration::from_millis(1));
        go_on.send(()).unwrap();
        writer.join().unwrap();
        let mut written = 0;
        while queue.write_next(Duration::ZERO, |_, _| Ok(())).is_some() {
            written += 1;
        }
        assert_eq!(written, BYTES_MAX / line.len());
        assert_eq!(queue.take_overflowed(), (all - written) as u64);
        assert_eq!(queue.overflowed(), 0);
    }

    #[test]
    fn a_line_that_cannot_be_written_is_reported_and_the_next_one_is_tried() {
        let queue = Queue::default();
        queue.put(Stream::Error, b"lost\n");
        queue.put(Stream::Error, b"kept\n");
        let full = queue.write_next(Duration::ZERO, |_, _| Err(io::ErrorKind::StorageFull.into()));
        assert!(full.expect("a line").is_err());
        let mut kept = Vec::new();
        let written = queue.write_next(Duration::ZERO, |_, line| {
            kept = line.to_vec();
            Ok(())
        });
        assert!(written.expect("a line").is_ok());
        assert_eq!(kept, b"kept\n");
        let begun = Instant::now();
        queue.wait_until_written(Duration::from_secs(60));
        assert!(begun.elapsed() < Duration::from_secs(30), "nothing is left to wait for");
    }
}

//! The log of one member, flushed by its poll loop or by a thread.

use crate::epoll::Flush;
use crate::log::Log;
use mio::Waker;
use std::io;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};

/// A log that flushes one piece at a time. Everything that arrives meanwhile becomes the next
/// piece.
pub(super) struct Journal {
    mode: Mode,
    flushed: u64,
}

enum Mode {
    Inline(Log),
    Thread(Writer),
}

/// The poll loop's handle to the flushing thread.
struct Writer {
    pieces: Sender<Vec<u8>>,
    /// Flushed pieces are returned so that their memory is reused.
    done: Receiver<io::Result<Vec<u8>>>,
    spare: Vec<u8>,
    /// The newest batch in the piece being flushed.
    busy: Option<u64>,
}

impl Journal {
    /// With a thread, `waker` is called after each flush.
    pub(super) fn new(log: Log, flush: Flush, waker: Waker) -> Self {
        let mode = match flush {
            Flush::Inline => Mode::Inline(log),
            Flush::Thread => Mode::Thread(Writer::start(log, waker)),
        };
        Self { mode, flushed: 0 }
    }

    /// Whether [`Self::append`] may be called.
    pub(super) fn idle(&self) -> bool {
        match &self.mode {
            Mode::Inline(_) => true,
            Mode::Thread(writer) => writer.busy.is_none(),
        }
    }

    /// Flushes `piece` and leaves it empty. `newest` is the number of its last batch.
    pub(super) fn append(&mut self, piece: &mut Vec<u8>, newest: u64) -> io::Result<()> {
        assert!(self.idle(), "a piece is being flushed");
        match &mut self.mode {
            Mode::Inline(log) => {
                log.flush(piece)?;
                piece.clear();
                self.flushed = newest;
                Ok(())
            }
            Mode::Thread(writer) => {
                writer.busy = Some(newest);
                let piece = std::mem::replace(piece, std::mem::take(&mut writer.spare));
                writer.pieces.send(piece).map_err(|_| gone())
            }
        }
    }

    /// The newest batch on disk.
    pub(super) fn flushed(&mut self) -> io::Result<u64> {
        if let Mode::Thread(writer) = &mut self.mode {
            match writer.done.try_recv() {
                Ok(piece) => {
                    writer.spare = piece?;
                    self.flushed = writer.busy.take().unwrap_or(self.flushed);
                }
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => return Err(gone()),
            }
        }
        Ok(self.flushed)
    }
}

impl Writer {
    fn start(mut log: Log, waker: Waker) -> Self {
        let (pieces, to_flush) = channel::<Vec<u8>>();
        let (to_return, done) = channel();
        std::thread::spawn(move || {
            for mut piece in to_flush {
                let flushed = log.flush(&piece);
                piece.clear();
                // Both fail only when the poll loop has ended, and then the process ends too.
                if to_return.send(flushed.map(|()| piece)).is_err() || waker.wake().is_err() {
                    return;
                }
            }
        });
        Self { pieces, done, spare: Vec::new(), busy: None }
    }
}

fn gone() -> io::Error {
    io::Error::other("the flushing thread has ended")
}

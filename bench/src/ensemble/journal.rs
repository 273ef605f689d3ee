//! The log of one member, flushed by its poll loop or beside it.

use crate::epoll::Flush;
use crate::log::Log;
use mio::Waker;
use std::io;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};

/// A log that takes one piece at a time. Whatever comes while it is busy makes the next piece.
pub(super) struct Journal {
    way: Way,
    flushed: u64,
}

enum Way {
    Inline(Log),
    Thread(Writer),
}

/// The loop's side of a thread that flushes.
struct Writer {
    pieces: Sender<Vec<u8>>,
    /// The pieces come back when they are on disk, so that their memory is used again.
    done: Receiver<io::Result<Vec<u8>>>,
    spare: Vec<u8>,
    /// The newest batch in the piece under way.
    busy: Option<u64>,
}

impl Journal {
    /// With a thread, `waker` is called after each flush.
    pub(super) fn new(log: Log, flush: Flush, waker: Waker) -> Self {
        let way = match flush {
            Flush::Inline => Way::Inline(log),
            Flush::Thread => Way::Thread(Writer::start(log, waker)),
        };
        Self { way, flushed: 0 }
    }

    /// Whether [`Self::append`] may be called.
    pub(super) fn idle(&self) -> bool {
        match &self.way {
            Way::Inline(_) => true,
            Way::Thread(writer) => writer.busy.is_none(),
        }
    }

    /// Takes `piece` and leaves it empty. `newest` is the number of its last batch.
    pub(super) fn append(&mut self, piece: &mut Vec<u8>, newest: u64) -> io::Result<()> {
        assert!(self.idle(), "a piece is under way");
        match &mut self.way {
            Way::Inline(log) => {
                log.flush(piece)?;
                piece.clear();
                self.flushed = newest;
                Ok(())
            }
            Way::Thread(writer) => {
                writer.busy = Some(newest);
                let piece = std::mem::replace(piece, std::mem::take(&mut writer.spare));
                writer.pieces.send(piece).map_err(|_| gone())
            }
        }
    }

    /// The newest batch on disk.
    pub(super) fn flushed(&mut self) -> io::Result<u64> {
        if let Way::Thread(writer) = &mut self.way {
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
                // Both fail only when the loop has ended, and then the process ends too.
                if to_return.send(flushed.map(|()| piece)).is_err() || waker.wake().is_err() {
                    return;
                }
            }
        });
        Self { pieces, done, spare: Vec::new(), busy: None }
    }
}

fn gone() -> io::Error {
    io::Error::other("the thread that flushes has ended")
}

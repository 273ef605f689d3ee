//! From the connection threads to the replication thread: one bundle per wake-up.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use replica::Submission;

/// What waits for the replication thread. Its size is bounded by the throttle of the connections (`globalOutstandingLimit`,
/// `ostler.outstandingBytesMax`), not here.
#[derive(Debug, Default)]
pub struct Inbox {
    waiting: Mutex<Contents>,
    arrived: Condvar,
    /// Requests handed over and not answered yet, over all connections.
    outstanding: AtomicUsize,
    /// Bytes of commands handed over and not applied yet.
    outstanding_bytes: AtomicUsize,
}

#[derive(Debug, Default)]
struct Contents {
    submission: Submission,
    errands: Vec<Errand>,
    asleep: bool,
}

/// What the replication thread is asked to do besides requests.
#[derive(Debug)]
pub enum Errand {
    /// A background snapshot ended; `Ok` holds the log index it covers.
    SnapshotDone(Result<u64, String>),
    /// Take a snapshot now (`csnp`).
    TakeSnapshot,
    /// Nobody is connected to this session here any more.
    Disconnected(i64),
    /// Finish what was accepted and stop.
    Stop,
}

impl Inbox {
    /// Hands over everything in `submission`, emptying it, and wakes the replication thread.
    pub fn submit(&self, submission: &mut Submission, requests: usize) {
        self.put(submission, requests);
        self.wake();
    }

    /// Hands over everything in `submission`, emptying it, for a cycle the caller is going to run.
    pub fn put(&self, submission: &mut Submission, requests: usize) {
        self.outstanding.fetch_add(requests, Ordering::Relaxed);
        self.outstanding_bytes.fetch_add(submission.len_bytes(), Ordering::Relaxed);
        self.waiting.lock().submission.append(submission);
    }

    /// Asks for something besides requests.
    pub fn ask(&self, errand: Errand) {
        self.waiting.lock().errands.push(errand);
        self.wake();
    }

    /// Ends a [`wait`](Self::wait).
    pub fn wake(&self) {
        let asleep = std::mem::take(&mut self.waiting.lock().asleep);
        if asleep {
            self.arrived.notify_one();
        }
    }

    /// Waits until something is there, at most `patience`. Somebody else may have taken it when this returns.
    pub fn wait(&self, patience: Duration) {
        let mut waiting = self.waiting.lock();
        if waiting.submission.is_empty() && waiting.errands.is_empty() {
            waiting.asleep = true;
            self.arrived.wait_for(&mut waiting, patience);
            waiting.asleep = false;
        }
    }

    /// Takes what is there. Both arguments are empty before.
    pub fn take(&self, submission: &mut Submission, errands: &mut Vec<Errand>) {
        let mut waiting = self.waiting.lock();
        std::mem::swap(&mut waiting.submission, submission);
        std::mem::swap(&mut waiting.errands, errands);
    }

    /// Counts requests as answered.
    pub fn answered(&self, requests: usize) {
        self.outstanding.fetch_sub(requests, Ordering::Relaxed);
    }

    /// Counts command bytes as applied or refused.
    pub fn applied_bytes(&self, bytes: usize) {
        self.outstanding_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Requests handed over and not answered.
    pub fn outstanding(&self) -> usize {
        self.outstanding.load(Ordering::Relaxed)
    }

    /// Command bytes handed over and not applied.
    pub fn outstanding_bytes(&self) -> usize {
        self.outstanding_bytes.load(Ordering::Relaxed)
    }
}

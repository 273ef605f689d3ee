//! From the connection threads to the replication thread: one bundle per wake-up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use group::Submission;
use mio::Waker;
use parking_lot::Mutex;

/// What waits for the replication thread. Its size is bounded by the throttle of the connections (`globalOutstandingLimit`,
/// `ostler.outstandingBytesMax`), not here.
#[derive(Debug, Default)]
pub struct Inbox {
    waiting: Mutex<Contents>,
    /// The replication thread waits in its poll and must be woken. Written in sequentially consistent order with the contents, so that
    /// either the thread sees what was put in or whoever put it in sees the sleeper.
    asleep: AtomicBool,
    /// Wakes it; nobody has to be woken where there is no such thread.
    waker: Option<Arc<Waker>>,
    /// Requests handed over and not answered yet, over all connections.
    outstanding: AtomicUsize,
    /// Bytes of commands handed over and not taken by a finished cycle.
    waiting_bytes: AtomicUsize,
    /// Bytes of commands that the replica keeps until their outcome is known.
    kept_bytes: AtomicUsize,
}

#[derive(Debug, Default)]
struct Contents {
    submission: Submission,
    control_requests: Vec<ControlRequest>,
}

/// What the replication thread is asked to do besides requests.
#[derive(Debug)]
pub enum ControlRequest {
    /// A background snapshot ended.
    SnapshotDone {
        /// Which, counted from the start.
        number: u64,
        /// The log index it covers, or why there is none.
        result: Result<u64, String>,
    },
    /// Take a snapshot now (`csnp`).
    TakeSnapshot,
    /// Nobody is connected to this session here any more.
    Disconnected(i64),
    /// Become the leader (`rqld`).
    Lead,
    /// Let another one lead (`ydld`).
    StepDown,
    /// Finish what was accepted and stop.
    Stop,
}

impl Inbox {
    /// An empty one, whose thread is woken through `waker`.
    pub fn new(waker: Option<Arc<Waker>>) -> Inbox {
        Inbox { waker, ..Inbox::default() }
    }

    /// Hands over everything in `submission`, emptying it, and wakes the replication thread.
    pub fn submit(&self, submission: &mut Submission, requests: usize) {
        self.put(submission, requests);
        self.wake();
    }

    /// Hands over everything in `submission`, emptying it, for a cycle the caller is going to run.
    pub fn put(&self, submission: &mut Submission, requests: usize) {
        self.outstanding.fetch_add(requests, Ordering::Relaxed);
        self.waiting_bytes.fetch_add(submission.len_bytes(), Ordering::Relaxed);
        self.waiting.lock().submission.append(submission);
    }

    /// Asks for something besides requests.
    pub fn ask(&self, errand: ControlRequest) {
        self.waiting.lock().control_requests.push(errand);
        self.wake();
    }

    /// Wakes the replication thread if it sleeps.
    pub fn wake(&self) {
        if self.asleep.swap(false, Ordering::SeqCst)
            && let Some(waker) = &self.waker
        {
            // It fails only if the poll is gone, and then so is the thread.
            let _ = waker.wake();
        }
    }

    /// The thread is about to wait: `false` if it must not, because something is there.
    pub fn fall_asleep(&self) -> bool {
        self.asleep.store(true, Ordering::SeqCst);
        let is_empty = self.is_empty();
        if !is_empty {
            self.awake();
        }
        is_empty
    }

    /// The thread is back from waiting.
    pub fn awake(&self) {
        self.asleep.store(false, Ordering::SeqCst);
    }

    /// Takes what is there. Both arguments are empty before.
    pub fn take(&self, submission: &mut Submission, control_requests: &mut Vec<ControlRequest>) {
        let mut waiting = self.waiting.lock();
        std::mem::swap(&mut waiting.submission, submission);
        std::mem::swap(&mut waiting.control_requests, control_requests);
    }

    /// Whether nothing waits. What waits is taken by a cycle that begins as soon as the present one ends.
    pub fn is_empty(&self) -> bool {
        let waiting = self.waiting.lock();
        waiting.submission.is_empty() && waiting.control_requests.is_empty()
    }

    /// Counts requests as answered.
    pub fn answered(&self, requests: usize) {
        self.outstanding.fetch_sub(requests, Ordering::Relaxed);
    }

    /// A cycle that took commands of so many bytes is over, and the replica now keeps so many in
    /// all.
    pub fn end_cycle(&self, taken_bytes: usize, kept_bytes: usize) {
        self.kept_bytes.store(kept_bytes, Ordering::Relaxed);
        self.waiting_bytes.fetch_sub(taken_bytes, Ordering::Relaxed);
    }

    /// Requests handed over and not answered.
    pub fn outstanding(&self) -> usize {
        self.outstanding.load(Ordering::Relaxed)
    }

    /// Bytes of commands handed over that have no known outcome.
    pub fn outstanding_bytes(&self) -> usize {
        self.waiting_bytes.load(Ordering::Relaxed) + self.kept_bytes.load(Ordering::Relaxed)
    }
}

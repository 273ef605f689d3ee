//! From the connection threads to the replication thread: one submission per wake-up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use group::Submission;
use mio::Waker;
use parking_lot::Mutex;

/// What waits for the replication thread. The throttle of the connections
/// (`globalOutstandingLimit`, `ostler.outstandingBytesMax`) bounds its size, not the inbox itself.
#[derive(Debug, Default)]
pub struct Inbox {
    waiting: Mutex<Contents>,
    /// The replication thread waits in its poll and must be woken. Sequentially consistent with the
    /// contents, so that either the thread sees the new contents or the writer sees that the thread
    /// sleeps.
    asleep: AtomicBool,
    /// Wakes it; `None` in a simulation, which has no replication thread.
    waker: Option<Arc<Waker>>,
    /// Requests submitted and not yet answered, over all connections.
    outstanding: AtomicUsize,
    /// Bytes of commands submitted and not yet taken by a finished cycle.
    waiting_bytes: AtomicUsize,
    /// Bytes of commands that the replica keeps until their outcome is known.
    kept_bytes: AtomicUsize,
}

#[derive(Debug, Default)]
struct Contents {
    submission: Submission,
    control_requests: Vec<ControlRequest>,
}

/// Requests to the replication thread that do not come from a client's session.
#[derive(Debug)]
pub enum ControlRequest {
    /// A background snapshot ended.
    SnapshotDone {
        /// The snapshot's number, counted from the start.
        number: u64,
        /// The log index it covers, or why it failed.
        result: Result<u64, String>,
    },
    /// Take a snapshot now (`csnp`).
    TakeSnapshot,
    /// The session has no connection on this server any more.
    Disconnected(i64),
    /// Become the leader (`rqld`).
    Lead,
    /// Transfer leadership to another member (`ydld`).
    StepDown,
    /// Answer the accepted requests and stop.
    Stop,
}

impl Inbox {
    /// An empty inbox whose thread is woken through `waker`.
    pub fn new(waker: Option<Arc<Waker>>) -> Inbox {
        Inbox { waker, ..Inbox::default() }
    }

    /// Submits everything in `submission`, emptying it, and wakes the replication thread.
    pub fn submit(&self, submission: &mut Submission, requests: usize) {
        self.put(submission, requests);
        self.wake();
    }

    /// Submits everything in `submission`, emptying it, for a cycle that the caller runs itself.
    pub fn put(&self, submission: &mut Submission, requests: usize) {
        self.outstanding.fetch_add(requests, Ordering::Relaxed);
        self.waiting_bytes.fetch_add(submission.len_bytes(), Ordering::Relaxed);
        self.waiting.lock().submission.append(submission);
    }

    /// Adds a control request and wakes the replication thread.
    pub fn ask(&self, request: ControlRequest) {
        self.waiting.lock().control_requests.push(request);
        self.wake();
    }

    /// Wakes the replication thread if it sleeps.
    pub fn wake(&self) {
        if self.asleep.swap(false, Ordering::SeqCst)
            && let Some(waker) = &self.waker
        {
            // Fails only if the poll is gone, and the thread with it.
            let _ = waker.wake();
        }
    }

    /// The thread is about to wait; `false` if it must not, because the inbox is not empty.
    pub fn fall_asleep(&self) -> bool {
        self.asleep.store(true, Ordering::SeqCst);
        let is_empty = self.is_empty();
        if !is_empty {
            self.awake();
        }
        is_empty
    }

    /// The thread has stopped waiting.
    pub fn awake(&self) {
        self.asleep.store(false, Ordering::SeqCst);
    }

    /// Takes the contents. Both arguments must be empty.
    pub fn take(&self, submission: &mut Submission, control_requests: &mut Vec<ControlRequest>) {
        let mut waiting = self.waiting.lock();
        std::mem::swap(&mut waiting.submission, submission);
        std::mem::swap(&mut waiting.control_requests, control_requests);
    }

    /// Whether the inbox is empty. Its contents are taken by the cycle that begins when the present
    /// one ends.
    pub fn is_empty(&self) -> bool {
        let waiting = self.waiting.lock();
        waiting.submission.is_empty() && waiting.control_requests.is_empty()
    }

    /// Counts requests as answered.
    pub fn answered(&self, requests: usize) {
        self.outstanding.fetch_sub(requests, Ordering::Relaxed);
    }

    /// A cycle that took `taken_bytes` of commands has ended, and the replica now keeps
    /// `kept_bytes` in all.
    pub fn end_cycle(&self, taken_bytes: usize, kept_bytes: usize) {
        self.kept_bytes.store(kept_bytes, Ordering::Relaxed);
        self.waiting_bytes.fetch_sub(taken_bytes, Ordering::Relaxed);
    }

    /// Requests submitted and not answered.
    pub fn outstanding(&self) -> usize {
        self.outstanding.load(Ordering::Relaxed)
    }

    /// Bytes of submitted commands whose outcome is not known.
    pub fn outstanding_bytes(&self) -> usize {
        self.waiting_bytes.load(Ordering::Relaxed) + self.kept_bytes.load(Ordering::Relaxed)
    }
}

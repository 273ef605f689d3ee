//! From the connection threads to the replication thread: one submission per wake-up.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use group::{GroupId, Submission};
use parking_lot::Mutex;

use crate::wake::Wake;

/// What waits for the replication thread. The throttle of the connections
/// (`globalOutstandingLimit`, `ostler.outstandingBytesMax`) bounds its size, not the inbox itself.
#[derive(Debug)]
pub struct Inbox {
    waiting: Mutex<Contents>,
    /// The replication thread waits in its poll and must be woken. Sequentially consistent with the
    /// contents, so that either the thread sees the new contents or the writer sees that the thread
    /// sleeps.
    asleep: AtomicBool,
    /// Wakes it; `None` in a simulation, which has no replication thread.
    waker: Option<Arc<dyn Wake>>,
    /// Requests submitted and not yet answered, over all connections.
    outstanding: AtomicUsize,
    /// Bytes of commands submitted and not yet taken by a finished cycle.
    waiting_bytes: AtomicUsize,
    /// Bytes of commands that the replica keeps until their outcome is known.
    kept_bytes: AtomicUsize,
}

#[derive(Debug)]
struct Contents {
    submissions: Submissions,
    control_requests: Vec<ControlRequest>,
}

/// What is submitted to each group; reused, so that steady traffic allocates nothing for it.
#[derive(Debug)]
pub struct Submissions {
    /// By the group's number.
    by_group: Vec<Submission>,
    /// Groups to which something is submitted, without duplicates.
    filled: Vec<GroupId>,
}

impl Submissions {
    /// Nothing, for that many groups.
    pub fn new(groups: usize) -> Submissions {
        Submissions { by_group: (0..groups).map(|_| Submission::default()).collect(), filled: Vec::new() }
    }

    /// Where a request to that group is added.
    pub fn of(&mut self, group: GroupId) -> &mut Submission {
        let submission = &mut self.by_group[group.index()];
        if submission.is_empty() {
            self.filled.push(group);
        }
        submission
    }

    /// Passes on what is submitted to each group; `take` must empty it.
    pub fn drain(&mut self, mut take: impl FnMut(GroupId, &mut Submission)) {
        for group in self.filled.drain(..) {
            take(group, &mut self.by_group[group.index()]);
        }
    }

    /// An empty submission.
    pub fn nothing(&mut self) -> &mut Submission {
        self.by_group.first_mut().expect("there is a root group")
    }

    /// Whether nothing is submitted.
    pub fn is_empty(&self) -> bool {
        self.filled.is_empty()
    }

    /// Bytes of the commands.
    pub fn len_bytes(&self) -> usize {
        self.filled.iter().map(|group| self.by_group[group.index()].len_bytes()).sum()
    }

    fn append(&mut self, other: &mut Submissions) {
        other.drain(|group, submission| self.of(group).append(submission));
    }
}

/// A snapshot that is on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenSnapshot {
    /// Its file.
    pub path: PathBuf,
    /// The zxid up to which it reaches.
    pub zxid: i64,
}

/// Waits for a snapshot, and is told once how that ended. It is dropped untold if the snapshot is
/// abandoned: the server stops, or its state is replaced.
pub struct SnapshotWaiter(Box<dyn FnOnce(Result<WrittenSnapshot, String>) + Send>);

impl SnapshotWaiter {
    /// `tell` is called on the replication thread, so it must not block.
    pub fn new(tell: impl FnOnce(Result<WrittenSnapshot, String>) + Send + 'static) -> SnapshotWaiter {
        SnapshotWaiter(Box::new(tell))
    }

    /// Says where the snapshot is, or why it was not taken.
    pub fn tell(self, ended: Result<WrittenSnapshot, String>) {
        (self.0)(ended);
    }
}

impl std::fmt::Debug for SnapshotWaiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SnapshotWaiter")
    }
}

/// Requests to the replication thread that do not come from a client's session.
#[derive(Debug)]
pub enum ControlRequest {
    /// A background snapshot ended.
    SnapshotDone {
        /// Of this group.
        group: GroupId,
        /// The snapshot's number, counted from the start.
        number: u64,
        /// The log index it covers, or why it failed.
        result: Result<u64, String>,
    },
    /// Take a snapshot of the group now, and tell the one who waits for it (`csnp`, `snapshot`).
    TakeSnapshot(GroupId, Option<SnapshotWaiter>),
    /// The session of the group has no connection on this server any more.
    Disconnected(GroupId, i64),
    /// Become the leader of the group (`rqld`).
    Lead(GroupId),
    /// Transfer leadership of the group to another member (`ydld`).
    StepDown(GroupId),
    /// Answer the accepted requests and stop.
    Stop,
}

impl Inbox {
    /// An empty inbox of a server with `groups` groups, whose thread is woken through `waker`.
    pub fn new(groups: usize, waker: Option<Arc<dyn Wake>>) -> Inbox {
        let contents = Contents { submissions: Submissions::new(groups), control_requests: Vec::new() };
        Inbox {
            waiting: Mutex::new(contents),
            asleep: AtomicBool::default(),
            waker,
            outstanding: AtomicUsize::default(),
            waiting_bytes: AtomicUsize::default(),
            kept_bytes: AtomicUsize::default(),
        }
    }

    /// Submits everything in `submissions`, emptying them, and wakes the replication thread.
    pub fn submit(&self, submissions: &mut Submissions, requests: usize) {
        self.put(submissions, requests);
        self.wake();
    }

    /// Submits everything in `submissions`, emptying them, for a cycle that the caller runs itself.
    pub fn put(&self, submissions: &mut Submissions, requests: usize) {
        self.outstanding.fetch_add(requests, Ordering::Relaxed);
        self.waiting_bytes.fetch_add(submissions.len_bytes(), Ordering::Relaxed);
        self.waiting.lock().submissions.append(submissions);
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
            waker.wake();
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
    pub fn take(&self, submissions: &mut Submissions, control_requests: &mut Vec<ControlRequest>) {
        let mut waiting = self.waiting.lock();
        std::mem::swap(&mut waiting.submissions, submissions);
        std::mem::swap(&mut waiting.control_requests, control_requests);
    }

    /// Whether the inbox is empty. Its contents are taken by the cycle that begins when the present
    /// one ends.
    pub fn is_empty(&self) -> bool {
        let waiting = self.waiting.lock();
        waiting.submissions.is_empty() && waiting.control_requests.is_empty()
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

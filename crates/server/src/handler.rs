//! Requests that the program which embeds this server is asked about first.
//!
//! A connection thread puts a [`Question`] into the queue and goes on. A thread of the program
//! takes it, and its [`Answer`] comes back to the connection thread. No thread of the server ever
//! waits for the program: a question that finds the queue full, or is not answered before its
//! deadline, is answered with an error.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use group::RequestId;
use parking_lot::{Condvar, Mutex};
use state::auth::Identities;
use wire::ErrorCode;
use wire::opcode::Opcode;

use crate::mailbox::{Delivery, Mailbox};
use crate::outside_changes::OutsideChanges;
use crate::token::thread_of;

/// Least time between two lines of the log about requests that fail.
const WARNING_INTERVAL_MS: i64 = 1_000;

/// What the program is asked about, and within which limits.
#[derive(Clone, Debug)]
pub struct HandlerSettings {
    /// The operations that it is asked about.
    pub operations: Vec<Opcode>,
    /// Whether it hears of sessions that begin and end.
    pub hears_of_sessions: bool,
    /// How long a client waits for its answer.
    pub deadline: Duration,
    /// How many questions may wait for a thread of the program.
    pub waiting_max: usize,
    /// The same in bytes of their requests.
    pub waiting_bytes_max: usize,
}

/// A request of a client.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The client's session.
    pub session: i64,
    /// The client's address.
    pub peer: SocketAddr,
    /// Who the client is.
    pub identities: Arc<Identities>,
    /// The operation.
    pub operation: Opcode,
    /// The record of the request, which can be decoded.
    pub body: Arc<[u8]>,
}

/// A request that the program is asked about.
#[derive(Debug)]
pub struct Question {
    /// Where the answer goes.
    pub id: RequestId,
    /// The request.
    pub asked: Asked,
}

/// What a thread of the program takes from the queue.
#[derive(Debug)]
pub enum Task {
    /// A question, which needs an answer.
    Question(Question),
    /// A client has opened a session.
    SessionOpened {
        /// The session.
        session: i64,
        /// The client's address.
        peer: SocketAddr,
    },
    /// A session has been closed or has expired.
    SessionClosed {
        /// The session.
        session: i64,
    },
}

/// What the program says about a request.
#[derive(Debug)]
pub enum Answer {
    /// The server executes the request as if there were no program.
    BuiltIn,
    /// The client gets this reply.
    Reply {
        /// Its code.
        code: ErrorCode,
        /// Its record; empty unless the code is `Ok`.
        body: Vec<u8>,
    },
    /// The client's credentials prove this identity; only for [`Opcode::Auth`].
    Proven {
        /// The scheme.
        scheme: String,
        /// The identity.
        id: String,
    },
    /// The server executes another request for the client and tells the program the result. An
    /// answer must still follow.
    Execute {
        /// The operation.
        operation: Opcode,
        /// The record of its request.
        body: Vec<u8>,
        /// Gets the result. It is dropped if the client has gone or the deadline has passed.
        result: SyncSender<Executed>,
    },
}

/// The result of a request that the server has executed for the program.
#[derive(Debug)]
pub struct Executed {
    /// Its code, as on the wire.
    pub code: i32,
    /// The record of the reply.
    pub body: Vec<u8>,
}

/// The queue of questions and the way back.
#[derive(Debug)]
pub struct Handler {
    settings: HandlerSettings,
    /// A bit for each operation that the program is asked about, by its number.
    operations: u128,
    queue: Mutex<Queue>,
    /// Notified when something is put into the queue, and when the server stops.
    stirred: Condvar,
    /// Notified when something is put into the queue and no thread waits for it.
    crowded: Condvar,
    is_stopping: AtomicBool,
    /// When the log last said that a request fails, in ms of the server's clock.
    warned_ms: AtomicI64,
    /// Answers, by the number of the connection thread.
    answers: Vec<Mutex<Vec<(RequestId, Answer)>>>,
    /// What has changed outside the built-in tree. Locked with the watches held.
    pub(crate) outside_changes: Mutex<OutsideChanges>,
}

#[derive(Debug, Default)]
struct Queue {
    tasks: VecDeque<Task>,
    /// Bytes of the requests among them.
    bytes: usize,
    /// Number of threads that wait for a task.
    idle_threads: usize,
}

impl Handler {
    /// A handler for this many connection threads.
    pub fn new(settings: HandlerSettings, threads: usize) -> Handler {
        let bits = settings.operations.iter().map(|operation| bit(*operation as i32));
        Handler {
            operations: bits.fold(0, |all, bit| all | bit),
            settings,
            queue: Mutex::default(),
            stirred: Condvar::new(),
            crowded: Condvar::new(),
            is_stopping: AtomicBool::new(false),
            warned_ms: AtomicI64::new(-WARNING_INTERVAL_MS),
            answers: (0..threads).map(|_| Mutex::default()).collect(),
            outside_changes: Mutex::default(),
        }
    }

    /// Whether the program is asked about this operation.
    pub fn concerns(&self, opcode: i32) -> bool {
        self.operations & bit(opcode) != 0
    }

    /// How long a client waits for an answer.
    pub fn deadline(&self) -> Duration {
        self.settings.deadline
    }

    /// Whether the log may say once more that a request fails. Clients can make requests fail as
    /// fast as they like.
    pub(crate) fn may_warn(&self, now_ms: i64) -> bool {
        let before = self.warned_ms.load(Ordering::Relaxed);
        let is_due = now_ms - before >= WARNING_INTERVAL_MS;
        is_due
            && self.warned_ms.compare_exchange(before, now_ms, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Puts a question into the queue; `false` if that is full.
    #[must_use]
    pub(crate) fn ask(&self, question: Question) -> bool {
        let mut queue = self.queue.lock();
        let bytes = queue.bytes + question.asked.body.len();
        let has_room =
            queue.tasks.len() < self.settings.waiting_max && bytes <= self.settings.waiting_bytes_max;
        if has_room {
            queue.bytes = bytes;
            self.put(&mut queue, Task::Question(question));
        }
        has_room
    }

    /// Tells the program of a session, if it wants to hear of that. While the queue is full, it
    /// does not.
    pub(crate) fn tell(&self, news: Task) {
        if !self.settings.hears_of_sessions {
            return;
        }
        let mut queue = self.queue.lock();
        // Questions are refused before: a session that ends does not go unheard because of them.
        if queue.tasks.len() >= self.settings.waiting_max.saturating_mul(4) {
            tracing::warn!("the program takes no news of sessions: {news:?} is dropped");
            return;
        }
        self.put(&mut queue, news);
    }

    fn put(&self, queue: &mut Queue, task: Task) {
        queue.tasks.push_back(task);
        if queue.idle_threads == 0 {
            self.crowded.notify_one();
        } else {
            self.stirred.notify_one();
        }
    }

    /// Takes the next task, and waits for one at most this long. `Err` when the server has stopped.
    ///
    /// # Errors
    /// The server has stopped: there will be no more tasks.
    pub fn take(&self, patience: Duration) -> Result<Option<Task>, Stopped> {
        let mut queue = self.queue.lock();
        loop {
            if self.is_stopping.load(Ordering::SeqCst) {
                return Err(Stopped);
            }
            if let Some(task) = queue.tasks.pop_front() {
                if let Task::Question(question) = &task {
                    queue.bytes -= question.asked.body.len();
                }
                return Ok(Some(task));
            }
            if patience.is_zero() {
                return Ok(None);
            }
            queue.idle_threads += 1;
            let waited = self.stirred.wait_for(&mut queue, patience);
            queue.idle_threads -= 1;
            if waited.timed_out() && queue.tasks.is_empty() {
                return Ok(None);
            }
        }
    }

    /// Waits, at most this long, until something is put into the queue while no thread waits for
    /// it.
    ///
    /// # Errors
    /// The server has stopped.
    pub fn await_crowd(&self, patience: Duration) -> Result<(), Stopped> {
        let mut queue = self.queue.lock();
        if queue.tasks.is_empty() && !self.is_stopping.load(Ordering::SeqCst) {
            self.crowded.wait_for(&mut queue, patience);
        }
        if self.is_stopping.load(Ordering::SeqCst) { Err(Stopped) } else { Ok(()) }
    }

    /// Number of tasks that wait.
    pub fn waiting(&self) -> usize {
        self.queue.lock().tasks.len()
    }

    /// Gives an answer to the connection thread that asked, whose mailbox is among these.
    pub(crate) fn answer(&self, mailboxes: &[Mailbox], id: RequestId, answer: Answer) {
        let thread = thread_of(id.token);
        self.answers[thread].lock().push((id, answer));
        // The delivery says nothing; it wakes the thread.
        mailboxes[thread].post(&mut Delivery::default());
        mailboxes[thread].wake();
    }

    /// Takes the answers for connections of this thread.
    pub(crate) fn take_answers(&self, thread: usize) -> Vec<(RequestId, Answer)> {
        std::mem::take(&mut *self.answers[thread].lock())
    }

    /// Ends the program's threads.
    #[cfg(feature = "net")]
    pub(crate) fn stop(&self) {
        self.is_stopping.store(true, Ordering::SeqCst);
        let _queue = self.queue.lock();
        self.stirred.notify_all();
        self.crowded.notify_all();
    }
}

/// The bit of an operation; none for those that no program is asked about.
fn bit(opcode: i32) -> u128 {
    u32::try_from(opcode).ok().and_then(|number| 1_u128.checked_shl(number)).unwrap_or(0)
}

/// The server has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server has stopped")]
pub struct Stopped;

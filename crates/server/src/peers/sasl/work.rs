//! Steps of Kerberos, on threads of their own. There are as many threads as there are steps to do,
//! up to a limit, and none that waits for work.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use gssapi::{Exchange, Initiation, Step};
use mio::Waker;
use parking_lot::Mutex;

use crate::peers::proof::LoginKey;

/// Steps that may wait for a thread: more than there are connections that can ask for one at a
/// time, so only a Kerberos server that does not answer can fill it.
const WAITING_MAX: usize = 256;

/// A step to do.
#[derive(Debug)]
pub(super) enum Job {
    /// Of a server that was dialled.
    Accept(Exchange, Vec<u8>),
    /// Of a server that dials.
    Initiate(Initiation, Vec<u8>),
}

/// What became of a step of a server that was dialled.
#[derive(Debug)]
pub(in crate::peers) enum Accept {
    /// The other one has to answer this token.
    Continue(Exchange, Vec<u8>),
    /// The other one has proven to be this principal.
    Accepted { name: String, key: LoginKey },
}

/// What became of a step of a server that dials.
#[derive(Debug)]
pub(in crate::peers) struct Initiated {
    pub(super) initiation: Initiation,
    /// For the other one.
    pub(super) token: Vec<u8>,
    /// With the last token.
    pub(super) key: Option<LoginKey>,
}

/// A step that was done, and its number.
#[derive(Debug)]
pub(in crate::peers) enum Done {
    Accept(u64, Result<Accept, String>),
    Initiate(u64, Result<Initiated, String>),
}

/// The way to the threads and back.
#[derive(Debug)]
pub(super) struct Work {
    queue: Arc<Queue>,
    next: AtomicU64,
    done: Receiver<Done>,
}

#[derive(Debug)]
struct Queue {
    threads_max: usize,
    state: Mutex<Waiting>,
    done: Sender<Done>,
    waker: Arc<Waker>,
}

#[derive(Debug, Default)]
struct Waiting {
    jobs: VecDeque<(u64, Job)>,
    threads: usize,
}

impl Work {
    /// No threads, and up to this many where they are needed.
    pub(super) fn new(threads_max: usize, waker: Arc<Waker>) -> Work {
        let (sender, done) = channel();
        let queue = Queue { threads_max, state: Mutex::default(), done: sender, waker };
        Work { queue: Arc::new(queue), next: AtomicU64::new(0), done }
    }

    /// Hands over a step, and returns its number; `None` if too many wait. Own logins go before
    /// those of others, which anybody can ask for.
    #[must_use]
    pub(super) fn submit(&self, job: Job) -> Option<u64> {
        let mut state = self.queue.state.lock();
        if state.jobs.len() >= WAITING_MAX {
            return None;
        }
        if state.threads < self.queue.threads_max {
            match start(Arc::clone(&self.queue)) {
                Ok(()) => state.threads += 1,
                Err(e) if state.threads == 0 => {
                    tracing::warn!("cannot start a thread for logins between servers: {e}");
                    return None;
                }
                Err(_) => {}
            }
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        match job {
            Job::Accept(..) => state.jobs.push_back((number, job)),
            Job::Initiate(..) => state.jobs.push_front((number, job)),
        }
        Some(number)
    }

    /// The steps that were done since the last call.
    pub(super) fn collect(&self) -> Vec<Done> {
        self.done.try_iter().collect()
    }
}

/// Nobody waits for such a thread: what it works on concerns connections that have ended by then.
fn start(queue: Arc<Queue>) -> io::Result<()> {
    let run = move || {
        while let Some((number, job)) = queue.next_job() {
            // The receiver is gone if the server has stopped meanwhile.
            if queue.done.send(job.run(number)).is_ok() {
                let _ = queue.waker.wake();
            }
        }
    };
    std::thread::Builder::new().name("quorum-sasl".to_owned()).spawn(run).map(drop)
}

impl Queue {
    /// The next step; without one the thread ends.
    fn next_job(&self) -> Option<(u64, Job)> {
        let mut state = self.state.lock();
        let job = state.jobs.pop_front();
        if job.is_none() {
            state.threads -= 1;
        }
        job
    }
}

impl Job {
    fn run(self, number: u64) -> Done {
        match self {
            Job::Accept(mut exchange, token) => {
                let step = exchange.step(&token).and_then(|step| {
                    Ok(match step {
                        Step::Continue(token) => Accept::Continue(exchange, token),
                        Step::Accepted(name) => {
                            Accept::Accepted { name, key: LoginKey::new(exchange.session_key()?) }
                        }
                    })
                });
                Done::Accept(number, step.map_err(|e| e.to_string()))
            }
            Job::Initiate(mut initiation, token) => {
                let step = initiation.step(&token).and_then(|token| {
                    let key = initiation.is_done().then(|| initiation.session_key()).transpose()?;
                    Ok(Initiated { initiation, token, key: key.map(LoginKey::new) })
                });
                Done::Initiate(number, step.map_err(|e| e.to_string()))
            }
        }
    }
}

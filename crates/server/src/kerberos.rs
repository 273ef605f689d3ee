//! Logins by Kerberos, on a thread of their own: accepting a ticket reads files and may ask name
//! servers, for which no other client must wait.
//!
//! A connection gives its exchange away with each token and gets it back with the answer. Until
//! then none of its requests is served.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use group::Token;
use gssapi::{Acceptor, Error, Exchange, Step};
use parking_lot::Mutex;

use crate::config::KerberosKey;
use crate::mailbox::{Delivery, Mailbox};

/// Tokens that may wait for the thread; a client whose token comes on top of them is refused.
const WAITING_MAX: usize = 1024;
/// How often the thread checks whether the server stops.
const CHECK: Duration = Duration::from_millis(500);

/// The way to the thread and back.
#[derive(Debug)]
pub struct Logins {
    acceptor: Acceptor,
    jobs: SyncSender<Job>,
    /// What is done, by the number of the connection thread.
    done: Vec<Mutex<Vec<Answer>>>,
}

/// A token of a client.
struct Job {
    connection: Token,
    thread: usize,
    xid: i32,
    bytes: Vec<u8>,
    exchange: Exchange,
}

/// What became of a token.
#[derive(Debug)]
pub struct Answer {
    /// Of this connection, if it still exists.
    pub connection: Token,
    /// The request's xid.
    pub xid: i32,
    /// The exchange, to go on with.
    pub exchange: Exchange,
    /// What the token led to.
    pub step: Result<Step, Error>,
}

/// What the thread works on.
#[derive(Debug)]
pub struct Jobs(Receiver<Job>);

impl Logins {
    /// Loads the library and the service's key, for this many connection threads.
    ///
    /// # Errors
    /// There is no library or no key.
    pub fn new(key: &KerberosKey, threads: usize) -> Result<(Logins, Jobs), Error> {
        let acceptor = Acceptor::new(key.keytab.as_deref(), &key.principal)?;
        let (jobs, waiting) = sync_channel(WAITING_MAX);
        let done = (0..threads).map(|_| Mutex::default()).collect();
        Ok((Logins { acceptor, jobs, done }, Jobs(waiting)))
    }

    /// A new exchange with a client.
    pub fn begin(&self) -> Exchange {
        self.acceptor.begin()
    }

    /// Hands over a token. The answer comes to the connection's `thread`. `false`, and no answer,
    /// if too many wait.
    #[must_use]
    pub fn submit(
        &self,
        connection: Token,
        thread: usize,
        xid: i32,
        bytes: &[u8],
        exchange: Exchange,
    ) -> bool {
        let job = Job { connection, thread, xid, bytes: bytes.to_vec(), exchange };
        self.jobs.try_send(job).is_ok()
    }

    /// Takes the answers for connections of this thread.
    pub fn take(&self, thread: usize) -> Vec<Answer> {
        std::mem::take(&mut *self.done[thread].lock())
    }

    /// Does the jobs until the server stops.
    pub fn run(&self, jobs: &Jobs, mailboxes: &[Mailbox], is_stopping: impl Fn() -> bool) {
        while !is_stopping() {
            let Job { connection, thread, xid, bytes, mut exchange } = match jobs.0.recv_timeout(CHECK) {
                Ok(job) => job,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let step = exchange.step(&bytes);
            self.done[thread].lock().push(Answer { connection, xid, exchange, step });
            // The delivery says nothing; it wakes the thread.
            mailboxes[thread].post(&mut Delivery::default());
            mailboxes[thread].wake();
        }
    }
}

//! The threads that call the methods.
//!
//! One thread is enough as long as methods return at once. When a call takes long and others wait,
//! another thread is started, so that they wait only for their own methods.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use server::handler::Task;
use server::shared::Shared;

use super::handler::Handler;
use super::request::Request;

/// How long a call may take before another thread goes on with the requests behind it.
const PATIENCE: Duration = Duration::from_millis(50);
/// How long a thread that is not the only one waits for work before it ends.
const IDLE: Duration = Duration::from_secs(10);
/// How often a thread that waits looks whether the server stops.
const CHECK: Duration = Duration::from_secs(1);
/// Most threads.
const THREADS_MAX: usize = 128;

/// What the threads share.
struct Workers<H> {
    shared: Arc<Shared>,
    handler: H,
    threads: AtomicUsize,
    /// Number of tasks taken so far.
    taken: AtomicU64,
}

/// Starts the threads. They end with the server; one that is inside of a method then ends with the
/// method.
pub(super) fn start(shared: &Arc<Shared>, handler: impl Handler) -> io::Result<JoinHandle<()>> {
    let workers = Arc::new(Workers {
        shared: Arc::clone(shared),
        handler,
        threads: AtomicUsize::new(0),
        taken: AtomicU64::new(0),
    });
    workers.start_thread()?;
    std::thread::Builder::new().name("methods-watch".to_owned()).spawn(move || workers.watch())
}

impl<H: Handler> Workers<H> {
    fn start_thread(self: &Arc<Self>) -> io::Result<()> {
        let number = self.threads.fetch_add(1, Relaxed);
        let workers = Arc::clone(self);
        let run = move || {
            workers.handler.on_thread(&mut || workers.work());
            workers.threads.fetch_sub(1, Relaxed);
        };
        let started = std::thread::Builder::new().name(format!("methods-{number}")).spawn(run);
        if started.is_err() {
            self.threads.fetch_sub(1, Relaxed);
        }
        started.map(drop)
    }

    /// Calls methods until the server stops, or there is too little to do for this thread.
    fn work(&self) {
        let Some(handler) = &self.shared.handler else { return };
        let mut idle = Duration::ZERO;
        loop {
            // A binding gives up its interpreter only to wait.
            let mut next = handler.take(Duration::ZERO);
            if matches!(next, Ok(None)) {
                self.handler.while_waiting(&mut || next = handler.take(CHECK));
            }
            match next {
                Err(_) => return,
                Ok(None) => {
                    idle += CHECK;
                    if idle >= IDLE && self.threads.load(Relaxed) > 1 {
                        return;
                    }
                }
                Ok(Some(task)) => {
                    idle = Duration::ZERO;
                    self.taken.fetch_add(1, Relaxed);
                    self.call(task);
                }
            }
        }
    }

    fn call(&self, task: Task) {
        match task {
            Task::Question(question) => {
                let request = Request::new(&self.shared, question);
                match request.has_valid_paths() {
                    true => self.handler.handle(request),
                    false => request.finish(Ok(None)),
                }
            }
            Task::SessionOpened { session, .. } => self.handler.session_opened(session),
            Task::SessionClosed { session } => self.handler.session_closed(session),
        }
    }

    /// Starts another thread when tasks wait and none is taken.
    fn watch(self: &Arc<Self>) {
        let Some(handler) = &self.shared.handler else { return };
        while handler.await_crowd(CHECK).is_ok() {
            let before = self.taken.load(Relaxed);
            if handler.waiting() == 0 {
                continue;
            }
            std::thread::sleep(PATIENCE);
            let has_stuck = handler.waiting() > 0 && self.taken.load(Relaxed) == before;
            if has_stuck
                && self.threads.load(Relaxed) < THREADS_MAX
                && let Err(error) = self.start_thread()
            {
                tracing::error!("no further thread can call methods: {error}");
            }
        }
    }
}

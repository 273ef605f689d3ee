//! A running server.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use server::serve::{Server as Running, Stopper as RunningStopper};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::announcer::Announcer;
use super::builder::Builder;

/// A running server. Dropping it stops it.
pub struct Server {
    running: Option<Running>,
    address: SocketAddr,
    admin_address: Option<SocketAddr>,
    stopper: Stopper,
    announcer: Announcer,
    threads: Option<JoinHandle<()>>,
}

/// Asks a server to stop, from any thread.
#[derive(Clone)]
pub struct Stopper(RunningStopper);

impl Stopper {
    /// Requests that were accepted are answered, then the server ends. Sessions are not closed:
    /// clients can resume them when it runs again.
    pub fn stop(&self) {
        self.0.stop();
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Server {
    /// The settings of a server that listens on 127.0.0.1:2181.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(super) fn new(running: Running, threads: JoinHandle<()>) -> Server {
        Server {
            address: running.address(),
            admin_address: running.admin_address(),
            stopper: Stopper(running.stopper()),
            announcer: Announcer(Arc::clone(running.shared())),
            running: Some(running),
            threads: Some(threads),
        }
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the AdminServer listens; `None` if it is off or its port is taken.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_address
    }

    /// Tells clients of data that change outside the built-in tree.
    pub fn announcer(&self) -> Announcer {
        self.announcer.clone()
    }

    /// A handle that stops the server.
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Waits until the server has stopped, because it was asked to or because it failed. A method
    /// that is being called is not waited for.
    ///
    /// # Errors
    /// Why it failed, such as a disk that cannot be written. No write was acknowledged that is not
    /// durable.
    pub fn wait(mut self) -> io::Result<()> {
        self.end()
    }

    /// Waits until the process gets SIGINT or SIGTERM, and stops the server, or until it fails.
    ///
    /// # Errors
    /// As [`wait`](Self::wait), or no signal can be waited for.
    pub fn run_until_signal(self) -> io::Result<()> {
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let stopper = self.stopper();
        let handle = signals.handle();
        let watching = std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            if signals.forever().next().is_some() {
                stopper.stop();
            }
        })?;
        let ended = self.wait();
        handle.close();
        // It only waits for signals.
        let _watched = watching.join();
        ended
    }

    fn end(&mut self) -> io::Result<()> {
        let ended = self.running.take().map_or(Ok(()), |running| running.wait().map_err(io::Error::other));
        if let Some(threads) = self.threads.take() {
            threads.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
        ended
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.running.is_some() {
            self.stopper.stop();
            if let Err(error) = self.end() {
                tracing::error!("the server has failed: {error}");
            }
        }
    }
}

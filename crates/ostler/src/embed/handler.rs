//! The face for bindings to other languages, below [`ZooServer`](super::ZooServer).

use super::method::Methods;
use super::request::Request;

/// Answers requests, at once or later, from any thread.
pub trait Handler: Send + Sync + 'static {
    /// The methods that are implemented.
    fn methods(&self) -> Methods;

    /// A client asks for something. The request must be finished, now or later.
    fn handle(&self, request: Request);

    /// A client has opened a session.
    fn session_opened(&self, _session: i64) {}

    /// A session has been closed or has expired.
    fn session_closed(&self, _session: i64) {}

    /// Runs one of the threads that call [`handle`](Self::handle), from its start to its end.
    fn on_thread(&self, run: &mut dyn FnMut()) {
        run();
    }

    /// Runs `wait`, in which such a thread waits for requests.
    fn while_waiting(&self, wait: &mut (dyn FnMut() + Send)) {
        wait();
    }
}

//! The clients of a round: one for each server, each writing all the while, and going to another
//! server at once when its connection ends.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ostler_tests::request::{Request, op};
use ostler_tests::roaming_client::{Connected, RoamingClient};
use ostler_tests::session::{Session, create, set_data};

/// What all of them write.
const PATH: &str = "/failover";

/// kazoo's default.
const TIMEOUT_MS: i32 = 10_000;

/// How long a client waits for a server that is silent and closes nothing, before it goes to
/// another one. Well below what clients do with that timeout (kazoo and Java's wait for two thirds
/// of it), and longer than a server without a majority takes to close its clients' connections.
const PATIENCE: Duration = Duration::from_secs(4);

/// Between two writes of a client. It bounds how exact a figure is, and what the clients take of
/// the machine from the servers.
const PAUSE: Duration = Duration::from_millis(2);

/// After every server has refused a client.
const REFUSED_PAUSE: Duration = Duration::from_millis(5);

/// Makes what the clients write.
pub(crate) fn prepare(address: SocketAddr) {
    let mut session = Session::open(address, TIMEOUT_MS).expect("a session");
    session.must(&create(PATH, b"", 0));
    session.must(&close());
}

fn close() -> Request {
    Request::Raw { op: op::CLOSE_SESSION, body: Vec::new() }
}

/// An acknowledged write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ack {
    /// When it was sent.
    pub(crate) sent: Instant,
    /// When it was acknowledged.
    pub(crate) acked: Instant,
    /// Of which leadership: the upper half of its zxid.
    pub(crate) epoch: i64,
}

/// A client at work.
#[derive(Debug)]
pub(crate) struct Client {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    acks: Mutex<Vec<Ack>>,
    lost_session: AtomicBool,
    /// Connections on which a session was given or taken up.
    connections: AtomicUsize,
    ended: AtomicBool,
}

impl Client {
    /// Starts a client of the first of these servers, which goes to the next of them when it must.
    pub(crate) fn start(addresses: Vec<SocketAddr>) -> Client {
        let shared = Arc::new(Shared::default());
        let known = Arc::clone(&shared);
        let mut roaming_client = RoamingClient::new(addresses, 0, TIMEOUT_MS);
        roaming_client.patience = PATIENCE;
        let thread = std::thread::spawn(move || known.write(roaming_client));
        Client { shared, thread }
    }

    /// All its acknowledged writes, in their order.
    pub(crate) fn acks(&self) -> Vec<Ack> {
        self.shared.acks.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether its session has not survived.
    pub(crate) fn has_lost_session(&self) -> bool {
        self.shared.lost_session.load(Ordering::Relaxed)
    }

    /// How many connections it has had so far.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Closes its session.
    pub(crate) fn end(self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }
}

impl Shared {
    fn write(&self, mut roaming_client: RoamingClient) {
        while !self.ended.load(Ordering::Relaxed) {
            if !roaming_client.is_connected() && !self.connect(&mut roaming_client) {
                std::thread::sleep(REFUSED_PAUSE);
                continue;
            }
            let sent = Instant::now();
            // Without a reply the connection has ended, and the next one cannot wait.
            let Some(reply) = roaming_client.ask_one(&set_data(PATH, b"one of many")) else { continue };
            if reply.err == 0 {
                let ack = Ack { sent, acked: Instant::now(), epoch: reply.zxid >> 32 };
                self.acks.lock().unwrap_or_else(PoisonError::into_inner).push(ack);
            }
            std::thread::sleep(PAUSE);
        }
        roaming_client.ask_one(&close());
    }

    fn connect(&self, roaming_client: &mut RoamingClient) -> bool {
        let had_session = roaming_client.session() != 0;
        let connected = roaming_client.connect();
        if had_session && connected == Connected::New {
            self.lost_session.store(true, Ordering::Relaxed);
        }
        let is_connected = connected != Connected::Nowhere;
        self.connections.fetch_add(usize::from(is_connected), Ordering::Relaxed);
        is_connected
    }
}

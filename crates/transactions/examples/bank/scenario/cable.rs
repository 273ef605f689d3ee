//! The network between processes and the servers that they use, which can be cut and broken.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Bytes that are read at once.
const PIECE: usize = 16 * 1024;

/// Passes on what clients and servers send to each other.
pub(super) struct Cable {
    is_cut: watch::Sender<bool>,
    /// At what the cable breaks next.
    snare: Mutex<Option<Snare>>,
    /// How often it has broken.
    breaks: watch::Sender<u64>,
}

/// A request at which the cable breaks.
#[derive(Debug, Clone, Copy)]
struct Snare {
    /// What the request contains.
    word: &'static str,
    lost: Lost,
}

/// What does not arrive when the cable breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    /// The request: nothing is done.
    Request,
    /// The answer: the server has the request.
    Answer,
}

/// The way that pieces go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    ToServer,
    ToClient,
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Closed,
    Reset,
}

impl Cable {
    pub(super) fn new() -> Arc<Cable> {
        let (is_cut, breaks) = (watch::Sender::new(false), watch::Sender::new(0));
        Arc::new(Cable { is_cut, snare: Mutex::new(None), breaks })
    }

    /// The port at which a server is reached through the cable.
    pub(super) async fn to(self: &Arc<Self>, server: SocketAddr) -> u16 {
        let port = testing::free_port();
        let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("a port");
        let cable = Arc::clone(self);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let cable = Arc::clone(&cable);
                tokio::spawn(async move { cable.join(near, server).await });
            }
        });
        port
    }

    /// Holds everything back for this long. Then it arrives, late, as what TCP sends again does
    /// after a partition.
    pub(super) fn cut(self: &Arc<Self>, length: Duration) {
        self.is_cut.send_replace(true);
        let cable = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(length).await;
            cable.is_cut.send_replace(false);
        });
    }

    /// Waits for a request with this word, and resets all connections while it or its answer is on
    /// its way.
    pub(super) async fn break_at(&self, word: &'static str, lost: Lost) {
        let mut breaks = self.breaks.subscribe();
        *self.snare.lock().expect("no panic") = Some(Snare { word, lost });
        breaks.changed().await.expect("a cable");
    }

    /// Connects a client with its server; an end that goes takes the other with it.
    async fn join(&self, mut near: TcpStream, server: SocketAddr) {
        let mut breaks = self.breaks.subscribe();
        self.await_whole().await;
        let Ok(mut far) = TcpStream::connect(server).await else { return };
        let both = near.set_nodelay(true).and_then(|()| far.set_nodelay(true));
        both.expect("a socket takes the option");
        let end = {
            let ((near_in, near_out), (far_in, far_out)) = (near.split(), far.split());
            let is_snared = AtomicBool::new(false);
            tokio::select! {
                end = self.pass(near_in, far_out, Way::ToServer, &is_snared) => end,
                end = self.pass(far_in, near_out, Way::ToClient, &is_snared) => end,
                _ = breaks.changed() => End::Reset,
            }
        };
        if end == End::Reset {
            let reset = near.set_zero_linger().and_then(|()| far.set_zero_linger());
            reset.expect("a socket takes the option");
        }
    }

    /// Passes on what comes one way. `is_snared` says that the answer of this connection is lost.
    async fn pass(
        &self,
        mut from: ReadHalf<'_>,
        mut to: WriteHalf<'_>,
        way: Way,
        is_snared: &AtomicBool,
    ) -> End {
        let mut piece = vec![0; PIECE];
        let end = loop {
            let piece = match from.read(&mut piece).await {
                Ok(0) => break End::Closed,
                Ok(length) => &piece[..length],
                Err(_) => break End::Reset,
            };
            self.await_whole().await;
            match (way, self.snares(piece, way)) {
                (Way::ToServer, Some(Lost::Answer)) => is_snared.store(true, SeqCst),
                (Way::ToServer, Some(Lost::Request)) => return self.snap(),
                (Way::ToClient, _) if is_snared.load(SeqCst) => return self.snap(),
                (_, _) => {}
            }
            if to.write_all(piece).await.is_err() {
                break End::Reset;
            }
        };
        // Nor does the other side learn of the end any earlier.
        self.await_whole().await;
        end
    }

    /// What is lost because of a piece; the snare has done its work then.
    fn snares(&self, piece: &[u8], way: Way) -> Option<Lost> {
        let mut snare = self.snare.lock().expect("no panic");
        let word = snare.as_ref().filter(|_| way == Way::ToServer)?.word.as_bytes();
        piece.windows(word.len()).any(|part| part == word).then(|| snare.take())?.map(|snare| snare.lost)
    }

    /// Breaks all connections.
    fn snap(&self) -> End {
        self.breaks.send_modify(|breaks| *breaks += 1);
        End::Reset
    }

    async fn await_whole(&self) {
        let mut is_cut = self.is_cut.subscribe();
        // The sender is this cable's own.
        let _whole = is_cut.wait_for(|is_cut| !is_cut).await;
    }
}

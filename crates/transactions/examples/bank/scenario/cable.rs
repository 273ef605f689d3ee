//! The network between a teller and the servers, which can be cut.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Bytes that are read at once.
const PIECE: usize = 16 * 1024;

/// Passes on what a teller and the servers send to each other.
pub(super) struct Cable {
    is_cut: watch::Sender<bool>,
}

impl Cable {
    pub(super) fn new() -> Arc<Cable> {
        Arc::new(Cable { is_cut: watch::Sender::new(false) })
    }

    /// The port at which a server is reached through the cable.
    pub(super) async fn to(&self, server: SocketAddr) -> u16 {
        let port = testing::free_port();
        let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("a port");
        let is_cut = self.is_cut.subscribe();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(join(near, server, is_cut.clone()));
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
}

/// Connects a client with its server; an end that goes takes the other with it.
async fn join(near: TcpStream, server: SocketAddr, is_cut: watch::Receiver<bool>) {
    await_whole(&mut is_cut.clone()).await;
    let Ok(far) = TcpStream::connect(server).await else { return };
    let both = near.set_nodelay(true).and_then(|()| far.set_nodelay(true));
    both.expect("a socket takes the option");
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    tokio::select! {
        () = pass(near_in, far_out, is_cut.clone()) => {}
        () = pass(far_in, near_out, is_cut) => {}
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut is_cut: watch::Receiver<bool>) {
    let mut piece = vec![0; PIECE];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        await_whole(&mut is_cut).await;
        if to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
    // Nor does the other side learn of the end any earlier.
    await_whole(&mut is_cut).await;
}

async fn await_whole(is_cut: &mut watch::Receiver<bool>) {
    // The cable lives as long as the process.
    let _whole = is_cut.wait_for(|is_cut| !is_cut).await;
}

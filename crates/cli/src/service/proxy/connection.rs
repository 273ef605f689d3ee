//! One connection through the proxy.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use recipes::discovery::{Picked, Service};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::metrics::{Counters, InstanceCounters, Open};

/// Bytes that are read at a time, for each direction of a connection.
const BUFFER_BYTES: usize = 16 << 10;

/// How connections are forwarded.
pub(super) struct Forwarder {
    pub(super) service: Service,
    pub(super) counters: Arc<Counters>,
    pub(super) tries: u32,
    pub(super) connect_timeout: Duration,
    pub(super) avoid: Duration,
}

impl Forwarder {
    /// Forwards a connection until it is over.
    pub(super) async fn forward(&self, mut client: TcpStream, address: SocketAddr) {
        let Some((picked, mut instance)) = self.connect(address).await else {
            self.counters.unserved.fetch_add(1, Relaxed);
            return;
        };
        let counters = self.counters.of(&picked.instance().id);
        let _open = Open::new(&counters);
        // Only the delay of small messages depends on it.
        let _ = (client.set_nodelay(true), instance.set_nodelay(true));
        // Either side may have broken the connection; both are closed then.
        let _ = exchange(&mut client, &mut instance, &counters).await;
    }

    /// Connects to an instance. One that cannot be connected to is avoided, and another is chosen.
    async fn connect(&self, client: SocketAddr) -> Option<(Picked, TcpStream)> {
        let key = client.ip().to_canonical().to_string();
        for _ in 0..self.tries {
            let picked = self.service.pick(key.as_bytes())?;
            let connecting = TcpStream::connect(picked.instance().endpoint());
            if let Ok(Ok(stream)) = tokio::time::timeout(self.connect_timeout, connecting).await {
                return Some((picked, stream));
            }
            let id = &picked.instance().id;
            self.counters.of(id).failures.fetch_add(1, Relaxed);
            if !self.avoid.is_zero() {
                self.service.avoid(id, self.avoid);
            }
        }
        None
    }
}

/// Copies both directions until both have ended, or one is broken. The end of one direction is
/// passed on, and the other goes on.
async fn exchange(
    client: &mut TcpStream,
    instance: &mut TcpStream,
    counters: &InstanceCounters,
) -> io::Result<()> {
    let (client_in, client_out) = client.split();
    let (instance_in, instance_out) = instance.split();
    let to_instance = copy(client_in, instance_out, &counters.bytes_to_instance);
    let to_client = copy(instance_in, client_out, &counters.bytes_to_client);
    tokio::try_join!(to_instance, to_client)?;
    Ok(())
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    bytes: &AtomicU64,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..read]).await?;
        bytes.fetch_add(read as u64, Relaxed);
    }
}

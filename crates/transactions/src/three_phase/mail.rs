//! Sends and receives messages: those to one place in their order, or not at all.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::frame::Frame;

/// How old a message may become before it is thrown away, which the protocol expects; one that
/// comes later than the parties believe is possible would do harm.
const AGE_MAX: Duration = Duration::from_millis(500);
/// Messages that wait for one place. More are thrown away.
const WAITING_MAX: usize = 1_000;
/// Longest message, in bytes.
const FRAME_BYTES_MAX: u64 = 64 << 10;
/// The pause after the system had no connection to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

type Letter = (Instant, Vec<u8>);

/// Sends messages. Dropped, it sends no more.
#[derive(Debug, Default)]
pub(super) struct Post {
    places: Mutex<HashMap<SocketAddr, mpsc::Sender<Letter>>>,
}

impl Post {
    /// Sends a message, in the background.
    pub(super) fn send(&self, address: SocketAddr, frame: &Frame) {
        let mut line = serde_json::to_vec(frame).expect("texts and numbers are written");
        line.push(b'\n');
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let place = places.entry(address).or_insert_with(|| {
            let (sender, letters) = mpsc::channel(WAITING_MAX);
            tokio::spawn(deliver(address, letters));
            sender
        });
        // Lost, if too many wait.
        let _lost = place.try_send((Instant::now(), line));
    }
}

async fn deliver(address: SocketAddr, mut letters: mpsc::Receiver<Letter>) {
    let mut stream = None;
    while let Some((posted, line)) = letters.recv().await {
        let Some(left) = AGE_MAX.checked_sub(posted.elapsed()) else { continue };
        let written = tokio::time::timeout(left, write(&mut stream, address, &line)).await;
        if !matches!(written, Ok(Ok(()))) {
            stream = None;
        }
    }
}

async fn write(stream: &mut Option<TcpStream>, address: SocketAddr, line: &[u8]) -> io::Result<()> {
    let open = match stream.take() {
        // A party that has started again has closed it.
        Some(open) if !is_closed(&open) => open,
        _ => {
            let open = TcpStream::connect(address).await?;
            open.set_nodelay(true)?;
            open
        }
    };
    stream.insert(open).write_all(line).await
}

/// Whether the other side has closed a connection, by which it never sends anything.
fn is_closed(stream: &TcpStream) -> bool {
    match stream.try_read(&mut [0]) {
        Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        Ok(_) => true,
    }
}

/// Takes messages until nobody wants them any more.
pub(super) async fn receive(listener: TcpListener, inbox: mpsc::UnboundedSender<Frame>) {
    // Ends the connections with itself.
    let mut connections = tokio::task::JoinSet::new();
    while !inbox.is_closed() {
        match listener.accept().await {
            Ok((stream, _)) => drop(connections.spawn(read(stream, inbox.clone()))),
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn read(stream: TcpStream, inbox: mpsc::UnboundedSender<Frame>) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        let read = (&mut stream).take(FRAME_BYTES_MAX).read_until(b'\n', &mut line).await;
        if read.is_err() || line.last() != Some(&b'\n') {
            return;
        }
        let Ok(frame) = serde_json::from_slice(&line) else { return };
        if inbox.send(frame).is_err() {
            return;
        }
    }
}

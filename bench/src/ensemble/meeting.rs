//! How the members connect to each other, whichever starts first.

use super::peer::Peer;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// How long members wait for each other. Filling a log with zeros takes some members longer than
/// others.
const TIMEOUT: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_millis(20);

/// Retries `attempt` until it succeeds or the timeout expires.
fn retry<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        match attempt() {
            Err(_) if Instant::now() < deadline => std::thread::sleep(RETRY),
            result => return result,
        }
    }
}

/// Waits at `address` for the followers, members 2 to `members`, and returns them in that order.
pub(super) fn gather(address: SocketAddr, members: usize) -> io::Result<Vec<Peer>> {
    let failed = |error: io::Error| io::Error::other(format!("waiting for followers at {address}: {error}"));
    let listener = TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true)?;
    let mut followers: Vec<Option<Peer>> = (2..=members).map(|_| None).collect();
    while let Some(missing) = followers.iter().position(Option::is_none) {
        let (stream, _) = retry(|| listener.accept())
            .map_err(|_| io::Error::other(format!("member {} did not connect", missing + 2)))?;
        let number = read_number(&stream).map_err(failed)?;
        let slot = number.checked_sub(2).and_then(|index| followers.get_mut(index));
        match slot {
            Some(slot @ None) => *slot = Some(peer(format!("member {number}"), stream)?),
            _ => return Err(io::Error::other(format!("duplicate or unknown member {number}"))),
        }
    }
    Ok(followers.into_iter().flatten().collect())
}

fn read_number(mut stream: &TcpStream) -> io::Result<usize> {
    let mut number = [0; 4];
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.read_exact(&mut number)?;
    Ok(u32::from_be_bytes(number) as usize)
}

/// Connects to the leader at `address` as member `number`.
pub(super) fn join(address: SocketAddr, number: usize) -> io::Result<Peer> {
    let name = format!("the leader at {address}");
    let mut stream = retry(|| TcpStream::connect(address))
        .map_err(|error| io::Error::other(format!("{name} cannot be reached: {error}")))?;
    stream.write_all(&(number as u32).to_be_bytes())?;
    peer(name, stream)
}

fn peer(name: String, stream: TcpStream) -> io::Result<Peer> {
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    Ok(Peer::new(name, stream))
}

//! Host names to addresses. The system's lookup blocks, for seconds when a name server does not
//! answer, so each lookup runs on a short-lived thread of its own.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use mio::Waker;

/// The result of a lookup.
#[derive(Debug)]
pub(super) struct Resolved {
    /// The link it is for.
    pub(super) link: u64,
    /// All addresses of all its hosts, in order; the last error if there are none.
    pub(super) addresses: io::Result<Vec<SocketAddr>>,
}

/// Starts lookups and collects their results.
#[derive(Debug)]
pub(super) struct Resolver {
    waker: Arc<Waker>,
    sender: Sender<Resolved>,
    receiver: Receiver<Resolved>,
}

impl Resolver {
    /// `waker` wakes the thread that should call [`collect`](Self::collect).
    pub(super) fn new(waker: Arc<Waker>) -> Resolver {
        let (sender, receiver) = channel();
        Resolver { waker, sender, receiver }
    }

    /// Looks up the hosts; the result comes later, for `link`.
    pub(super) fn start(&self, link: u64, hosts: Vec<(String, u16)>) -> io::Result<()> {
        let (sender, waker) = (self.sender.clone(), Arc::clone(&self.waker));
        let run = move || {
            let addresses = lookup(&hosts);
            // The receiver is gone if the server has stopped meanwhile.
            if sender.send(Resolved { link, addresses }).is_ok() {
                let _ = waker.wake();
            }
        };
        std::thread::Builder::new().name("resolve".to_owned()).spawn(run).map(drop)
    }

    /// Results since the last call.
    pub(super) fn collect(&self) -> Vec<Resolved> {
        self.receiver.try_iter().collect()
    }
}

/// The addresses of hosts given as numbers; `None` if one is a name.
pub(super) fn numbers(hosts: &[(String, u16)]) -> Option<Vec<SocketAddr>> {
    let address = |(host, port): &(String, u16)| Some(SocketAddr::new(host.parse::<IpAddr>().ok()?, *port));
    hosts.iter().map(address).collect()
}

fn lookup(hosts: &[(String, u16)]) -> io::Result<Vec<SocketAddr>> {
    let mut all = Vec::new();
    let mut error = None;
    for (host, port) in hosts {
        match (host.as_str(), *port).to_socket_addrs() {
            Ok(found) => all.extend(found.filter(|address| !all.contains(address)).collect::<Vec<_>>()),
            Err(e) => error = Some(io::Error::new(e.kind(), format!("{host}: {e}"))),
        }
    }
    match error {
        Some(error) if all.is_empty() => Err(error),
        _ => Ok(all),
    }
}

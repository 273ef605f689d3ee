//! The floor of an ensemble: what servers that replicate every write must at least do together.
//!
//! The first member leads, and the others connect to it. Each member answers reads by itself. A follower forwards the
//! writes that wait to the leader in one message. The leader puts whatever waits, its own clients' and forwarded, into one
//! batch; the batch goes to all followers, and then to its own log, so that all flush at the same time. A follower's next
//! message says what it has flushed. A batch that a majority has flushed is committed: the leader answers its own clients,
//! and says so to the followers with the next batch, or alone if there is none. A follower answers its clients when their
//! batch is committed and in its own log. The next batch does not wait until one is committed.
//!
//! There are no elections and there is no recovery: when one member ends, the others end too.
//!
//! A log takes one piece at a time, and what comes meanwhile makes the next: the time of a flush is what fills a batch or
//! a forward. There are two floors. When the poll loop flushes, nothing is handed to another thread: no way takes less
//! processor time. But reads wait for the disk too, and a server with more threads answers them sooner. When a thread of
//! its own flushes, reads among writes are answered at once, at the price of two hand-offs.

mod clients;
mod follower;
mod journal;
mod leader;
mod meeting;
mod peer;

use crate::epoll::Flush;
use crate::log::Log;
use clients::Clients;
use follower::Follower;
use journal::Journal;
use leader::Leader;
use mio::{Events, Poll, Token, Waker};
use peer::Peer;
use std::io;
use std::net::{SocketAddr, TcpListener};

const LISTENER: Token = Token(0);
const WAKER: Token = Token(1);
/// Peers come first, and clients behind them.
const FIRST_PEER: usize = 2;
const EVENTS_PER_WAKE: usize = 256;

/// What a member does apart from serving its clients.
trait Role {
    /// The connections to other members.
    fn peers(&mut self) -> &mut [Peer];

    /// A number for the writes that clients send in this wake-up, by which [`Clients::release`] knows them again.
    fn mark(&self) -> u64;

    /// Takes what a peer has sent. Its connection has `ended` if there is nothing more to come.
    fn hear(&mut self, peer: usize, ended: bool, clients: &mut Clients) -> io::Result<()>;

    /// Sends, flushes and answers what has come up in this wake-up.
    fn settle(&mut self, clients: &mut Clients) -> io::Result<()>;
}

/// Serves clients of `listener` as member `number` of `members`, counted from 1, until the process ends. Member 1 leads and
/// listens for the others at its address, for ten seconds at most; so long they try to reach it.
///
/// # Errors
/// When a member does not come or its connection ends, a socket operation other than on a client's connection fails, or
/// the log cannot be flushed.
pub fn serve(
    listener: TcpListener,
    members: &[SocketAddr],
    number: usize,
    data_bytes: usize,
    log: Log,
    flush: Flush,
) -> io::Result<()> {
    if members.len() < 2 || !(1..=members.len()).contains(&number) {
        return Err(io::Error::other(format!("there is no member {number} of {}", members.len())));
    }
    let clients = |poll: &Poll, peers: usize| {
        Clients::new(listener, poll.registry().try_clone()?, LISTENER, FIRST_PEER + peers, data_bytes)
    };
    let poll = Poll::new()?;
    let journal = Journal::new(log, flush, Waker::new(poll.registry(), WAKER)?);
    if number == 1 {
        let followers = meeting::gather(members[0], members.len())?;
        let clients = clients(&poll, followers.len())?;
        run(poll, Leader::new(followers, journal), clients)
    } else {
        let leader = meeting::join(members[0], number)?;
        let clients = clients(&poll, 1)?;
        run(poll, Follower::new(leader, journal), clients)
    }
}

fn run(mut poll: Poll, mut role: impl Role, mut clients: Clients) -> io::Result<()> {
    for (index, peer) in role.peers().iter_mut().enumerate() {
        peer.register(poll.registry(), Token(FIRST_PEER + index))?;
    }
    let first_client = FIRST_PEER + role.peers().len();
    let mut events = Events::with_capacity(EVENTS_PER_WAKE);
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        for event in &events {
            match event.token() {
                LISTENER => clients.accept()?,
                // A flush has ended, which the role sees below.
                WAKER => {}
                Token(token) if token < first_client => {
                    role.hear(token - FIRST_PEER, event.is_read_closed(), &mut clients)?;
                }
                Token(token) => clients.ready(token - first_client, role.mark()),
            }
        }
        role.settle(&mut clients)?;
    }
}

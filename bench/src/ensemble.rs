//! The lower bound of an ensemble: the least that servers replicating every write must do together.
//!
//! The first member is the leader, and the others connect to it. Each member answers reads itself.
//! A follower forwards all waiting writes to the leader in one message. The leader puts all waiting
//! writes, its own clients' and forwarded ones, into one batch, which it sends to all followers
//! before it writes its own log, so that all flush at the same time. A follower's next message
//! acknowledges what it has flushed. A batch flushed by a majority is committed: the leader answers
//! its own clients, and announces the commit to the followers with the next batch, or separately if
//! there is none. A follower answers its clients when their batch is committed and in its own log.
//! Batches are pipelined: the next one does not wait for a commit.
//!
//! There are no elections and no recovery: when one member stops, the others stop too.
//!
//! A log flushes one piece at a time, and everything that arrives meanwhile becomes the next piece,
//! so the duration of a flush determines the size of a batch or a forward. There are two variants.
//! When the poll loop flushes, no work passes to another thread, which uses the least processor
//! time, but reads wait for the disk too, and a server with more threads answers them sooner. When
//! a dedicated thread flushes, reads among writes are answered at once, at the cost of two
//! hand-offs.

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
/// Peers have the first tokens, clients the ones after them.
const FIRST_PEER: usize = 2;
const EVENTS_PER_WAKE: usize = 256;

/// What a member does besides serving its clients.
trait Role {
    /// The connections to other members.
    fn peers(&mut self) -> &mut [Peer];

    /// A number for the writes that clients send in this wake-up, by which [`Clients::release`]
    /// identifies them.
    fn mark(&self) -> u64;

    /// Processes what a peer has sent. `ended` means that its connection is closed after that.
    fn receive(&mut self, peer: usize, ended: bool, clients: &mut Clients) -> io::Result<()>;

    /// Sends, flushes and answers what accumulated in this wake-up.
    fn settle(&mut self, clients: &mut Clients) -> io::Result<()>;
}

/// Serves clients of `listener` as member `number` of `members`, counted from 1, until the process
/// ends. Member 1 is the leader and waits at its address for the others, which retry, for at most
/// ten seconds.
///
/// # Errors
/// When a member does not connect or its connection ends, a socket operation other than on a
/// client's connection fails, or the log cannot be flushed.
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
                // A flush has ended; `settle` handles it below.
                WAKER => {}
                Token(token) if token < first_client => {
                    role.receive(token - FIRST_PEER, event.is_read_closed(), &mut clients)?;
                }
                Token(token) => clients.ready(token - first_client, role.mark()),
            }
        }
        role.settle(&mut clients)?;
    }
}

//! The ways between the members of an ensemble, and how they fail.
//!
//! Each member has a door: a proxy through which all others dial it. Who dials is in the first
//! bytes of a connection (`from`, in the greeting of the server's `peers`), so there is a way of
//! its own from each member to every other. What member 1 sends to member 2 goes the way (1, 2),
//! and what 2 sends to 1 the way (2, 1), since each server dials the others and sends on that
//! connection only. So one direction alone can fail. One address for all is what the members can
//! commit, when they are changed by `reconfig`. The proxies are threads of the test's process.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use crate::generate::Random;
use crate::process::free_port;

/// The state of one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Bytes pass.
    Open,
    /// Connections are closed, and new ones too: both ends notice.
    Cut,
    /// Bytes vanish and connections stay open. When this ends they are closed, for no stream goes
    /// on behind a gap.
    Hole,
    /// Bytes are held back and connections stay open, as when a network loses packets. When this
    /// ends everything held back arrives: what it says may have been overtaken long ago.
    Stall,
    /// Bytes pass this much later.
    Slow(Duration),
    /// A network that loses packets, as TCP makes programs see it: now and then bytes wait for a
    /// retransmission, longer if that is lost too, and rarely the connection ends. Bytes never come
    /// out of order nor twice, for TCP sees to that.
    Lossy,
}

/// One of this many reads waits for a retransmission: [`RETRANSMISSION`] is Linux's shortest wait.
const LOSS_ONE_IN: u64 = 25;
const RETRANSMISSION: Duration = Duration::from_millis(200);

/// One of this many reads finds its connection closed.
const BREAK_ONE_IN: u64 = 1_000;

/// What becomes of the bytes at hand.
enum Fate {
    Pass,
    Vanish,
    Break,
}

/// A greeting begins with eight bytes of magic and two of version; then comes the number of the
/// member that speaks, or what of it fits into a byte.
const SENDER_AT: usize = 10;

/// All ways between some members. Dropping it closes them.
#[derive(Debug)]
pub struct Links {
    doors: BTreeMap<u8, Door>,
    ways: BTreeMap<(u8, u8), Arc<Way>>,
}

impl Links {
    /// Opens a way from each member to every other; `peers` says where each member listens.
    pub fn new(peers: &BTreeMap<u8, SocketAddr>) -> Links {
        let pairs =
            peers.keys().flat_map(|from| peers.iter().map(move |(to, target)| ((*from, *to), *target)));
        let ways: BTreeMap<(u8, u8), Arc<Way>> = pairs
            .filter(|((from, to), _)| from != to)
            .map(|(pair, target)| (pair, Arc::new(Way::new(target, pair))))
            .collect();
        let into = |member: u8| {
            let ways = ways.iter().filter(|((_, to), _)| *to == member);
            ways.map(|((from, _), way)| (*from, Arc::clone(way))).collect()
        };
        let doors = peers.keys().map(|member| (*member, Door::open(into(*member), sender))).collect();
        Links { doors, ways }
    }

    /// Where the others have to dial to reach `member`.
    pub fn address(&self, member: u8) -> SocketAddr {
        self.doors[&member].address
    }

    /// Changes the way from one member to another.
    pub fn set(&self, from: u8, to: u8, link: Link) {
        self.ways[&(from, to)].set(link);
    }

    /// Changes both directions.
    pub fn set_between(&self, one: u8, other: u8, link: Link) {
        self.set(one, other, link);
        self.set(other, one, link);
    }

    /// Changes every way to and from a member.
    pub fn set_around(&self, member: u8, link: Link) {
        self.set_incoming(member, link);
        self.set_outgoing(member, link);
    }

    /// Changes the ways to a member: it receives nothing.
    pub fn set_incoming(&self, member: u8, link: Link) {
        self.set_where(link, |_, to| to == member);
    }

    /// Changes the ways from a member: it is not heard.
    pub fn set_outgoing(&self, member: u8, link: Link) {
        self.set_where(link, |from, _| from == member);
    }

    /// Changes all ways.
    pub fn set_all(&self, link: Link) {
        self.set_where(link, |_, _| true);
    }

    /// Everything passes again.
    pub fn heal(&self) {
        self.set_all(Link::Open);
    }

    fn set_where(&self, link: Link, wanted: impl Fn(u8, u8) -> bool) {
        self.ways.iter().filter(|((from, to), _)| wanted(*from, *to)).for_each(|(_, way)| way.set(link));
    }
}

/// A way for clients to one server, which fails as the ways between members do. Its server has an
/// address of its own besides.
#[derive(Debug)]
pub struct Entrance {
    door: Door,
}

impl Entrance {
    /// Opens a way to a server.
    pub fn to(target: SocketAddr) -> Entrance {
        let way = Arc::new(Way::new(target, (0, 0)));
        Entrance { door: Door::open(BTreeMap::from([(0, way)]), |_| Some(0)) }
    }

    /// Where its clients connect.
    pub fn address(&self) -> SocketAddr {
        self.door.address
    }

    /// Changes the way.
    pub fn set(&self, link: Link) {
        self.door.ways.values().for_each(|way| way.set(link));
    }
}

/// Where a member is dialled.
#[derive(Debug)]
struct Door {
    address: SocketAddr,
    /// By the numbers of those that dial.
    ways: Arc<BTreeMap<u8, Arc<Way>>>,
    ended: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Way {
    target: SocketAddr,
    now: Mutex<Now>,
    /// Told when `now.link` changes.
    changed: Condvar,
}

#[derive(Debug)]
struct Now {
    link: Link,
    /// Both ends of every connection, by a number of its own.
    open: BTreeMap<u64, [TcpStream; 2]>,
    opened: u64,
    random: Random,
}

impl Door {
    /// `sender` finds out who dials, by a number of `ways`.
    fn open(ways: BTreeMap<u8, Arc<Way>>, sender: fn(&TcpStream) -> Option<u8>) -> Door {
        let listener = (0..20)
            .find_map(|_| TcpListener::bind(("127.0.0.1", free_port())).ok())
            .expect("a port for a proxy");
        let address = listener.local_addr().expect("the proxy's own address");
        let (ways, ended) = (Arc::new(ways), Arc::new(AtomicBool::new(false)));
        let (behind, closing) = (Arc::clone(&ways), Arc::clone(&ended));
        std::thread::spawn(move || {
            while let Ok((near, _)) = listener.accept() {
                if closing.load(Ordering::SeqCst) {
                    return;
                }
                let ways = Arc::clone(&behind);
                std::thread::spawn(move || {
                    // A failure closes the connection, which is what the absence of the other end
                    // means.
                    let way = sender(&near).and_then(|sender| ways.get(&sender));
                    way.map(|way| way.join(near))
                });
            }
        });
        Door { address, ways, ended }
    }
}

/// The member that dials, by its greeting.
fn sender(near: &TcpStream) -> Option<u8> {
    let mut greeting = [0; SENDER_AT + 1];
    loop {
        match near.peek(&mut greeting) {
            Ok(0) | Err(_) => return None,
            Ok(length) if length == greeting.len() => return Some(greeting[SENDER_AT]),
            Ok(_) => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        self.ways.values().for_each(|way| way.set(Link::Cut));
        // Wakes the accepting thread, which then ends.
        let _ = TcpStream::connect(self.address);
    }
}

impl Way {
    fn new(target: SocketAddr, (from, to): (u8, u8)) -> Way {
        let seed = u64::from(from) << 8 | u64::from(to);
        let now = Now { link: Link::Open, open: BTreeMap::new(), opened: 0, random: Random::new(seed) };
        Way { target, now: Mutex::new(now), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock().expect("no proxy thread panics")
    }

    fn set(&self, link: Link) {
        let mut now = self.lock();
        let gap = now.link == Link::Hole && link != Link::Hole;
        if gap || link == Link::Cut {
            let broken = std::mem::take(&mut now.open);
            broken.values().flatten().for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
        }
        now.link = link;
        self.changed.notify_all();
    }

    /// Connects the other end and carries bytes both ways.
    fn join(self: &Arc<Self>, near: TcpStream) -> std::io::Result<()> {
        if self.lock().link == Link::Cut {
            return Ok(());
        }
        let far = TcpStream::connect_timeout(&self.target, Duration::from_secs(1))?;
        near.set_nodelay(true)?;
        far.set_nodelay(true)?;
        let streams = [near.try_clone()?, far.try_clone()?];
        let [far_again, near_again] = [far.try_clone()?, near.try_clone()?];
        let number = {
            let mut now = self.lock();
            if now.link == Link::Cut {
                return Ok(());
            }
            now.opened += 1;
            let number = now.opened;
            now.open.insert(number, streams);
            number
        };
        let (back, forth) = (Arc::clone(self), Arc::clone(self));
        std::thread::spawn(move || back.carry(number, far_again, near_again));
        std::thread::spawn(move || forth.carry(number, near, far));
        Ok(())
    }

    fn carry(&self, number: u64, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            match self.fate() {
                Fate::Pass if to.write_all(&buffer[..length]).is_ok() => {}
                Fate::Vanish => {}
                Fate::Pass | Fate::Break => break,
            }
        }
        self.close(number, &from, &to);
    }

    /// Waits as long as the way demands; answers what becomes of the bytes at hand.
    fn fate(&self) -> Fate {
        let mut now = self.lock();
        while now.link == Link::Stall {
            now = self.changed.wait(now).expect("no proxy thread panics");
        }
        match now.link {
            Link::Hole => Fate::Vanish,
            Link::Slow(delay) => {
                drop(now);
                std::thread::sleep(delay);
                Fate::Pass
            }
            Link::Lossy => {
                let breaks = now.random.below(BREAK_ONE_IN) == 0;
                let mut wait = Duration::ZERO;
                while now.random.below(LOSS_ONE_IN) == 0 {
                    wait = RETRANSMISSION.max(2 * wait);
                }
                drop(now);
                std::thread::sleep(wait);
                if breaks { Fate::Break } else { Fate::Pass }
            }
            _ => Fate::Pass,
        }
    }

    /// One side has ended. The other learns of it, unless nothing gets through.
    fn close(&self, number: u64, from: &TcpStream, to: &TcpStream) {
        let mut now = self.lock();
        while matches!(now.link, Link::Stall | Link::Hole) {
            now = self.changed.wait(now).expect("no proxy thread panics");
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
        now.open.remove(&number);
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    /// The begin of what member 1 says.
    const GREETING: [u8; SENDER_AT + 1] = *b"ostlpeer\x00\x01\x01";

    /// A pair of members, of which 2 listens; answers a connection of member 1 and the other end of
    /// it.
    fn pair() -> (Links, TcpListener, TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let nobody = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let links = Links::new(&BTreeMap::from([(1, nobody), (2, listener.local_addr().unwrap())]));
        let mut near = TcpStream::connect(links.address(2)).unwrap();
        near.write_all(&GREETING).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        let mut greeting = GREETING;
        far.read_exact(&mut greeting).unwrap();
        assert_eq!(greeting, GREETING, "it passes as it is");
        for stream in [&near, &far] {
            stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        }
        (links, listener, near, far)
    }

    fn heard(stream: &mut TcpStream) -> Option<usize> {
        stream.read(&mut [0; 16]).ok()
    }

    #[test]
    fn bytes_pass_until_the_way_is_cut() {
        let (links, _listener, mut near, mut far) = pair();
        near.write_all(b"one").unwrap();
        assert_eq!(heard(&mut far), Some(3));
        links.set(1, 2, Link::Cut);
        assert_eq!((heard(&mut far), heard(&mut near)), (Some(0), Some(0)), "both ends are told");
        let mut again = TcpStream::connect(links.address(2)).unwrap();
        again.write_all(&GREETING).unwrap();
        let closed = again.read(&mut [0; 16]).map_err(|error| error.kind());
        // Which of the two depends on whether the greeting came before the end.
        assert!(matches!(closed, Ok(0) | Err(ErrorKind::ConnectionReset)), "{closed:?}");
    }

    #[test]
    fn a_hole_swallows_and_a_stall_gives_back() {
        let (links, _listener, mut near, mut far) = pair();
        links.set(1, 2, Link::Stall);
        near.write_all(b"late").unwrap();
        assert_eq!(heard(&mut far), None);
        links.heal();
        assert_eq!(heard(&mut far), Some(4));
        links.set_around(2, Link::Hole);
        near.write_all(b"gone").unwrap();
        assert_eq!(heard(&mut far), None, "the connection is open, and silent");
        links.heal();
        assert_eq!(heard(&mut far), Some(0), "nothing comes behind a gap");
    }

    #[test]
    fn a_lossy_way_is_late_or_ends_and_alters_nothing() {
        let (links, _listener, mut near, mut far) = pair();
        far.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        links.set_all(Link::Lossy);
        let sent: Vec<u8> = (0..=255).collect();
        for byte in sent.chunks(1) {
            // The far end may have been told that the connection has ended.
            let _ = near.write_all(byte);
        }
        let _ = near.shutdown(Shutdown::Write);
        let mut came = Vec::new();
        let _ = far.read_to_end(&mut came);
        assert_eq!(came, sent[..came.len()], "in order, and nothing twice");
    }
}

//! A client that waits for changes, goes from member to member, and must be told of each.
//!
//! It sets watches by reading. From then on it may see a newer state only after the event that
//! tells of it, whichever member it is at; one watch brings one event, and none if nothing has
//! changed. After a connection broke it sets what it waits for again, with the zxid it has seen
//! last, as every client of ZooKeeper does.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::generate::Random;
use crate::jute::Reader;
use crate::load::{REGISTERS, Shared, TIMEOUT_MS};
use crate::request::{Request, op};
use crate::roaming_client::{Connected, RoamingClient};
use crate::session::Reply;

/// Between two requests.
const PAUSE: Duration = Duration::from_millis(3);

/// A parent whose children come and go.
const PARENT: &str = "/ephemerals";

const DATA_CHANGED: i32 = 3;
const CHILDREN_CHANGED: i32 = 4;

/// One client that watches.
pub(crate) struct Watcher {
    roaming_client: RoamingClient,
    random: Random,
    /// What it waits for: the path, and the version it has seen.
    waits: BTreeMap<String, i32>,
    heard: u64,
}

impl Watcher {
    pub(crate) fn new(addresses: Vec<SocketAddr>, number: usize, seed: u64) -> Watcher {
        Watcher {
            roaming_client: RoamingClient::new(addresses, number, TIMEOUT_MS),
            random: Random::new(seed.wrapping_add(number as u64)),
            waits: BTreeMap::new(),
            heard: 0,
        }
    }

    /// Watches until the work has ended; returns the number of its events.
    pub(crate) fn run(mut self, shared: &Shared) -> u64 {
        while !shared.ended.load(Ordering::Relaxed) {
            if !self.roaming_client.is_connected() && !self.connect() {
                std::thread::sleep(Duration::from_millis(20));
                continue;
            }
            let generation = shared.generation.load(Ordering::Relaxed);
            match self.random.below(100) {
                0 => self.roaming_client.leave(),
                1..=30 => self.look(PARENT),
                number => self.look(&format!("/registers/{generation}-{}", number % REGISTERS)),
            }
            std::thread::sleep(PAUSE);
        }
        self.end();
        self.heard
    }

    fn connect(&mut self) -> bool {
        match self.roaming_client.connect() {
            Connected::Nowhere => return false,
            // What a session waited for ends with it.
            Connected::New => self.waits.clear(),
            Connected::Same => self.set_again(),
        }
        true
    }

    fn set_again(&mut self) {
        let (parents, registers) = self.waits.keys().cloned().partition(|path| path == PARENT);
        let lists = vec![registers, Vec::new(), parents];
        let zxid = self.roaming_client.last_zxid();
        if let Some(reply) =
            self.roaming_client.ask_one(&Request::SetWatches { op: op::SET_WATCHES, zxid, lists })
        {
            assert_eq!(reply.err, 0, "watches are set again");
        }
        self.hear();
    }

    /// Reads something, and waits for its next change unless it does already.
    fn look(&mut self, path: &str) {
        let watch = !self.waits.contains_key(path);
        let op = if path == PARENT { op::GET_CHILDREN2 } else { op::GET_DATA };
        let reply = self.roaming_client.ask_one(&Request::Read { op, path: path.to_owned(), watch });
        // Events came before the reply, or they would not have been read.
        self.hear();
        let Some(version) = reply.filter(|reply| reply.err == 0).map(|reply| version_of(&reply, path)) else {
            return;
        };
        match self.waits.get(path) {
            Some(seen) => assert_eq!(version, *seen, "watch order: {path} was read before the event came"),
            None if watch => drop(self.waits.insert(path.to_owned(), version)),
            // The event came ahead of this reply.
            None => {}
        }
    }

    fn hear(&mut self) {
        for (kind, path) in std::mem::take(&mut self.roaming_client.events) {
            let expected = if path == PARENT { CHILDREN_CHANGED } else { DATA_CHANGED };
            assert_eq!(kind, expected, "the event of {path}");
            assert!(self.waits.remove(&path).is_some(), "one watch, one event: {path} has another");
            self.heard += 1;
        }
    }

    /// When nothing changes any more, whatever did change was told.
    fn end(&mut self) {
        while !self.waits.is_empty() {
            if !self.roaming_client.is_connected() && !self.connect() {
                std::thread::sleep(Duration::from_millis(20));
                continue;
            }
            self.roaming_client.ask_one(&Request::Path { op: op::SYNC, path: "/".to_owned() });
            let paths: Vec<String> = self.waits.keys().cloned().collect();
            paths.iter().for_each(|path| self.look(path));
            if self.roaming_client.is_connected() {
                return;
            }
        }
    }
}

/// How often something was changed, in the reply to a read.
fn version_of(reply: &Reply, path: &str) -> i32 {
    let mut reader = Reader::new(&reply.body);
    if path == PARENT {
        let names = reader.int().expect("a count");
        assert!((0..names).all(|_| reader.buffer().is_some()), "the names of {path}");
    } else {
        reader.buffer().expect("data");
    }
    reader.take(4 * 8).expect("zxids and times");
    let data = reader.int().expect("a version");
    if path == PARENT { reader.int().expect("a version of the children") } else { data }
}

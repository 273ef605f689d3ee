//! Clients that work while faults happen, and record their answers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::generate::Random;
use crate::history::{Act, Answer, Call, State};
use crate::jute::Reader;
use crate::request::{Request, op};
use crate::roaming_client::{Connected, RoamingClient};
use crate::session::{Reply, Session, create, get_data, set_data};
use crate::watcher::Watcher;

/// Where the clients write. The folders are made by [`prepare`].
pub const FOLDERS: [&str; 5] = ["/registers", "/kept", "/own", "/sequential", "/ephemerals"];

/// Longer than any fault lasts: sessions that are used must outlive them all.
pub const TIMEOUT_MS: i32 = 12_000;

/// Registers in use at a time. Few, so that clients meet.
pub(crate) const REGISTERS: u64 = 3;

/// Clients that only watch.
const WATCHERS: usize = 2;

/// Requests sent together.
const BATCH: u64 = 4;

/// Between two requests of a client. Faults are tested, not speed.
const PAUSE: Duration = Duration::from_millis(5);

/// Between two requests of a client that only keeps its session.
const REST: Duration = Duration::from_millis(500);

const EPHEMERAL: i32 = 1;
const SEQUENTIAL: i32 = 2;
const OK: i32 = 0;
const BAD_VERSION: i32 = -103;
const NODE_EXISTS: i32 = -110;

/// What all clients share.
#[derive(Debug)]
pub struct Shared {
    addresses: Vec<SocketAddr>,
    /// When the test's clock began.
    pub epoch: Instant,
    /// Which registers are in use. New ones now and then keep their histories short enough to be
    /// judged.
    pub generation: AtomicU64,
    pub(crate) ended: AtomicBool,
    /// Answers each client had.
    answered: Vec<AtomicU64>,
    /// Acknowledged writes of all clients.
    written: AtomicU64,
}

/// The outcome of an ephemeral.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ephemeral {
    /// The session lives.
    Held,
    /// The session was closed, or forgotten long enough ago, or had expired before.
    Gone,
}

/// What one client did, and its answers.
#[derive(Debug, Default)]
pub struct Evidence {
    /// Calls on registers.
    pub calls: Vec<Call>,
    /// Znodes whose creation was acknowledged, with their data.
    pub created: BTreeMap<String, String>,
    /// Znodes whose deletion was asked for, and whether that was acknowledged.
    pub deleted: BTreeMap<String, bool>,
    /// Names given to sequential znodes, by their data.
    pub named: BTreeMap<String, String>,
    /// The last number set in the client's own znode that was acknowledged, and the last that was
    /// sent.
    pub own: (u64, u64),
    /// Ephemerals whose creation was acknowledged, with the sessions.
    pub ephemerals: BTreeMap<String, (i64, Ephemeral)>,
    /// The zxids of all writes.
    pub written: Vec<i64>,
    /// Sessions that were lost though their client did not give them up.
    pub expired: u64,
}

/// Makes the folders.
pub fn prepare(address: SocketAddr) {
    let mut session = Session::open(address, TIMEOUT_MS).expect("a session");
    for folder in FOLDERS {
        session.must(&create(folder, b"", 0));
    }
    session.must(&Request::Raw { op: op::CLOSE_SESSION, body: Vec::new() });
}

/// Clients at work.
#[derive(Debug)]
pub struct Load {
    /// State shared with the thread that watches them.
    pub shared: Arc<Shared>,
    clients: Vec<JoinHandle<(Evidence, RoamingClient)>>,
    watchers: Vec<JoinHandle<u64>>,
}

impl Load {
    /// Starts `count` clients, spread over the members, and some that watch what they do.
    pub fn start(addresses: Vec<SocketAddr>, count: usize, seed: u64) -> Load {
        let answered = (0..count).map(|_| AtomicU64::new(0)).collect();
        let (generation, ended) = (AtomicU64::new(0), AtomicBool::new(false));
        let written = AtomicU64::new(0);
        let shared =
            Arc::new(Shared { addresses, epoch: Instant::now(), generation, ended, answered, written });
        let clients = (0..count).map(|number| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || Client::new(number, shared, seed).run())
        });
        let clients = clients.collect();
        let watchers = (0..WATCHERS).map(|number| {
            let shared = Arc::clone(&shared);
            let watcher = Watcher::new(shared.addresses.clone(), number, seed);
            std::thread::spawn(move || watcher.run(&shared))
        });
        let watchers = watchers.collect();
        Load { shared, clients, watchers }
    }

    /// Whether a client has given up because a guarantee was broken; [`Load::end`] then says which.
    pub fn has_failed(&self) -> bool {
        self.clients.iter().any(JoinHandle::is_finished) || self.watchers.iter().any(JoinHandle::is_finished)
    }

    /// Answers each client had so far.
    pub fn answered(&self) -> Vec<u64> {
        self.shared.answered.iter().map(|count| count.load(Ordering::Relaxed)).collect()
    }

    /// Writes acknowledged so far.
    pub fn written(&self) -> u64 {
        self.shared.written.load(Ordering::Relaxed)
    }

    /// Ends the work and answers what the clients know, and what keeps their sessions alive.
    pub fn end(self) -> (Vec<Evidence>, Rest) {
        self.shared.ended.store(true, Ordering::Relaxed);
        let join =
            |client: JoinHandle<_>| client.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let (evidence, mut clients): (Vec<Evidence>, Vec<RoamingClient>) =
            self.clients.into_iter().map(join).unzip();
        for watcher in self.watchers {
            let heard = watcher.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            assert!(heard > 0, "a watcher has heard of nothing");
        }
        let ended = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&ended);
        let keeper = std::thread::spawn(move || {
            while !seen.load(Ordering::Relaxed) {
                clients.iter_mut().for_each(keep_alive);
                std::thread::sleep(REST);
            }
        });
        (evidence, Rest { ended, keeper: Some(keeper) })
    }
}

/// Clients that do nothing but to keep their sessions. Dropping it lets them go.
#[derive(Debug)]
pub struct Rest {
    ended: Arc<AtomicBool>,
    keeper: Option<JoinHandle<()>>,
}

impl Drop for Rest {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let kept = self.keeper.take().is_none_or(|keeper| keeper.join().is_ok());
        assert!(kept || std::thread::panicking(), "a session was lost while its client rested");
    }
}

fn keep_alive(client: &mut RoamingClient) {
    if client.is_connected() || client.session() == 0 {
        client.ask_one(&get_data("/"));
    } else {
        assert_ne!(client.connect(), Connected::New, "a session was lost while its client rested");
    }
}

struct Client {
    number: usize,
    shared: Arc<Shared>,
    random: Random,
    roaming_client: RoamingClient,
    evidence: Evidence,
    count: u64,
    /// The last state known of each register.
    known: BTreeMap<String, State>,
    ephemeral: Option<String>,
}

impl Client {
    fn new(number: usize, shared: Arc<Shared>, seed: u64) -> Client {
        let roaming_client = RoamingClient::new(shared.addresses.clone(), number, TIMEOUT_MS);
        Client {
            number,
            shared,
            random: Random::new(seed.wrapping_add(number as u64)),
            roaming_client,
            evidence: Evidence::default(),
            count: 0,
            known: BTreeMap::new(),
            ephemeral: None,
        }
    }

    fn run(mut self) -> (Evidence, RoamingClient) {
        while !self.shared.ended.load(Ordering::Relaxed) {
            if !self.roaming_client.is_connected() && !self.connect() {
                std::thread::sleep(Duration::from_millis(20));
                continue;
            }
            self.work();
            std::thread::sleep(PAUSE);
        }
        self.evidence.written = std::mem::take(&mut self.roaming_client.written);
        (self.evidence, self.roaming_client)
    }

    fn connect(&mut self) -> bool {
        match self.roaming_client.connect() {
            Connected::Nowhere => return false,
            Connected::Same => {}
            Connected::New => {
                if self.ephemeral.is_some() {
                    self.evidence.expired += 1;
                }
                self.drop_ephemeral();
                self.begin_session();
            }
        }
        true
    }

    /// A session begins with an ephemeral that represents it.
    fn begin_session(&mut self) {
        let path = format!("/ephemerals/{}", self.unique_name('-'));
        let reply = self.ask(&create(&path, b"", EPHEMERAL));
        if reply.is_some_and(|reply| reply.err == OK) {
            self.evidence.ephemerals.insert(path.clone(), (self.roaming_client.session(), Ephemeral::Held));
            self.ephemeral = Some(path);
        }
        let own = create(&self.own(), b"0", 0);
        self.ask(&own);
    }

    fn drop_ephemeral(&mut self) {
        if let Some(path) = self.ephemeral.take() {
            self.evidence.ephemerals.insert(path, (0, Ephemeral::Gone));
        }
    }

    fn work(&mut self) {
        match self.random.below(1000) {
            0..=249 => self.read_register(),
            250..=449 => self.set_register(),
            450..=599 => self.set_register_if(),
            600..=699 => self.glance(),
            700..=799 => self.count_up(),
            800..=879 => self.number_things(),
            880..=939 => self.keep_something(),
            940..=979 => self.delete_something(),
            980..=989 => self.roaming_client.leave(),
            990..=994 => self.close_session(),
            _ => {
                self.drop_ephemeral();
                self.roaming_client.forget();
            }
        }
    }

    fn next(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    fn now(&self) -> u64 {
        self.shared.epoch.elapsed().as_nanos() as u64
    }

    fn own(&self) -> String {
        format!("/own/{}", self.number)
    }

    fn ask_all(&mut self, requests: &[Request]) -> Vec<Option<Reply>> {
        let before = self.roaming_client.written.len();
        let replies = self.roaming_client.ask(requests);
        let written = self.roaming_client.written.len() - before;
        self.shared.written.fetch_add(written as u64, Ordering::Relaxed);
        let count = replies.iter().flatten().count() as u64;
        self.shared.answered[self.number].fetch_add(count, Ordering::Relaxed);
        replies
    }

    fn ask(&mut self, request: &Request) -> Option<Reply> {
        self.ask_all(std::slice::from_ref(request)).remove(0)
    }

    /// A register in use, which this client knows to be there.
    fn register(&mut self) -> Option<String> {
        let generation = self.shared.generation.load(Ordering::Relaxed);
        let path = format!("/registers/{generation}-{}", self.random.below(REGISTERS));
        if !self.known.contains_key(&path) {
            let err = self.ask(&create(&path, b"0", 0))?.err;
            assert!(err == OK || err == NODE_EXISTS, "create {path}: {err}");
            self.known.insert(path.clone(), State::default());
        }
        Some(path)
    }

    fn record(&mut self, register: String, act: Act, called: u64, answer: Answer) {
        let returned = if answer == Answer::Unknown { u64::MAX } else { self.now() };
        self.evidence.calls.push(Call { client: self.number, register, act, called, returned, answer });
    }

    fn unique_name(&mut self, separator: char) -> String {
        let count = self.next();
        format!("{}{separator}{count}", self.number)
    }

    fn unique_value(&mut self) -> u64 {
        ((self.number as u64 + 1) << 32) + self.next()
    }

    fn read_register(&mut self) {
        let Some(path) = self.register() else { return };
        let called = self.now();
        let sync = Request::Path { op: op::SYNC, path: path.clone() };
        let Some(reply) = self.ask_all(&[sync, get_data(&path)]).remove(1) else { return };
        let state = state_of(&reply, &path);
        self.learn(&path, state);
        self.record(path, Act::Read, called, Answer::State(state));
    }

    /// A read of whatever this member has: it may be old, but not older than what this session has
    /// seen.
    fn glance(&mut self) {
        let Some(path) = self.register() else { return };
        if let Some(reply) = self.ask(&get_data(&path)) {
            self.learn(&path, state_of(&reply, &path));
        }
    }

    fn learn(&mut self, path: &str, state: State) {
        let before = self.known.insert(path.to_owned(), state).unwrap_or_default();
        assert!(state.version >= before.version, "session order: {path} is {state:?} after {before:?}");
    }

    fn set_register(&mut self) {
        let Some(path) = self.register() else { return };
        let value = self.unique_value();
        let called = self.now();
        let reply = self.ask(&set_data(&path, value.to_string().as_bytes()));
        let answer = self.set_answer(&path, value, reply);
        self.record(path, Act::Set { value }, called, answer);
    }

    fn set_register_if(&mut self) {
        let Some(path) = self.register() else { return };
        let (value, version) = (self.unique_value(), self.known[&path].version);
        let data = Some(value.to_string().into_bytes());
        let called = self.now();
        let reply = self.ask(&Request::SetData { path: path.clone(), data, version: version as i32 });
        let answer = self.set_answer(&path, value, reply);
        self.record(path, Act::SetIf { version, value }, called, answer);
    }

    fn set_answer(&mut self, path: &str, value: u64, reply: Option<Reply>) -> Answer {
        match reply {
            None => Answer::Unknown,
            Some(reply) if reply.err == BAD_VERSION => Answer::Refused,
            Some(reply) => {
                assert_eq!(reply.err, OK, "set {path}");
                let version = version_in(&mut Reader::new(&reply.body));
                self.learn(path, State { version, value });
                Answer::Version(version)
            }
        }
    }

    /// Sets the client's own znode to ever higher numbers, several at once, and reads it.
    fn count_up(&mut self) {
        let path = self.own();
        let mut requests = Vec::new();
        for _ in 0..BATCH {
            self.evidence.own.1 = self.next();
            requests.push(set_data(&path, self.evidence.own.1.to_string().as_bytes()));
        }
        let first = self.evidence.own.1 + 1 - BATCH;
        requests.push(get_data(&path));
        let mut replies = self.ask_all(&requests);
        let read = replies.pop().flatten();
        if replies.iter().flatten().any(|reply| reply.err != OK) {
            // It was not known whether it is there, and now it is known that it is not.
            assert_eq!(self.evidence.own.0, 0, "{path} is gone");
            self.ask(&create(&path, b"0", 0));
            return;
        }
        let acknowledged = replies.iter().flatten().count() as u64;
        if acknowledged > 0 {
            self.evidence.own.0 = first + acknowledged - 1;
        }
        if let Some(read) = read {
            let value = number(read.buffer());
            assert_eq!(value, self.evidence.own.0, "session order: {path} after its own writes");
        }
    }

    /// Creates sequential znodes, several at once. Their data count, so that their order can be
    /// compared with that of sending.
    fn number_things(&mut self) {
        let data: Vec<String> = (0..BATCH).map(|_| self.unique_name(':')).collect();
        let requests: Vec<Request> =
            data.iter().map(|data| create("/sequential/n-", data.as_bytes(), SEQUENTIAL)).collect();
        for (data, reply) in data.into_iter().zip(self.ask_all(&requests)) {
            if let Some(reply) = reply {
                assert_eq!(reply.err, OK, "create /sequential/n-");
                self.evidence.named.insert(data, String::from_utf8_lossy(reply.buffer()).into_owned());
            }
        }
    }

    fn keep_something(&mut self) {
        let (path, data) = (format!("/kept/{}", self.unique_name('-')), self.next().to_string());
        if let Some(reply) = self.ask(&create(&path, data.as_bytes(), 0)) {
            assert_eq!(reply.err, OK, "create {path}");
            self.evidence.created.insert(path, data);
        }
    }

    fn delete_something(&mut self) {
        let gone: BTreeSet<&String> = self.evidence.deleted.keys().collect();
        let Some(path) = self.evidence.created.keys().find(|path| !gone.contains(path)).cloned() else {
            return;
        };
        self.evidence.deleted.insert(path.clone(), false);
        let delete = Request::Versioned { op: op::DELETE, path: path.clone(), version: -1 };
        if let Some(reply) = self.ask(&delete) {
            assert_eq!(reply.err, OK, "delete {path}");
            self.evidence.deleted.insert(path, true);
        }
    }

    fn close_session(&mut self) {
        // In either case the client does not come back to it: it is closed or expires.
        self.ask(&Request::Raw { op: op::CLOSE_SESSION, body: Vec::new() });
        self.drop_ephemeral();
        self.roaming_client.forget();
    }
}

fn number(data: &[u8]) -> u64 {
    std::str::from_utf8(data).ok().and_then(|text| text.parse().ok()).expect("a number")
}

/// The version in a stat.
fn version_in(reader: &mut Reader) -> i64 {
    reader.take(4 * 8).expect("zxids and times");
    reader.int().expect("a version").into()
}

/// Value and version in the reply to a getData.
pub fn state_of(reply: &Reply, path: &str) -> State {
    assert_eq!(reply.err, OK, "get {path}");
    let mut reader = Reader::new(&reply.body);
    let value = number(reader.buffer().flatten().expect("data"));
    State { version: version_in(&mut reader), value }
}

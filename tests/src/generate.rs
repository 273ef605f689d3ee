//! Random conversations. A seed gives always the same one.
//!
//! Few paths, few data, few versions: so that requests meet each other's results often.

mod names;

use crate::digest_md5::Login;
use crate::jaas::LOGINS;
use crate::request::{AclEntry, Request, Spoiling, op, open_acl};

/// How many sessions speak.
pub const SESSIONS: usize = 3;

/// One step of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A session sends a request.
    Ask(usize, Request),
    /// A session's connection breaks, and a new one resumes the session.
    Resume(usize),
    /// A session logs in by SASL.
    LogIn(usize, Login<'static>),
    /// A session is resumed on a new connection while the old one is still open.
    Move(usize),
    /// A session sends requests all at once, and a part of one more; when the first ones are
    /// answered its connection breaks in the middle of the last, and a new one resumes the session.
    Break {
        /// Which session.
        session: usize,
        /// What arrives whole.
        whole: Vec<Request>,
        /// A frame that breaks off after this many hundredths of its bytes.
        part: (Request, usize),
    },
}

/// The schemes that a conversation is about, besides `ip` and `world`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schemes {
    /// `digest`.
    Digest,
    /// `digest`, `sasl` and `x509`.
    All,
}

/// A small generator of numbers (splitmix64): the conversation of a seed must not change with a
/// dependency.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
    /// Whether the conversation has setWatches, and only nodes every client may read: Ostler tells
    /// a returning client nothing of a node it may not read, ZooKeeper does. Other conversations
    /// have nodes no client may read.
    catches_up: bool,
    schemes: Schemes,
}

impl Random {
    /// Starts from a seed.
    pub fn new(seed: u64) -> Random {
        let state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d;
        Random { state, catches_up: seed.is_multiple_of(2), schemes: Schemes::Digest }
    }
    /// Whether something happens in conversations about all schemes that does so there this often
    /// in a hundred times.
    fn chance_of_all(&mut self, percent: u64) -> bool {
        self.schemes == Schemes::All && self.chance(percent)
    }
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
    /// Whether something happens that does so this often in a hundred times.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
    /// One of these.
    pub fn pick<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize].clone()
    }
}

/// A conversation of `length` steps.
pub fn conversation(seed: u64, length: usize, schemes: Schemes) -> Vec<Step> {
    let mut random = Random { schemes, ..Random::new(seed) };
    (0..length).map(|done| step(&mut random, done)).collect()
}

fn step(random: &mut Random, done: usize) -> Step {
    let session = random.below(SESSIONS as u64) as usize;
    if random.chance_of_all(8) {
        return Step::LogIn(session, random.pick(&LOGINS));
    }
    match random.below(200) {
        0..=2 => Step::Resume(session),
        3 => Step::Move(session),
        4..=6 => Step::Ask(session, Request::Raw { op: op::CLOSE_SESSION, body: Vec::new() }),
        7..=8 => Step::Ask(session, broken(random)),
        9..=11 => {
            let mut whole: Vec<_> = (0..random.below(4)).map(|_| request(random, done)).collect();
            // ZooKeeper answers an auth packet when it reads it, with Netty often before what was
            // sent ahead of it.
            whole.retain(|request| random.schemes == Schemes::Digest || request.op() != op::AUTH);
            Step::Break { session, whole, part: (request(random, done), random.below(100) as usize) }
        }
        12..=23 => Step::Ask(session, spoilt(random, done)),
        _ => Step::Ask(session, request(random, done)),
    }
}

/// Null, or bytes that are not UTF-8, anywhere in a request that may otherwise be right.
fn spoilt(random: &mut Random, done: usize) -> Request {
    let request = request(random, done);
    let how = match random.below(10) {
        0..=4 => Spoiling::Null,
        5 => Spoiling::Negative,
        _ => Spoiling::Ends(random.pick(&[
            &b"\xe4"[..],
            b"\xe4ss",
            b"\xc3\xdc\xc2\xeb",
            b"\xed\xa0\x80",
            b"\xf0\x9f\x98",
            b"\xc3\xa4",
        ])),
    };
    Request::Spoilt { request: Box::new(request), number: random.below(64) as usize, how }
}

fn request(random: &mut Random, done: usize) -> Request {
    match random.below(100) {
        0..=21 => create(random),
        22..=29 => delete(random, op::DELETE),
        30..=39 => set_data(random),
        40..=57 => read(random),
        58..=60 => Request::Path { op: op::GET_ACL, path: path(random) },
        61..=64 => Request::SetAcl { path: path(random), acl: acl(random), version: version(random) },
        65 => Request::Path { op: op::SYNC, path: echoed(random) },
        66..=74 => Request::Multi { op: op::MULTI, parts: parts(random, writing) },
        75..=77 => Request::Multi { op: op::MULTI_READ, parts: parts(random, reading) },
        78..=81 => watches(random, op::ADD_WATCH),
        82..=84 => watches(random, op::REMOVE_WATCHES),
        85..=86 => watches(random, op::CHECK_WATCHES),
        87..=90 if random.catches_up => set_watches(random, done),
        87..=90 => read(random),
        91..=92 => Request::Path { op: op::GET_EPHEMERALS, path: path(random) },
        93..=94 => Request::Path { op: op::GET_ALL_CHILDREN_NUMBER, path: path(random) },
        95 => Request::Raw { op: op::WHO_AM_I, body: Vec::new() },
        96 => quota(random),
        _ => auth(random),
    }
}

/// Mostly paths of a small tree; sometimes one that a sequential create made; sometimes nonsense.
fn path(random: &mut Random) -> String {
    match random.below(100) {
        0..=79 => {
            let depth = random.pick(&[0, 1, 1, 1, 1, 2, 2, 2, 3]);
            (0..depth).fold("%".to_owned(), |path, _| path + random.pick(&["/a", "/b", "/c"]))
        }
        80..=92 => {
            let parent = random.pick(&["%", "%", "%/a", "%/b"]);
            format!("{parent}/{}{:010}", random.pick(&["s", "a", ""]), random.below(8))
        }
        _ => random
            .pick(&[
                "a",
                "%/",
                "%//a",
                "%/./a",
                "%/../a",
                "%/a/..",
                "%/\u{1}",
                "%/\u{7f}",
                "%/\u{e000}",
                "%/\u{fff0}",
                "%/\u{1f600}",
                "%/ü",
                "%/...",
                "%/a/",
                "//",
                "%/\0",
            ])
            .to_owned(),
    }
}

/// As [`path`], and sometimes a node that every server has. Only for what such a node always
/// refuses: it holds what earlier runs left, and what a server adds of its own.
fn path_to_change(random: &mut Random) -> String {
    if random.chance(4) {
        return random.pick(&["/zookeeper", "/zookeeper/quota", "/zookeeper/config", "/", ""]).to_owned();
    }
    path(random)
}

fn data(random: &mut Random) -> Option<Vec<u8>> {
    match random.below(10) {
        0 => None,
        1..=2 => Some(Vec::new()),
        3 => Some(vec![b'x'; 300]),
        _ => Some(random.pick(&["one", "two", "three"]).into()),
    }
}

fn version(random: &mut Random) -> i32 {
    random.pick(&[-1, -1, -1, -1, 0, 0, 1, 2, -2, i32::MIN])
}

/// Addresses that not every parser takes, or takes for the same.
const ODD_ADDRESSES: &[&str] = &[
    "1.2.3",
    "127.0.0.1/33",
    "x",
    "127.0.0.1/",
    "",
    "::ffff:127.0.0.1",
    "::FFFF:7f00:1/96",
    "1::2::3",
    "1:2:3:4:5:6:7::",
    "1:2:3:4:5:6:7:8::",
    "12345::",
    "fe80::1%eth0",
    "+1.0.0.1",
    "-0.0.0.1/+8",
    "::/129",
    "::-1",
    "256.0.0.1",
    "1.2.3.4.",
];

fn acl(random: &mut Random) -> Option<Vec<AclEntry>> {
    if random.chance_of_all(40) {
        return Some(names::acl(random));
    }
    let entry = |perms, scheme: &str, id: &str| (perms, scheme.to_owned(), id.to_owned());
    let ann = "ann:7RJfAeIvrl4zdj6sS2fXrQHDvHM=";
    let kinds: [u64; 7] = [0, 16, 18, 21, 24, 26, 28];
    let kind = if random.catches_up { random.pick(&kinds) } else { random.below(30) };
    match kind {
        0..=15 => open_acl(),
        16 => Some(vec![entry(1, "world", "anyone")]),
        17 => Some(vec![entry(random.below(32) as i32, "world", "anyone")]),
        18 => Some(vec![entry(31, "digest", ann), entry(1, "world", "anyone")]),
        19 => Some(vec![entry(31, "digest", ann)]),
        20 => Some(vec![entry(31, "auth", "")]),
        21 => Some(vec![entry(5, "auth", "whatever"), entry(1, "world", "anyone")]),
        22 => Some(vec![entry(31, "ip", "127.0.0.1")]),
        23 => Some(vec![entry(31, "ip", "127.0.0.0/8"), entry(31, "ip", "127.0.0.0/8")]),
        24 => Some(vec![entry(31, "ip", "10.0.0.0/8"), entry(1, "world", "anyone")]),
        25 => Some(vec![entry(31, "ip", random.pick(ODD_ADDRESSES))]),
        26 => Some(Vec::new()),
        27 => None,
        28 => Some(vec![entry(31, random.pick(&["nonesuch", "", "super", "sasl", "x509"]), "x")]),
        _ => Some(vec![entry(
            31,
            random.pick(&["world", "digest"]),
            random.pick(&["nobody", "a:b:c", "a", ""]),
        )]),
    }
}

fn create(random: &mut Random) -> Request {
    let op =
        random.pick(&[op::CREATE, op::CREATE, op::CREATE, op::CREATE2, op::CREATE_CONTAINER, op::CREATE_TTL]);
    let flags = match op {
        _ if random.chance(4) => random.pick(&[-1, 7, 8, 100, 0, 1, 2, 3, 4, 5, 6]),
        op::CREATE_CONTAINER => 4,
        op::CREATE_TTL => random.pick(&[5, 6]),
        _ => random.pick(&[0, 0, 0, 1, 1, 2, 2, 3]),
    };
    let mut path = path_to_change(random);
    if matches!(flags, 2 | 3 | 6) && random.chance(70) {
        path = random.pick(&["%/s", "%/", "%/a/s", "%/b/", "%/a", "%/a/a"]).to_owned();
    }
    // Far beyond the length of a run, or out of range: whether a node has expired is a matter of
    // time.
    let ttl_ms = random.pick(&[3_600_000, 3_600_000, (1 << 40) - 1, 1 << 40, 0, -1]);
    // A createTTL whose flags know no TTL, with a TTL below 0, is not refused by Apache ZooKeeper
    // 3.9.5: applying it ends the server, and its log cannot be read any more
    // (`EphemeralType.validateTTL` lets it pass, `toEphemeralOwner` does not).
    let is_deadly = op == op::CREATE_TTL && !matches!(flags, 5 | 6) && ttl_ms < 0;
    let ttl_ms = if is_deadly { 1 } else { ttl_ms };
    Request::Create { op, path, data: data(random), acl: acl(random), flags, ttl_ms }
}

fn delete(random: &mut Random, op: i32) -> Request {
    let path = if op == op::DELETE { path_to_change(random) } else { path(random) };
    Request::Versioned { op, path, version: version(random) }
}

fn set_data(random: &mut Random) -> Request {
    Request::SetData { path: path(random), data: data(random), version: version(random) }
}

fn read(random: &mut Random) -> Request {
    let op = random.pick(&[op::EXISTS, op::GET_DATA, op::GET_CHILDREN, op::GET_CHILDREN2]);
    Request::Read { op, path: path(random), watch: random.chance(50) }
}

fn parts(random: &mut Random, part: fn(&mut Random) -> Request) -> Vec<Request> {
    let count = random.pick(&[0, 1, 2, 2, 3, 3, 4, 6]);
    let mut parts: Vec<Request> = (0..count).map(|_| part(random)).collect();
    if count > 0 && random.chance(3) {
        // Not a check: with ClickHouse's extensions it may stand in a multiRead.
        let stray = if random.chance(50) { reading(random) } else { delete(random, op::DELETE) };
        parts.push(stray);
    }
    parts
}

fn writing(random: &mut Random) -> Request {
    match random.below(10) {
        0..=4 => create(random),
        5..=6 => delete(random, op::DELETE),
        7..=8 => set_data(random),
        _ => delete(random, op::CHECK),
    }
}

/// A part of a multiRead. Without a watch: ZooKeeper drops it silently, Ostler sets it as
/// ClickHouse's clients expect (MULTI_WATCHES).
fn reading(random: &mut Random) -> Request {
    Request::Read { op: random.pick(&[op::GET_DATA, op::GET_CHILDREN]), path: path(random), watch: false }
}

fn watches(random: &mut Random, op: i32) -> Request {
    let kind = match op {
        op::ADD_WATCH => random.pick(&[0, 0, 0, 1, 1, 1, 2, -1]),
        _ => random.pick(&[1, 2, 3, 3, 4, 5, 0, 6]),
    };
    Request::Watches { op, path: path(random), kind }
}

/// A path that the server may send back. Java writes one outside the basic plane as two surrogates,
/// which is no UTF-8; no znode can have it.
fn echoed(random: &mut Random) -> String {
    let path = path(random);
    if path.chars().all(|c| c as u32 <= 0xFFFF) { path } else { "%/a".to_owned() }
}

fn set_watches(random: &mut Random, done: usize) -> Request {
    let op = random.pick(&[op::SET_WATCHES, op::SET_WATCHES2]);
    let list = |random: &mut Random| (0..random.below(4)).map(|_| echoed(random)).collect();
    let count = if op == op::SET_WATCHES { 3 } else { 5 };
    let lists = (0..count).map(|_| list(random)).collect();
    Request::SetWatches { op, zxid: random.below(done as u64 + 1) as i64, lists }
}

fn quota(random: &mut Random) -> Request {
    let root = "/zookeeper/quota%";
    let limits = random.pick(&[
        "count=2,bytes=10",
        "count=-1,bytes=-1=;byteHardLimit=100;countHardLimit=6",
        "count=3,bytes=-1=;countHardLimit=4",
    ]);
    let (path, data) = random.pick(&[
        (root.to_owned(), ""),
        (format!("{root}/zookeeper_limits"), limits),
        (format!("{root}/zookeeper_stats"), "count=0,bytes=0"),
    ]);
    match random.below(4) {
        0..=1 => {
            let data = Some(data.into());
            Request::Create { op: op::CREATE, path, data, acl: open_acl(), flags: 0, ttl_ms: 0 }
        }
        2 => Request::SetData { path, data: Some(data.into()), version: -1 },
        _ => Request::Read { op: op::GET_DATA, path, watch: false },
    }
}

fn auth(random: &mut Random) -> Request {
    if random.chance_of_all(30) {
        let (scheme, auth) = random.pick(&[("x509", ""), ("x509", "CN=ann,O=Ostler"), ("sasl", "bob")]);
        return Request::Auth { scheme: scheme.to_owned(), auth: Some(auth.into()) };
    }
    let (scheme, auth) = match random.below(12) {
        0..=5 => ("digest", "ann:secret"),
        6..=7 => ("digest", "bob:secret"),
        8 => ("digest", "super:test"),
        9 => ("ip", ""),
        10 => ("world", "anyone"),
        _ => random.pick(&[("nonesuch", "x"), ("digest", ""), ("digest", "ann"), ("auth", ""), ("", "")]),
    };
    Request::Auth { scheme: scheme.to_owned(), auth: Some(auth.into()) }
}

/// Requests that are answered with an error and often the end of the connection.
fn broken(random: &mut Random) -> Request {
    let (op, body) = random.pick(&[
        (op::CREATE, vec![]),
        (op::CREATE, vec![0, 0, 0, 9, b'/']),
        (op::GET_DATA, vec![0, 0, 0, 2, b'/', b'a']),
        (op::GET_DATA, vec![0xff, 0xff, 0xff, 0xff, 0]),
        (op::GET_DATA, vec![0xff, 0xff, 0xff, 0xfe, 0]),
        (op::SET_DATA, vec![0, 0, 0, 1, b'/']),
        (op::DELETE, vec![0x7f, 0xff, 0xff, 0xff]),
        (op::MULTI, vec![0, 0, 0, 1]),
        (op::MULTI, vec![0, 0, 0, 3, 0, 0, 0, 0, 0]),
        (op::SYNC, vec![]),
        (op::PING, vec![1, 2, 3]),
        (op::CHECK, vec![0, 0, 0, 1, b'/', 0, 0, 0, 0]),
        (op::WHO_AM_I, vec![1, 2, 3]),
        (op::ADD_WATCH, vec![]),
        (op::SET_WATCHES, vec![0]),
        (op::GET_EPHEMERALS, vec![]),
        (op::RECONFIG, vec![0xff; 20]),
        (op::SASL, vec![0, 0, 0, 1, 7]),
        (10, vec![]),
        (999, vec![]),
        (-5, vec![]),
        (0, vec![]),
    ]);
    Request::Raw { op, body }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::names::NAMES;
    use super::{LOGINS, Schemes, Step};
    use crate::request::{Request, op};

    fn conversation(seed: u64, length: usize) -> Vec<Step> {
        super::conversation(seed, length, Schemes::Digest)
    }

    #[test]
    fn conversations_about_all_schemes_have_logins_and_names() {
        let steps: Vec<Step> =
            (0..20).flat_map(|seed| super::conversation(seed, 200, Schemes::All)).collect();
        for login in LOGINS {
            assert!(steps.iter().any(|step| matches!(step, Step::LogIn(_, known) if *known == login)));
        }
        for (scheme, id) in NAMES {
            let names = |step: &Step| {
                let Step::Ask(_, Request::Create { acl: Some(acl), .. }) = step else { return false };
                acl.iter().any(|(_, known, name)| (known.as_str(), name.as_str()) == (*scheme, *id))
            };
            assert!(steps.iter().any(names), "{scheme}:{id}");
        }
    }

    #[test]
    fn a_seed_is_a_conversation() {
        assert_eq!(conversation(7, 300), conversation(7, 300));
        assert_eq!(conversation(7, 300)[..100], conversation(7, 100)[..]);
        assert_ne!(conversation(7, 300), conversation(8, 300));
    }

    #[test]
    fn every_opcode_is_spoken_in_the_short_form() {
        let mut spoken = BTreeSet::new();
        for step in (0..20).flat_map(|seed| conversation(seed, 200)) {
            let Step::Ask(_, request) = step else { continue };
            spoken.insert(request.op());
            if let Request::Multi { op, parts } = &request {
                spoken.extend(parts.iter().map(|part| op * 1000 + part.op()));
            }
        }
        for part in [
            op::CREATE,
            op::CREATE2,
            op::CREATE_CONTAINER,
            op::CREATE_TTL,
            op::DELETE,
            op::SET_DATA,
            op::CHECK,
        ] {
            assert!(spoken.contains(&(op::MULTI * 1000 + part)), "{part} in a multi");
        }
        // Every step ends with pings.
        for op in (1..=9).chain(12..=19).chain(21..=22).chain(100..=107).chain([op::CLOSE_SESSION]) {
            assert!(spoken.contains(&op), "opcode {op}");
        }
    }
}

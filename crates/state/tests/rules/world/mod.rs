//! A member in a test: machine and watch table, with sessions that send requests as lines of text.
//!
//! A script has a line per request, `session: request => answer`. Requests and replies are encoded
//! and decoded as in the protocol. Events precede the answer, as `!session Type /path`.
//!
//! ```text
//! 1: create -e /a x      => /a
//! 2: get -w /a           => x
//! 1: close               => !2 NodeDeleted /a; ok
//! ```
//!
//! | request | flags and arguments |
//! |---|---|
//! | `create` | `-s`equential `-e`phemeral `-c`ontainer `-t ms` `-f flags`, path, data, ACL |
//! | | `-2` for create2, `-n` for createIfNotExists |
//! | `set` `delete` `check` `try-remove` `check-missing` | path, (data,) version |
//! | `get` `exists` `ls` `ls2` | `-w`, path |
//! | `setacl` `getacl` | path, ACL as `scheme:id:rwcda,…`, version |
//! | `multi` `read` | requests between `;` |

mod answer;
mod request;

use state::auth::{Identities, add_digest};
use state::change::{Change, ChangeSink};
use state::command::{self, BatchHeader, Command, Features};
use state::machine::{Applied, Machine};
use state::password_hash::PasswordHash;
use state::read::{Dialect, Reader};
use state::watch::{EventOut, WatchLimits, WatchMode, WatchTable, WatcherId};
use std::collections::BTreeMap;
use wire::event::{AddWatchMode, WatcherEvent, WatcherType};
use wire::opcode::Opcode;
use wire::record::{ReplyHeader, Request};

pub(crate) use answer::answer;
pub(crate) use request::parse;

/// The xid of every request.
pub(crate) const CXID: i32 = 0;

/// The digest identity of `super:test`.
pub(crate) const SUPER_DIGEST: &str = "super:D/InIHSb7yEEbrWz8b9l71RjZJU=";

pub(crate) struct World {
    pub(crate) machine: Machine,
    pub(crate) watches: WatchTable,
    pub(crate) features: Features,
    pub(crate) now_ms: i64,
    pub(crate) identities: BTreeMap<i64, Identities>,
    pub(crate) events: Vec<String>,
    pub(crate) last: Applied,
}

/// All features, so that tests name the ones they disable.
pub(crate) const ALL_FEATURES: Features = Features::EXTENDED_TYPES
    .with(Features::ENFORCE_QUOTA)
    .with(Features::KEEPER_EXTENSIONS)
    .with(Features::RECONFIG);

impl World {
    /// A new machine at zxid 0 with sessions 1 to 3 (zxids 1 to 3).
    pub(crate) fn new() -> Self {
        let last = Applied { zxid: 0, code: wire::ErrorCode::Ok };
        let mut world = Self {
            machine: Machine::new(7),
            watches: WatchTable::new(WatchLimits::NONE, 7),
            features: ALL_FEATURES,
            now_ms: 1_000_000,
            identities: BTreeMap::new(),
            events: Vec::new(),
            last,
        };
        for session in 1..=3 {
            world.open(session);
        }
        world
    }

    pub(crate) fn open(&mut self, session: i64) {
        let mut body = Vec::new();
        command::SessionTerms { timeout_ms: 10_000, home: 0 }.put(&mut body);
        assert_eq!(self.internal(session, Opcode::CreateSession as i32, &body), "ok");
        self.identities.insert(session, Identities::from_ip("127.0.0.1"));
        self.watches.register(WatcherId(session as u64), &self.identities[&session]);
    }

    /// Plays a script; a failure reports the line.
    #[track_caller]
    pub(crate) fn play(&mut self, script: &str) {
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (said, expected) = line.split_once("=>").unwrap_or_else(|| panic!("no answer in {line:?}"));
            let (who, request) = said.split_once(':').unwrap_or_else(|| panic!("no session in {line:?}"));
            let answer = self.say(who.trim().parse().expect("a session"), request.trim());
            assert_eq!(answer, expected.trim(), "\nin the line: {line}");
            self.machine.check().expect("invariants hold after every request");
            self.watches.check();
        }
    }

    /// A request of a session; returns the events and the answer.
    pub(crate) fn say(&mut self, who: i64, text: &str) -> String {
        self.events.clear();
        let answer = self.respond(who, text);
        let mut all = std::mem::take(&mut self.events);
        all.push(answer);
        all.join("; ")
    }

    fn respond(&mut self, who: i64, text: &str) -> String {
        let words: Vec<&str> = text.split_whitespace().collect();
        let watcher = WatcherId(who as u64);
        match words[0] {
            "open" => {
                self.open(who);
                "ok".to_owned()
            }
            "close" => {
                self.watches.drop_watcher(watcher);
                self.internal(who, Opcode::CloseSession as i32, &[])
            }
            "auth" => {
                let identities = self.identities.get_mut(&who).expect("a session");
                assert!(add_digest(identities, words[1].as_bytes(), PasswordHash::Sha1, Some(SUPER_DIGEST)));
                self.watches.register(watcher, identities);
                "ok".to_owned()
            }
            "disconnect" => {
                self.watches.drop_watcher(watcher);
                self.watches.register(watcher, &self.identities[&who]);
                "ok".to_owned()
            }
            "add-watch" => {
                let (mode, path) = match words[1] {
                    "-r" => (AddWatchMode::PersistentRecursive, words[2]),
                    path => (AddWatchMode::Persistent, path),
                };
                self.watches.add(path, WatchMode::from(mode), watcher).expect("no limits");
                "ok".to_owned()
            }
            "remove-watches" => self.watches.remove(words[2], watcher_type(words[1]), watcher).to_string(),
            "check-watches" => self.watches.contains(words[2], watcher_type(words[1]), watcher).to_string(),
            "wait" => {
                self.now_ms += words[1].parse::<i64>().expect("milliseconds");
                "ok".to_owned()
            }
            _ => self.request(who, &parse(text)),
        }
    }

    /// The reader of a ZooKeeper client.
    pub(crate) fn reader<'i>(&self, session: i64, identities: &'i Identities) -> Reader<'i> {
        let (features, dialect) = (self.features, Dialect::ZooKeeper);
        Reader { session, identities, features, dialect, request_bytes_max: 1_048_575 }
    }

    /// Sends a request of the protocol.
    pub(crate) fn request(&mut self, who: i64, request: &Request<'_>) -> String {
        let opcode = request.opcode();
        let mut reply = Vec::new();
        let code = if opcode.is_write() {
            let mut body = Vec::new();
            request.encode(&mut body);
            self.apply(who, opcode as i32, &body, &mut reply)
        } else {
            let identities = &self.identities[&who];
            let reader = self.reader(who, identities);
            let (watches, watcher) = (&mut self.watches, WatcherId(who as u64));
            if let Request::SetWatches(set) = request {
                let events = &mut self.events;
                let mut deliver = |watcher: WatcherId, event: &EventOut| events.push(show(watcher, event));
                watches
                    .set_watches(watcher, set, self.machine.tree(), &reader, &mut deliver)
                    .expect("no limits");
                return "ok".to_owned();
            }
            self.machine.read_whole(request, &reader, &mut reply, &mut |wanted| {
                watches.add(wanted.path, wanted.part.into(), watcher).expect("no limits");
            })
        };
        answer(opcode, code, &reply)
    }

    /// An internal command.
    pub(crate) fn internal(&mut self, session: i64, opcode: i32, body: &[u8]) -> String {
        let mut reply = Vec::new();
        let code = self.apply(session, opcode, body, &mut reply);
        assert!(reply.is_empty(), "internal commands have no reply");
        if code == wire::ErrorCode::Ok { "ok".to_owned() } else { code.name().to_owned() }
    }

    pub(crate) fn apply(
        &mut self,
        session: i64,
        opcode: i32,
        body: &[u8],
        reply: &mut Vec<u8>,
    ) -> wire::ErrorCode {
        let batch = BatchHeader { time_ms: self.now_ms, zxid_floor: 0, features: self.features };
        let identities = self.identities.get(&session).cloned().unwrap_or_default();
        let command = Command { session, cxid: CXID, opcode, identities: identities.encoded(), body };
        let zxids = if matches!(opcode, command::MOVE_SESSION | command::PROPOSE_CONFIG) { 0 } else { 1 };
        let before = self.machine.last_zxid();
        let mut sink = Sink { watches: &mut self.watches, events: &mut self.events };
        self.last = self.machine.apply(&batch, &command, reply, &mut sink);
        assert_eq!(self.last.zxid, before + zxids, "every command of a client consumes one zxid");
        self.last.code
    }

    /// Applies the removals a leader would propose now.
    pub(crate) fn reap(&mut self) -> Vec<String> {
        let terms = state::containers::RemovalTerms {
            now_ms: self.now_ms,
            never_used_ms_max: 0,
            looked_at_max: usize::MAX,
            found_max: usize::MAX,
        };
        let found = self.machine.removal_candidates(&terms, &mut Default::default());
        let mut said = Vec::new();
        for candidate in found {
            let mut body = Vec::new();
            let meant = command::DeleteContainer {
                path: &candidate.path,
                czxid: candidate.czxid,
                mzxid: candidate.mzxid,
            };
            meant.put(&mut body);
            let result = self.internal(0, Opcode::DeleteContainer as i32, &body);
            said.push(format!("{} {result}", candidate.path));
        }
        said.sort();
        said
    }
}

fn watcher_type(word: &str) -> WatcherType {
    WatcherType::ALL.iter().copied().find(|kind| kind.name() == word).expect("a watcher type")
}

struct Sink<'w> {
    watches: &'w mut WatchTable,
    events: &'w mut Vec<String>,
}

impl ChangeSink for Sink<'_> {
    fn change(&mut self, change: &Change<'_>) {
        self.watches.change(change, &mut |watcher, event| self.events.push(show(watcher, event)));
    }
}

fn show(watcher: WatcherId, event: &EventOut) -> String {
    let mut input = wire::jute::Reader::new(&event.frame);
    assert_eq!(input.i32().unwrap() as usize, event.frame.len() - 4, "an event is a frame");
    let header = ReplyHeader::decode(&mut input).unwrap();
    assert_eq!((header.xid, header.zxid, header.err), (-1, event.zxid, 0));
    let body = WatcherEvent::decode(&mut input).unwrap();
    input.finish().unwrap();
    format!("!{} {} {}", watcher.0, body.event_type.name(), body.path)
}

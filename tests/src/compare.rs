//! The same conversation with two servers, and where their answers part.
//!
//! A conversation is spoken with each server alone; requests never overlap, and after each one
//! every session pings, so that the watch events it caused have arrived. With an ensemble the
//! sessions are spread over its members, and each sends a `sync` before it pings, so that its
//! member has heard of everything. What is compared is text: a frame's fields, with times and
//! passwords left out, session ids as names, zxids as distances from the run's begin, and listings
//! sorted.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use crate::connection::{Connection, Identity, REPLY_TIMEOUT, Received, handshake, session_of};
use crate::digest_md5::Login;
use crate::field::{Expect, Field, Holds, fields, is_event};
use crate::generate::{SESSIONS, Schemes, Step, conversation};
use crate::jute::{Reader, Record};
use crate::request::{Place, Request, op, open_acl};

/// Asked for by every session; far longer than a step, so none expires during a run.
const SESSION_TIMEOUT_MS: i32 = 30_000;

/// After an answer with which ZooKeeper closes the connection, how long to wait for that.
const CLOSE_PATIENCE: Duration = Duration::from_millis(400);

/// How long a difference is made smaller before it is reported.
const SHRINK_TIME: Duration = Duration::from_secs(60);

/// What a server answered to each step.
type Transcript = Vec<Vec<String>>;

/// Two servers' answers to one conversation part.
#[derive(Debug)]
pub struct Difference {
    seed: u64,
    steps: Vec<Step>,
    transcripts: [Transcript; 2],
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "conversation of seed {} (where they differ: first server <, second >)", self.seed)?;
        for (number, step) in self.steps.iter().enumerate() {
            writeln!(f, "{number:3} {step:?}")?;
            let [left, right] = [&self.transcripts[0][number], &self.transcripts[1][number]];
            if left == right {
                left.iter().try_for_each(|line| writeln!(f, "        {line}"))?;
                continue;
            }
            left.iter().try_for_each(|line| writeln!(f, "      < {line}"))?;
            return right.iter().try_for_each(|line| writeln!(f, "      > {line}"));
        }
        Ok(())
    }
}

/// Speaks the conversation of `seed` with both servers. A difference comes back as small as it
/// could be made.
pub fn compare(seed: u64, length: usize, servers: [&[SocketAddr]; 2], who: &Who) -> Option<Difference> {
    let steps = conversation(seed, length, who.schemes());
    let first = difference(seed, &steps, servers, who)?;
    Some(shrink(first, servers, who))
}

/// Who speaks.
#[derive(Debug)]
pub enum Who {
    /// Sessions without TLS, which may prove passwords of `digest`.
    Anyone,
    /// Sessions that may log in by SASL, too. The first ones connect by TLS, each with one of these
    /// certificates; the others without.
    Named(Vec<Arc<ClientConfig>>),
}

impl Who {
    fn schemes(&self) -> Schemes {
        match self {
            Who::Anyone => Schemes::Digest,
            Who::Named(_) => Schemes::All,
        }
    }

    fn open(&self, slot: usize, server: SocketAddr) -> Connection {
        match self {
            Who::Named(certificates) if slot < certificates.len() => {
                Connection::open_secure(server, &certificates[slot])
            }
            _ => Connection::open(server),
        }
    }
}

/// Drops steps as long as a difference remains.
fn shrink(found: Difference, servers: [&[SocketAddr]; 2], who: &Who) -> Difference {
    let deadline = Instant::now() + SHRINK_TIME;
    let mut smallest = found;
    let mut chunk = smallest.steps.len() / 2;
    while chunk > 0 {
        let mut start = 0;
        // The last step is the one that differs; without it there is nothing to find.
        while start + chunk < smallest.steps.len() {
            if Instant::now() > deadline {
                return smallest;
            }
            let mut fewer = smallest.steps.clone();
            fewer.drain(start..start + chunk);
            match difference(smallest.seed, &fewer, servers, who) {
                Some(smaller) => smallest = smaller,
                None => start += chunk,
            }
        }
        chunk /= 2;
    }
    smallest
}

fn difference(seed: u64, steps: &[Step], servers: [&[SocketAddr]; 2], who: &Who) -> Option<Difference> {
    // Runs on one pair of servers see the same history but not the same nodes.
    static RUN: AtomicU32 = AtomicU32::new(0);
    let folder = format!("/run{:06}", RUN.fetch_add(1, Ordering::Relaxed));
    let transcripts = std::thread::scope(|scope| {
        let folder = &folder;
        let runs = servers.map(|server| scope.spawn(move || Run::speak(server, folder, steps, who)));
        runs.map(|run| run.join().expect("a conversation"))
    });
    let parted = (0..steps.len()).find(|&step| transcripts[0][step] != transcripts[1][step]);
    if parted.is_none() && std::env::var_os("OSTLER_DIFF_PRINT").is_some() {
        println!("{}", Difference { seed, steps: steps.to_vec(), transcripts });
        return None;
    }
    let parted = parted?;
    Some(Difference { seed, steps: steps[..=parted].to_vec(), transcripts })
}

/// One conversation with one server.
struct Run<'a> {
    who: &'a Who,
    /// Where each slot connects, in turn.
    servers: Vec<SocketAddr>,
    place: Place,
    slots: Vec<Slot>,
    /// Names of sessions by id, in the order of their appearance.
    names: BTreeMap<i64, String>,
    /// What the present step brought.
    lines: Vec<String>,
    xid: i32,
}

struct Slot {
    /// `None` after the server closed it.
    connection: Option<Connection>,
    identity: Identity,
}

impl<'a> Run<'a> {
    fn speak(servers: &[SocketAddr], folder: &str, steps: &[Step], who: &'a Who) -> Transcript {
        let zxid_base = prepare(servers[0], folder);
        let mut run = Run {
            who,
            servers: servers.to_vec(),
            place: Place { folder: folder.to_owned(), zxid_base },
            slots: Vec::new(),
            names: BTreeMap::new(),
            lines: Vec::new(),
            xid: 0,
        };
        for _ in 0..SESSIONS {
            run.slots.push(Slot { connection: None, identity: Identity::new_session() });
        }
        for slot in 0..SESSIONS {
            run.connect(slot);
        }
        run.lines.clear();
        let transcript = steps.iter().map(|step| run.step(step)).collect();
        run.leave();
        transcript
    }

    fn step(&mut self, step: &Step) -> Vec<String> {
        // Sessions that began since have zxids too.
        (0..SESSIONS).for_each(|slot| self.catch_up(slot));
        match step {
            Step::Ask(slot, request) => self.ask(*slot, request),
            Step::LogIn(slot, login) => self.log_in(*slot, *login),
            Step::Break { .. } => {}
            Step::Resume(slot) => {
                self.slots[*slot].connection = None;
                self.connect(*slot);
            }
            Step::Move(slot) => {
                let old = self.slots[*slot].connection.take();
                self.connect(*slot);
                if let Some(mut old) = old {
                    // Both close it, but ZooKeeper in its own time.
                    let received = old.receive_within(REPLY_TIMEOUT);
                    self.lines.push(format!("{slot} the old connection: {received:?}"));
                }
            }
        }
        if let Step::Break { session, whole, part } = step {
            self.break_off(*session, whole, part);
        }
        for slot in 0..SESSIONS {
            self.ping(slot);
        }
        if matches!(step, Step::Ask(_, Request::Raw { op: op::CLOSE_SESSION, .. })) {
            // A session's ephemerals go in no particular order. Lines begin with the slot and tell
            // events from replies.
            self.lines.sort();
        }
        // A request is asked on an open connection, as clients do.
        for slot in 0..SESSIONS {
            if self.slots[slot].connection.is_none() {
                self.connect(slot);
            }
        }
        std::mem::take(&mut self.lines)
    }

    fn ask(&mut self, slot: usize, request: &Request) {
        self.xid += 1;
        let frame = request.frame(self.xid, &self.place);
        self.send(slot, &frame);
        if request.op() == op::SASL && self.who.schemes() == Schemes::All {
            self.challenged(slot);
        } else if let Some(err) = self.receive_reply(slot, request.op()) {
            self.notice_close(slot, err, request.op() == op::CLOSE_SESSION);
        }
    }

    /// After an answer with which ZooKeeper may close the connection, waits for that.
    fn notice_close(&mut self, slot: usize, err: i32, is_close: bool) {
        let closing = is_close || matches!(err, -5 | -6 | -115 | -118 | -124);
        if closing
            && self.slots[slot].connection.as_mut().map(|c| c.receive_within(CLOSE_PATIENCE))
                == Some(Received::Closed)
        {
            self.closed(slot);
        }
    }

    /// Both steps of a login.
    fn log_in(&mut self, slot: usize, login: Login<'_>) {
        let mut token = Vec::new();
        for _ in 0..2 {
            self.xid += 1;
            let request = Request::Raw { op: op::SASL, body: Record::new().buffer(Some(&token)).0 };
            let frame = request.frame(self.xid, &self.place);
            self.send(slot, &frame);
            let Some(challenge) = self.challenged(slot) else { return };
            token = login.response(&challenge);
        }
    }

    /// The challenge that comes for a token, if one does. The server's tokens differ each time, so
    /// only their kind is compared.
    fn challenged(&mut self, slot: usize) -> Option<Vec<u8>> {
        let (err, answer) = self.receive_token(slot)?;
        let kind = match &answer {
            None => "null",
            Some(token) if token.starts_with(b"rspauth=") => "a proof",
            Some(token) if token.is_empty() => "empty",
            Some(_) => "a challenge",
        };
        self.lines.push(format!("{slot} reply: err={err} token={kind}"));
        self.notice_close(slot, err, false);
        answer.filter(|_| err == 0 && kind == "a challenge")
    }

    /// Error code and token of the reply to a token; whatever else comes is noted.
    fn receive_token(&mut self, slot: usize) -> Option<(i32, Option<Vec<u8>>)> {
        match self.slots[slot].connection.as_mut()?.receive() {
            Received::Frame(frame) => {
                let mut reader = Reader::new(&frame);
                let (_xid, _zxid, err) = (reader.int()?, reader.long()?, reader.int()?);
                Some((err, reader.buffer().flatten().map(<[u8]>::to_vec)))
            }
            Received::Closed => {
                self.closed(slot);
                None
            }
            Received::Nothing => {
                self.lines.push(format!("{slot} no reply"));
                None
            }
        }
    }

    /// Sends requests in one go, the last of them cut, and breaks the connection once the others
    /// are answered.
    fn break_off(&mut self, slot: usize, whole: &[Request], (cut, hundredths): &(Request, usize)) {
        let mut bytes = Vec::new();
        for request in whole {
            self.xid += 1;
            bytes.extend(request.frame(self.xid, &self.place));
        }
        self.xid += 1;
        let last = cut.frame(self.xid, &self.place);
        bytes.extend(&last[..last.len() * hundredths / 100]);
        self.send(slot, &bytes);
        for request in whole {
            if self.receive_reply(slot, request.op()).is_none() {
                break;
            }
        }
        self.slots[slot].connection = None;
        self.connect(slot);
    }

    fn ping(&mut self, slot: usize) {
        self.catch_up(slot);
        if self.slots[slot].connection.is_some() {
            let ping = Request::Raw { op: op::PING, body: Vec::new() }.frame(-2, &self.place);
            self.send(slot, &ping);
            self.receive_reply(slot, op::PING);
        }
    }

    /// Waits until the slot's member has heard of what others have. What comes meanwhile counts,
    /// the reply does not.
    fn catch_up(&mut self, slot: usize) {
        if self.servers.len() == 1 {
            return;
        }
        let sync = Request::Path { op: op::SYNC, path: "/".to_owned() };
        self.send(slot, &sync.frame(i32::MAX, &self.place));
        let before = self.lines.len();
        if self.receive_reply(slot, op::SYNC).is_some() && self.lines.len() > before {
            self.lines.pop();
        }
    }

    fn send(&mut self, slot: usize, frame: &[u8]) {
        if let Some(connection) = &mut self.slots[slot].connection {
            connection.send(frame);
        }
    }

    /// Receives up to the reply; answers its error code.
    fn receive_reply(&mut self, slot: usize, opcode: i32) -> Option<i32> {
        loop {
            match self.slots[slot].connection.as_mut()?.receive() {
                Received::Frame(frame) => {
                    let event = is_event(&frame);
                    let text = self.describe(&fields(Expect::Reply(opcode), &frame));
                    self.lines.push(format!("{slot} {}: {text}", if event { "event" } else { "reply" }));
                    if !event {
                        return Reader::new(frame.get(12..)?).int();
                    }
                }
                Received::Closed => {
                    self.closed(slot);
                    return None;
                }
                Received::Nothing => {
                    self.lines.push(format!("{slot} no reply"));
                    return None;
                }
            }
        }
    }

    fn closed(&mut self, slot: usize) {
        self.lines.push(format!("{slot} closed"));
        self.slots[slot].connection = None;
    }

    /// Resumes the slot's session, or begins a new one where the server knows it no more.
    fn connect(&mut self, slot: usize) {
        for _ in 0..2 {
            let mut connection = self.who.open(slot, self.servers[slot % self.servers.len()]);
            connection.send(&handshake(&self.slots[slot].identity, 0, SESSION_TIMEOUT_MS));
            let Received::Frame(reply) = connection.receive() else {
                self.lines.push(format!("{slot} no handshake reply"));
                return;
            };
            let Some((identity, timeout_ms)) = session_of(&reply) else {
                self.lines.push(format!("{slot} no handshake reply but {reply:?}"));
                return;
            };
            let next = format!("s{}", self.names.len() + 1);
            if identity.id != 0 {
                self.names.entry(identity.id).or_insert(next);
                self.lines.push(format!("{slot} session {} for {timeout_ms} ms", self.names[&identity.id]));
                self.slots[slot] = Slot { connection: Some(connection), identity };
                return;
            }
            let text = self.describe(&fields(Expect::Handshake, &reply));
            self.lines.push(format!("{slot} session refused: {text}"));
            self.slots[slot].identity = Identity::new_session();
        }
    }

    fn leave(&mut self) {
        let close = Request::Raw { op: op::CLOSE_SESSION, body: Vec::new() }.frame(1 << 30, &self.place);
        for slot in 0..SESSIONS {
            self.send(slot, &close);
            self.receive_reply(slot, op::CLOSE_SESSION);
        }
    }

    fn describe(&self, fields: &[Field]) -> String {
        let mut text = String::new();
        let mut listed = Vec::new();
        for field in fields {
            let value = match field.holds {
                Holds::Time | Holds::Password => continue,
                Holds::Listed => {
                    listed.push(field.text.as_str());
                    continue;
                }
                Holds::Plain => field.text.replace(&self.place.folder, "%"),
                Holds::Zxid => self.zxid(field.number),
                Holds::Session => self.session(field.number),
            };
            let _ = write!(text, " {}={value}", field.name);
        }
        listed.sort_unstable();
        format!(
            "{}{}",
            text.trim_start(),
            if listed.is_empty() {
                String::new()
            } else {
                format!(" [{}]", listed.join(" ")).replace(&self.place.folder, "%")
            }
        )
    }

    fn zxid(&self, zxid: i64) -> String {
        match zxid {
            ..=0 => zxid.to_string(),
            _ if zxid <= self.place.zxid_base => "old".to_owned(),
            _ => format!("+{}", zxid - self.place.zxid_base),
        }
    }

    fn session(&self, id: i64) -> String {
        match (id, self.names.get(&id)) {
            (0, _) => "0".to_owned(),
            (_, Some(name)) => name.clone(),
            (_, None) => "unknown".to_owned(),
        }
    }
}

/// Makes the run's folder as the super user, whatever earlier runs did to the root. Answers the
/// last zxid of that: that of the end of its session, which must not expire during the run.
fn prepare(server: SocketAddr, folder: &str) -> i64 {
    let mut control = Connection::open(server);
    control.send(&handshake(&Identity::new_session(), 0, SESSION_TIMEOUT_MS));
    control.receive();
    let place = Place { folder: folder.to_owned(), zxid_base: 0 };
    control.send(
        &Request::Auth { scheme: "digest".to_owned(), auth: Some("super:test".into()) }.frame(0, &place),
    );
    control.receive();
    let create = Request::Create {
        op: op::CREATE,
        path: "%".to_owned(),
        data: None,
        acl: open_acl(),
        flags: 0,
        ttl_ms: 0,
    };
    control.send(&create.frame(1, &place));
    let Received::Frame(reply) = control.receive() else { panic!("no reply to the create of {folder}") };
    let header_of = |frame: &[u8]| {
        let mut reader = Reader::new(frame);
        (reader.int(), reader.long(), reader.int())
    };
    let header = header_of(&reply);
    let (Some(1), Some(_), Some(0)) = header else { panic!("create {folder}: {header:?}") };
    control.send(&Request::Raw { op: op::CLOSE_SESSION, body: Vec::new() }.frame(2, &place));
    let Received::Frame(reply) = control.receive() else { panic!("the session of {folder} does not end") };
    let header = header_of(&reply);
    let (Some(2), Some(zxid), Some(0)) = header else { panic!("end of the session: {header:?}") };
    zxid
}

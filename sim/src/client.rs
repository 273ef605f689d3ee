//! A client: one session at a time, on one connection at a time, with requests in flight.

use std::collections::VecDeque;
use std::sync::Arc;

use state::auth::{Identities, add_digest};
use state::read::Dialect;
use wire::frame::{self, Split};
use wire::jute::Reader;
use wire::opcode::Opcode;
use wire::record::{Auth, ConnectRequest, ConnectResponse, ReplyHeader, Request, RequestHeader};
use wire::xid;

use crate::checkers::Violation;
use crate::expected_watches::ExpectedWatches;
use crate::history::{Call, History, Received, Reply};
use crate::random::Random;
use crate::workload::{self, Operator};
use server::config::ServerId;

/// Longest frame a server may send.
const FRAME_BYTES_MAX: usize = 1 << 24;

/// Requests in flight at once.
const IN_FLIGHT_MAX: usize = 10;

/// What a client wants the network to do.
#[derive(Debug)]
pub enum Wish {
    /// A connection to this member.
    Connect(ServerId),
    /// These bytes sent.
    Send(Vec<u8>),
    /// The connection closed.
    Close,
    /// The connection left, and at once another one made for the same session.
    ComeBack {
        /// Whether the server hears of the end of the old one.
        closes: bool,
    },
}

/// A session, as its client knows it.
#[derive(Clone, Debug)]
struct Session {
    id: i64,
    passwd: Vec<u8>,
    timeout_us: u64,
    /// Only the server that it was begun on knows it, since that has no leader.
    local: bool,
}

/// A connection, as its client knows it.
#[derive(Debug)]
struct Connection {
    number: usize,
    member: ServerId,
    open: bool,
    read_only: bool,
    input: Vec<u8>,
    /// Calls without a reply, oldest first.
    in_flight: VecDeque<usize>,
    identities: Arc<Identities>,
    /// What the server has to take the client for.
    dialect: Dialect,
    heard_us: u64,
    sent_us: u64,
}

/// One client.
pub struct Client {
    number: usize,
    random: Random,
    members: ServerId,
    timeout_ms: i32,
    stubborn: bool,
    /// Whether it is content with a server that only reads.
    only_reads: bool,
    /// Whether it proves who it is.
    secret: Option<String>,
    /// It may change the members.
    operator: Option<Operator>,
    session: Option<Session>,
    connection: Option<Connection>,
    book: ExpectedWatches,
    zxid: i64,
    next_xid: i32,
    /// It says nothing until then.
    silent_until_us: u64,
    /// Its process is stopped until then.
    suspended_until_us: u64,
    retry_at_us: u64,
    /// Requests are only those that show whether it is served.
    calm: bool,
}

impl Client {
    /// A client that has not connected yet.
    pub fn new(number: usize, mut random: Random, members: ServerId, read_only_mode: bool) -> Client {
        let timeout_ms = *random.pick(&[1_000, 2_000, 4_000]);
        let only_reads = read_only_mode && random.percent(50);
        let secret = random.percent(40).then(|| format!("u{number}:p"));
        Client {
            number,
            random,
            members,
            timeout_ms,
            stubborn: false,
            only_reads,
            secret,
            operator: None,
            session: None,
            connection: None,
            book: ExpectedWatches::default(),
            zxid: 0,
            next_xid: 1,
            silent_until_us: 0,
            suspended_until_us: 0,
            retry_at_us: 0,
            calm: false,
        }
    }

    /// Lets it change the members.
    pub fn with_operator(self, operator: Operator) -> Client {
        Client {
            operator: Some(operator),
            secret: Some(workload::SUPER.to_owned()),
            only_reads: false,
            ..self
        }
    }

    /// From now on it only proves that it is served.
    pub fn calm_down(&mut self) {
        self.calm = true;
        (self.silent_until_us, self.suspended_until_us) = (0, 0);
    }

    /// Its process is stopped until then, in µs of the run.
    pub fn suspend(&mut self, until_us: u64) {
        self.suspended_until_us = until_us;
    }

    /// The connection it has.
    pub fn connection(&self) -> Option<usize> {
        self.connection.as_ref().map(|connection| connection.number)
    }

    /// With another timeout.
    pub fn with_timeout(self, timeout_ms: i32) -> Client {
        Client { timeout_ms, ..self }
    }

    /// It stays with a server that does not answer for longer than its session lives.
    pub fn stubborn(self) -> Client {
        Client { stubborn: true, ..self }
    }

    /// For which session it speaks on this connection, and whether that is open; none if nobody
    /// else knows of it.
    pub fn speaks_for(&self, connection: usize) -> Option<(i64, bool)> {
        let mine = self.connection.as_ref().filter(|mine| mine.number == connection && !mine.read_only)?;
        let session = self.session.as_ref().filter(|session| !session.local)?;
        Some((session.id, mine.open))
    }

    /// The session that it uses on this connection, unless it has asked to end it or nobody but
    /// that server knows it.
    pub fn relies_on(&self, number: usize, history: &History) -> Option<i64> {
        let connection = self.connection.as_ref().filter(|connection| connection.number == number)?;
        let is_close = |call: &usize| history.calls[*call].opcode == Opcode::CloseSession as i32;
        if !connection.open || connection.read_only || connection.in_flight.iter().any(is_close) {
            return None;
        }
        self.session.as_ref().map(|session| session.id)
    }

    /// Its turn to do something.
    pub fn turn(&mut self, now_us: u64, history: &mut History) -> Vec<Wish> {
        let mut wishes = Vec::new();
        if now_us < self.suspended_until_us {
            return wishes;
        }
        let Some(connection) = &self.connection else {
            if now_us >= self.retry_at_us && now_us >= self.silent_until_us {
                self.connect(now_us, None, history, &mut wishes);
            }
            return wishes;
        };
        let patience_us = self.session.as_ref().map_or(1_000_000, |session| session.timeout_us * 2 / 3);
        let leaves_after_us = if self.stubborn { 12 * patience_us } else { patience_us };
        if now_us.saturating_sub(connection.heard_us) > leaves_after_us {
            self.give_up(now_us, history);
            wishes.push(Wish::Close);
            return wishes;
        }
        if !connection.open && self.may_come_back() && self.random.percent(10) {
            return vec![Wish::ComeBack { closes: self.random.percent(50) }];
        }
        if !connection.open || now_us < self.silent_until_us {
            return wishes;
        }
        if !self.calm && self.random.percent(1) {
            return self.misbehave(now_us, history);
        }
        if self.calm && connection.read_only && self.random.percent(10) {
            // As ZooKeeper's client it looks for a server that takes writes.
            self.give_up(now_us, history);
            return vec![Wish::Close];
        }
        let room = IN_FLIGHT_MAX.saturating_sub(connection.in_flight.len());
        let wanted =
            if self.calm { usize::from(self.random.percent(10)) } else { self.random.below(4) as usize };
        let mut bytes = Vec::new();
        for _ in 0..room.min(wanted) {
            let data = format!("c{}x{}", self.number, self.next_xid);
            let (opcode, body) = self.choose(&data);
            self.ask(now_us, opcode, body, history, &mut bytes);
        }
        let quiet_us = self.connection.as_ref().map_or(0, |connection| now_us - connection.sent_us);
        if bytes.is_empty() && quiet_us > patience_us / 3 {
            self.request(now_us, xid::PING, Opcode::Ping as i32, Vec::new(), history, &mut bytes);
        }
        if !bytes.is_empty() {
            wishes.push(Wish::Send(bytes));
            if self.may_come_back() && self.random.percent(3) {
                wishes.push(Wish::ComeBack { closes: self.random.percent(50) });
            }
        }
        wishes
    }

    /// Whether it has a session that it could go on with over another connection.
    fn may_come_back(&self) -> bool {
        !self.calm && self.session.as_ref().is_some_and(|session| !session.local)
    }

    /// Leaves its connection with whatever is in flight, and goes on with its session over another
    /// one, as often as not at the same server.
    pub fn come_back(&mut self, now_us: u64, history: &mut History) -> Vec<Wish> {
        let last = self.connection.as_ref().map(|connection| connection.member);
        self.lost(now_us, history);
        let member = last.filter(|_| self.random.percent(60));
        let mut wishes = Vec::new();
        self.connect(now_us, member, history, &mut wishes);
        wishes
    }

    /// What to ask next.
    fn choose(&mut self, data: &str) -> workload::Asked {
        let Some(operator) = self.operator.filter(|_| !self.calm) else {
            return if self.calm { workload::proof(data) } else { workload::next(&mut self.random, data) };
        };
        match self.random.below(100) {
            0..6 => workload::reconfig(&mut self.random, operator),
            6..12 => workload::config(self.random.percent(50)),
            _ => workload::next(&mut self.random, data),
        }
    }

    /// Something clients do that their servers would rather they did not.
    fn misbehave(&mut self, now_us: u64, history: &mut History) -> Vec<Wish> {
        match self.random.below(8) {
            0..2 => {
                self.silent_until_us = now_us + self.random.below(2 * self.timeout_ms as u64 * 1000);
                Vec::new()
            }
            2..4 => {
                let mut bytes = Vec::new();
                self.ask(now_us, Opcode::CloseSession as i32, Vec::new(), history, &mut bytes);
                vec![Wish::Send(bytes)]
            }
            4 => {
                // It ends, and nobody comes back to its session.
                let number = self.connection().unwrap_or_default();
                self.give_up(now_us, history);
                if self.session.take().is_some() {
                    history.received.push((self.number, number, Received::Forgotten));
                    self.book = ExpectedWatches::default();
                }
                vec![Wish::Close]
            }
            _ => {
                self.give_up(now_us, history);
                vec![Wish::Close]
            }
        }
    }

    /// Whoever has a session looks at once what has become of it, but not before its watches are
    /// set again: it would miss events.
    fn look(&mut self, now_us: u64, history: &mut History, bytes: &mut Vec<u8>) {
        if self.may_come_back() {
            let (opcode, body) = workload::look();
            self.ask(now_us, opcode, body, history, bytes);
        }
    }

    /// Connects to this member, or to any.
    fn connect(
        &mut self,
        now_us: u64,
        member: Option<ServerId>,
        history: &mut History,
        wishes: &mut Vec<Wish>,
    ) {
        let any = self.random.between(1, u64::from(self.members)) as ServerId;
        let member = member.unwrap_or(any);
        let number = history.connections;
        history.connections += 1;
        self.connection = Some(Connection {
            number,
            member,
            open: false,
            read_only: false,
            input: Vec::new(),
            in_flight: VecDeque::new(),
            identities: Arc::new(Identities::from_ip("127.0.0.1")),
            dialect: Dialect::default(),
            heard_us: now_us,
            sent_us: now_us,
        });
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: self.zxid,
            timeout_ms: self.timeout_ms,
            session_id: self.session.as_ref().map_or(0, |session| session.id),
            passwd: self.session.as_ref().map_or(&[0; 16], |session| &session.passwd),
            read_only: Some(self.only_reads),
        };
        let mut bytes = Vec::new();
        let mark = frame::begin(&mut bytes);
        request.encode(&mut bytes);
        frame::finish(&mut bytes, mark);
        if self.book.is_empty() {
            self.look(now_us, history, &mut bytes);
        }
        wishes.extend([Wish::Connect(member), Wish::Send(bytes)]);
    }

    /// The connection ends by the client's wish.
    fn give_up(&mut self, now_us: u64, history: &mut History) {
        self.lost(now_us, history);
    }

    /// The connection has ended. What was in flight will not be answered.
    pub fn lost(&mut self, now_us: u64, history: &mut History) {
        if let Some(connection) = self.connection.take() {
            history.received.push((self.number, connection.number, Received::Closed));
            self.retry_at_us = now_us + self.random.below(100_000);
            if self.session.take_if(|session| session.local).is_some() {
                history.received.push((self.number, connection.number, Received::Forgotten));
                self.book = ExpectedWatches::default();
            }
        }
    }

    /// A request with a number of its own.
    fn ask(&mut self, now_us: u64, opcode: i32, body: Vec<u8>, history: &mut History, out: &mut Vec<u8>) {
        let xid = self.next_xid;
        self.next_xid += 1;
        self.request(now_us, xid, opcode, body, history, out);
    }

    fn request(
        &mut self,
        now_us: u64,
        xid: i32,
        opcode: i32,
        body: Vec<u8>,
        history: &mut History,
        out: &mut Vec<u8>,
    ) {
        let Some(connection) = &mut self.connection else { return };
        let Some(session) = &self.session else { return };
        let mark = frame::begin(out);
        RequestHeader { xid, opcode_raw: opcode }.encode(out);
        out.extend_from_slice(&body);
        frame::finish(out, mark);
        connection.sent_us = now_us;
        connection.dialect = connection.dialect.after(opcode, &body);
        connection.in_flight.push_back(history.calls.len());
        history.calls.push(Call {
            client: self.number,
            connection: connection.number,
            session: session.id,
            xid,
            opcode,
            body,
            identities: Arc::clone(&connection.identities),
            dialect: connection.dialect,
            at_us: now_us,
            acknowledged: history.acknowledged,
            read_only: connection.read_only,
            reply: None,
        });
    }

    /// Bytes have come.
    ///
    /// # Errors
    /// If they are not what the protocol promises.
    pub fn receive(
        &mut self,
        now_us: u64,
        bytes: &[u8],
        history: &mut History,
    ) -> Result<Vec<Wish>, Violation> {
        let mut wishes = Vec::new();
        if let Some(connection) = &mut self.connection {
            connection.heard_us = now_us;
            connection.input.extend_from_slice(bytes);
        }
        while let Some(connection) = &mut self.connection {
            match frame::split(&connection.input, FRAME_BYTES_MAX) {
                Split::Incomplete => break,
                Split::TooLong(length) => {
                    return Err(Violation::new("replies are frames", format!("one of {length} bytes")));
                }
                Split::Frame { start, end } => {
                    let payload = connection.input[start..end].to_vec();
                    connection.input.drain(..end);
                    if connection.open {
                        self.take_frame(now_us, &payload, history)?;
                    } else {
                        self.greeted(now_us, &payload, history, &mut wishes)?;
                    }
                }
            }
        }
        Ok(wishes)
    }

    fn greeted(
        &mut self,
        now_us: u64,
        payload: &[u8],
        history: &mut History,
        wishes: &mut Vec<Wish>,
    ) -> Result<(), Violation> {
        let response = ConnectResponse::decode(&mut Reader::new(payload))
            .map_err(|e| Violation::new("the handshake is answered", format!("{e}: {payload:?}")))?;
        let Some(connection) = &mut self.connection else { return Ok(()) };
        let (number, member) = (connection.number, connection.member);
        let before = self.session.as_ref().map_or(0, |session| session.id);
        if response.session_id == 0 {
            let refused = Received::Refused { session: before, at_us: now_us, member };
            history.received.push((self.number, number, refused));
            self.session = None;
            self.book = ExpectedWatches::default();
            self.lost(now_us, history);
            wishes.push(Wish::Close);
            return Ok(());
        }
        if before != 0 && response.session_id != before {
            let evidence = format!("{before:#x} was asked for, {:#x} came", response.session_id);
            return Err(Violation::new("a session is taken up, not replaced", evidence));
        }
        connection.open = true;
        connection.read_only = response.read_only == Some(true);
        for call in &connection.in_flight {
            history.calls[*call].read_only = connection.read_only;
        }
        if connection.read_only && !self.only_reads {
            let evidence = format!("client {} is on member {member}, which has no leader", self.number);
            return Err(Violation::new(
                "only those who are content with it are put on a server that only reads",
                evidence,
            ));
        }
        let local = connection.read_only && before == 0;
        self.session = Some(Session {
            id: response.session_id,
            passwd: response.passwd.to_vec(),
            timeout_us: response.timeout_ms as u64 * 1000,
            local,
        });
        history.received.push((self.number, number, Received::Opened { session: response.session_id }));
        let mut bytes = Vec::new();
        self.authenticate(now_us, history, &mut bytes);
        if !self.book.is_empty() {
            let (opcode, body) = self.book.set_watches(self.zxid);
            self.request(now_us, xid::SET_WATCHES, opcode as i32, body, history, &mut bytes);
            self.look(now_us, history, &mut bytes);
        }
        if !bytes.is_empty() {
            wishes.push(Wish::Send(bytes));
        }
        Ok(())
    }

    fn authenticate(&mut self, now_us: u64, history: &mut History, out: &mut Vec<u8>) {
        let Some(secret) = self.secret.clone() else { return };
        let auth = Auth { auth_type: 0, scheme: "digest", auth: Some(secret.as_bytes()) };
        let mut body = Vec::new();
        Request::Auth(auth).encode(&mut body);
        self.request(now_us, xid::AUTH, Opcode::Auth as i32, body, history, out);
        if let Some(connection) = &mut self.connection {
            let mut identities = (*connection.identities).clone();
            let is_accepted = add_digest(&mut identities, secret.as_bytes(), Some(workload::SUPER_DIGEST));
            assert!(is_accepted, "a name and a password");
            connection.identities = Arc::new(identities);
        }
    }

    fn take_frame(&mut self, now_us: u64, payload: &[u8], history: &mut History) -> Result<(), Violation> {
        let Some(connection) = &mut self.connection else { return Ok(()) };
        let mut input = Reader::new(payload);
        let header = ReplyHeader::decode(&mut input)
            .map_err(|e| Violation::new("replies have headers", format!("{e}: {payload:?}")))?;
        if header.xid == xid::NOTIFICATION {
            let event = wire::event::WatcherEvent::decode(&mut input)
                .map_err(|e| Violation::new("events can be read", format!("{e}: {payload:?}")))?;
            self.book.heard(event.event_type as i32, event.path, header.zxid);
            let event = Received::Event {
                zxid: header.zxid,
                kind: event.event_type as i32,
                path: event.path.to_owned(),
            };
            history.received.push((self.number, connection.number, event));
            return Ok(());
        }
        // The answer to an auth packet may overtake what is in flight, and so may one to a ping.
        let place = connection.in_flight.iter().position(|call| history.calls[*call].xid == header.xid);
        let overtakes = header.xid == xid::AUTH || header.xid == xid::PING;
        let call = match place {
            Some(0) => connection.in_flight.pop_front().expect("there is a first"),
            Some(place) if overtakes => connection.in_flight.remove(place).expect("it was just there"),
            _ => {
                let first = connection.in_flight.front().map(|call| history.calls[*call].xid);
                let evidence = format!("client {}: xid {} came, {first:?} is next", self.number, header.xid);
                return Err(Violation::new("replies come in the order of requests", evidence));
            }
        };
        if header.zxid > 0 {
            self.zxid = self.zxid.max(header.zxid);
        }
        self.note_reply(now_us, call, header, input.rest(), history);
        Ok(())
    }

    fn note_reply(
        &mut self,
        now_us: u64,
        call: usize,
        header: ReplyHeader,
        body: &[u8],
        history: &mut History,
    ) {
        let reply = Reply { at_us: now_us, zxid: header.zxid, err: header.err, body: body.to_vec() };
        let asked = &mut history.calls[call];
        self.book.replied(asked, &reply);
        asked.reply = Some(reply);
        let opcode = Opcode::from_i32(asked.opcode);
        let refused = header.err == wire::ErrorCode::SystemError as i32;
        if opcode.is_some_and(Opcode::is_write) && !refused && !asked.read_only {
            history.acknowledged = history.acknowledged.max(header.zxid);
        }
        history.received.push((self.number, asked.connection, Received::Reply { call }));
        if opcode == Some(Opcode::CloseSession) && header.err == 0 {
            self.session = None;
            self.book = ExpectedWatches::default();
        }
    }
}

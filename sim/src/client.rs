//! A client: one session at a time, on one connection at a time, with requests in flight.

use std::collections::VecDeque;
use std::sync::Arc;

use state::auth::{Identities, add_digest};
use state::password_hash::PasswordHash;
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
use server::simulation::GroupId;

/// Longest frame a server may send.
const FRAME_BYTES_MAX: usize = 1 << 24;

/// Most requests in flight at once.
const IN_FLIGHT_MAX: usize = 10;

/// What a client wants the network to do.
#[derive(Debug)]
pub enum Action {
    /// Connect to this member.
    Connect(ServerId),
    /// Send these bytes.
    Send(Vec<u8>),
    /// Close the connection.
    Close,
    /// Leave the connection, and at once connect again with the same session.
    Reconnect {
        /// Whether the server learns of the end of the old connection.
        closes: bool,
    },
}

/// A session, as its client knows it.
#[derive(Clone, Debug)]
struct Session {
    id: i64,
    passwd: Vec<u8>,
    timeout_us: u64,
    /// Whether only the server it was opened on knows it, since that server has no leader.
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
    /// The dialect the server must use for this client.
    dialect: Dialect,
    heard_us: u64,
    sent_us: u64,
}

/// One client.
pub struct Client {
    number: usize,
    group: GroupId,
    random: Random,
    members: ServerId,
    timeout_ms: i32,
    stubborn: bool,
    /// Whether it accepts a read-only server.
    only_reads: bool,
    /// Its credentials, if it authenticates.
    secret: Option<String>,
    /// Set if it changes the membership.
    operator: Option<Operator>,
    session: Option<Session>,
    connection: Option<Connection>,
    expected: ExpectedWatches,
    zxid: i64,
    next_xid: i32,
    /// It sends nothing until then.
    silent_until_us: u64,
    /// Its process is stopped until then.
    suspended_until_us: u64,
    retry_at_us: u64,
    /// Whether it only makes requests that prove it is served.
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
            group: GroupId::ROOT,
            random,
            members,
            timeout_ms,
            stubborn: false,
            only_reads,
            secret,
            operator: None,
            session: None,
            connection: None,
            expected: ExpectedWatches::default(),
            zxid: 0,
            next_xid: 1,
            silent_until_us: 0,
            suspended_until_us: 0,
            retry_at_us: 0,
            calm: false,
        }
    }

    /// Lets it change the membership.
    pub fn with_operator(self, operator: Operator) -> Client {
        Client {
            operator: Some(operator),
            secret: Some(workload::SUPER.to_owned()),
            only_reads: false,
            ..self
        }
    }

    /// From now on it only proves that it is served.
    pub fn on_faults_ended(&mut self) {
        self.calm = true;
        (self.silent_until_us, self.suspended_until_us) = (0, 0);
    }

    /// Its process is stopped until then, in µs of the run.
    pub fn suspend(&mut self, until_us: u64) {
        self.suspended_until_us = until_us;
    }

    /// Makes it use that group.
    pub fn use_group(&mut self, group: GroupId) {
        self.group = group;
    }

    /// The group it uses.
    pub fn group(&self) -> GroupId {
        self.group
    }

    /// Its current connection.
    pub fn connection(&self) -> Option<usize> {
        self.connection.as_ref().map(|connection| connection.number)
    }

    /// Sets another session timeout.
    pub fn with_timeout(self, timeout_ms: i32) -> Client {
        Client { timeout_ms, ..self }
    }

    /// Makes it stay with a server that does not reply for longer than its session lives.
    pub fn stubborn(self) -> Client {
        Client { stubborn: true, ..self }
    }

    /// The session it uses or requests on this connection, and whether it has the session already;
    /// `None` if only this server knows it.
    pub fn session_on(&self, connection: usize) -> Option<(i64, bool)> {
        let mine = self.connection.as_ref().filter(|mine| mine.number == connection && !mine.read_only)?;
        let session = self.session.as_ref().filter(|session| !session.local)?;
        Some((session.id, mine.open))
    }

    /// The session it uses on this connection; `None` if it has asked to end it or only this server
    /// knows it.
    pub fn used_session(&self, number: usize, history: &History) -> Option<i64> {
        let connection = self.connection.as_ref().filter(|connection| connection.number == number)?;
        let is_close = |call: &usize| history.calls[*call].opcode == Opcode::CloseSession as i32;
        if !connection.open || connection.read_only || connection.in_flight.iter().any(is_close) {
            return None;
        }
        self.session.as_ref().map(|session| session.id)
    }

    /// Takes its turn.
    pub fn turn(&mut self, now_us: u64, history: &mut History) -> Vec<Action> {
        let mut actions = Vec::new();
        if now_us < self.suspended_until_us {
            return actions;
        }
        let Some(connection) = &self.connection else {
            if now_us >= self.retry_at_us && now_us >= self.silent_until_us {
                self.connect(now_us, None, history, &mut actions);
            }
            return actions;
        };
        let patience_us = self.session.as_ref().map_or(1_000_000, |session| session.timeout_us * 2 / 3);
        let leaves_after_us = if self.stubborn { 12 * patience_us } else { patience_us };
        if now_us.saturating_sub(connection.heard_us) > leaves_after_us {
            self.give_up(now_us, history);
            actions.push(Action::Close);
            return actions;
        }
        if !connection.open && self.may_reconnect() && self.random.percent(10) {
            return vec![Action::Reconnect { closes: self.random.percent(50) }];
        }
        if !connection.open || now_us < self.silent_until_us {
            return actions;
        }
        if !self.calm && self.random.percent(1) {
            return self.misbehave(now_us, history);
        }
        if self.calm && connection.read_only && self.random.percent(10) {
            // Like ZooKeeper's client, it looks for a read-write server.
            self.give_up(now_us, history);
            return vec![Action::Close];
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
            actions.push(Action::Send(bytes));
            if self.may_reconnect() && self.random.percent(3) {
                actions.push(Action::Reconnect { closes: self.random.percent(50) });
            }
        }
        actions
    }

    /// Whether it has a session that it could continue on another connection.
    fn may_reconnect(&self) -> bool {
        !self.calm && self.session.as_ref().is_some_and(|session| !session.local)
    }

    /// Leaves its connection with requests in flight, and continues its session on another one,
    /// often at the same server.
    pub fn reconnect(&mut self, now_us: u64, history: &mut History) -> Vec<Action> {
        let last = self.connection.as_ref().map(|connection| connection.member);
        self.lost(now_us, history);
        let member = last.filter(|_| self.random.percent(60));
        let mut actions = Vec::new();
        self.connect(now_us, member, history, &mut actions);
        actions
    }

    /// Chooses the next request.
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

    /// Does something a well-behaved client does not do.
    fn misbehave(&mut self, now_us: u64, history: &mut History) -> Vec<Action> {
        match self.random.below(8) {
            0..2 => {
                self.silent_until_us = now_us + self.random.below(2 * self.timeout_ms as u64 * 1000);
                Vec::new()
            }
            2..4 => {
                let mut bytes = Vec::new();
                self.ask(now_us, Opcode::CloseSession as i32, Vec::new(), history, &mut bytes);
                vec![Action::Send(bytes)]
            }
            4 => {
                // The client exits and abandons its session.
                let number = self.connection().unwrap_or_default();
                self.give_up(now_us, history);
                if self.session.take().is_some() {
                    history.received.push((self.number, number, Received::Forgotten));
                    self.expected = ExpectedWatches::default();
                }
                vec![Action::Close]
            }
            _ => {
                self.give_up(now_us, history);
                vec![Action::Close]
            }
        }
    }

    /// Checks a resumed session at once, but not before its watches are set again: it would miss
    /// events.
    fn check_session(&mut self, now_us: u64, history: &mut History, bytes: &mut Vec<u8>) {
        if self.may_reconnect() {
            let (opcode, body) = workload::read_root();
            self.ask(now_us, opcode, body, history, bytes);
        }
    }

    /// Connects to this member, or to any.
    fn connect(
        &mut self,
        now_us: u64,
        member: Option<ServerId>,
        history: &mut History,
        actions: &mut Vec<Action>,
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
        if self.expected.is_empty() {
            self.check_session(now_us, history, &mut bytes);
        }
        actions.extend([Action::Connect(member), Action::Send(bytes)]);
    }

    /// The client ends the connection.
    fn give_up(&mut self, now_us: u64, history: &mut History) {
        self.lost(now_us, history);
    }

    /// The connection has ended. Requests in flight get no reply.
    pub fn lost(&mut self, now_us: u64, history: &mut History) {
        if let Some(connection) = self.connection.take() {
            history.received.push((self.number, connection.number, Received::Closed));
            self.retry_at_us = now_us + self.random.below(100_000);
            if self.session.take_if(|session| session.local).is_some() {
                history.received.push((self.number, connection.number, Received::Forgotten));
                self.expected = ExpectedWatches::default();
            }
        }
    }

    /// A request with the next xid.
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

    /// Bytes have arrived.
    ///
    /// # Errors
    /// If they violate the protocol.
    pub fn receive(
        &mut self,
        now_us: u64,
        bytes: &[u8],
        history: &mut History,
    ) -> Result<Vec<Action>, Violation> {
        let mut actions = Vec::new();
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
                        self.on_frame(now_us, &payload, history)?;
                    } else {
                        self.on_handshake(now_us, &payload, history, &mut actions)?;
                    }
                }
            }
        }
        Ok(actions)
    }

    fn on_handshake(
        &mut self,
        now_us: u64,
        payload: &[u8],
        history: &mut History,
        actions: &mut Vec<Action>,
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
            self.expected = ExpectedWatches::default();
            self.lost(now_us, history);
            actions.push(Action::Close);
            return Ok(());
        }
        if before != 0 && response.session_id != before {
            let evidence = format!("{before:#x} was requested, {:#x} was granted", response.session_id);
            return Err(Violation::new("a session is resumed, not replaced", evidence));
        }
        connection.open = true;
        connection.read_only = response.read_only == Some(true);
        for call in &connection.in_flight {
            history.calls[*call].read_only = connection.read_only;
        }
        if connection.read_only && !self.only_reads {
            let evidence = format!("client {} is on member {member}, which has no leader", self.number);
            return Err(Violation::new(
                "only clients that accept a read-only server are connected to one",
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
        if !self.expected.is_empty() {
            let (opcode, body) = self.expected.set_watches(self.zxid);
            self.request(now_us, xid::SET_WATCHES, opcode as i32, body, history, &mut bytes);
            self.check_session(now_us, history, &mut bytes);
        }
        if !bytes.is_empty() {
            actions.push(Action::Send(bytes));
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
            let is_accepted = add_digest(
                &mut identities,
                secret.as_bytes(),
                PasswordHash::Sha1,
                Some(workload::SUPER_DIGEST),
            );
            assert!(is_accepted, "valid credentials");
            connection.identities = Arc::new(identities);
        }
    }

    fn on_frame(&mut self, now_us: u64, payload: &[u8], history: &mut History) -> Result<(), Violation> {
        let Some(connection) = &mut self.connection else { return Ok(()) };
        let mut input = Reader::new(payload);
        let header = ReplyHeader::decode(&mut input)
            .map_err(|e| Violation::new("replies have headers", format!("{e}: {payload:?}")))?;
        if header.xid == xid::NOTIFICATION {
            let event = wire::event::WatcherEvent::decode(&mut input)
                .map_err(|e| Violation::new("events decode", format!("{e}: {payload:?}")))?;
            self.expected.on_event(event.event_type as i32, event.path, header.zxid);
            let event = Received::Event {
                zxid: header.zxid,
                kind: event.event_type as i32,
                path: event.path.to_owned(),
            };
            history.received.push((self.number, connection.number, event));
            return Ok(());
        }
        // The replies to an auth packet and to a ping may overtake requests in flight.
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
        self.on_reply_to(now_us, call, header, input.rest(), history);
        Ok(())
    }

    fn on_reply_to(
        &mut self,
        now_us: u64,
        call: usize,
        header: ReplyHeader,
        body: &[u8],
        history: &mut History,
    ) {
        let reply = Reply { at_us: now_us, zxid: header.zxid, err: header.err, body: body.to_vec() };
        let asked = &mut history.calls[call];
        self.expected.on_reply(asked, &reply);
        asked.reply = Some(reply);
        let opcode = Opcode::from_i32(asked.opcode);
        let refused = header.err == wire::ErrorCode::SystemError as i32;
        if opcode.is_some_and(Opcode::is_write) && !refused && !asked.read_only {
            history.acknowledged = history.acknowledged.max(header.zxid);
        }
        history.received.push((self.number, asked.connection, Received::Reply { call }));
        if opcode == Some(Opcode::CloseSession) && header.err == 0 {
            self.session = None;
            self.expected = ExpectedWatches::default();
        }
    }
}

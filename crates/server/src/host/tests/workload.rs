//! The requests that the clients of the simulated server send, generated from a seed.

use state::command::SessionTerms;
use wire::acl::{Acl, encode_list, perms};
use wire::jute::Put as _;
use wire::opcode::Opcode;

use super::model::Op;

const EPHEMERAL: i32 = 1;
const SEQUENTIAL: i32 = 2;
const CONTAINER: i32 = 4;

/// Most requests in one wake-up of a connection thread.
const BATCH_MAX: u64 = 5;

/// Clients that remember their sessions but no answers: some of their requests are refused, which
/// takes a zxid too.
#[derive(Clone)]
pub(super) struct Workload {
    random: u64,
    cxid: i32,
    sessions: Vec<i64>,
    /// Sessions requested in the present batch: a client writes only once it has been told that it
    /// has a session.
    asked_for: Vec<i64>,
    next_session: i64,
}

impl Workload {
    pub(super) fn new(seed: u64) -> Workload {
        Workload {
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            cxid: 0,
            sessions: Vec::new(),
            asked_for: Vec::new(),
            next_session: 0x100,
        }
    }

    /// A random number below `limit`.
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % limit
    }

    /// The next requests of clients whose sessions `is_living`. A session's end comes last, since
    /// the server answers no request after it.
    pub(super) fn batch(&mut self, is_living: impl Fn(i64) -> bool) -> Vec<Op> {
        self.sessions.append(&mut self.asked_for);
        self.sessions.retain(|session| is_living(*session));
        let mut batch = Vec::new();
        for _ in 0..=self.below(BATCH_MAX) {
            let op = self.op();
            let is_last = op.opcode == Opcode::CloseSession as i32;
            batch.push(op);
            if is_last {
                break;
            }
        }
        batch
    }

    fn op(&mut self) -> Op {
        self.cxid += 1;
        let cxid = self.cxid;
        if self.sessions.is_empty() || self.below(12) == 0 {
            return self.open_session();
        }
        let at = self.below(self.sessions.len() as u64) as usize;
        let session = self.sessions[at];
        if self.sessions.len() > 2 && self.below(10) == 0 {
            self.sessions.remove(at);
            return Op { session, cxid, opcode: Opcode::CloseSession as i32, body: Vec::new() };
        }
        let (opcode, body) = self.write(session);
        Op { session, cxid, opcode: opcode as i32, body }
    }

    fn open_session(&mut self) -> Op {
        let session = self.next_session;
        self.next_session += 1;
        self.asked_for.push(session);
        let mut body = Vec::new();
        SessionTerms { timeout_ms: 600_000 + session as i32, home: super::SERVER }.put(&mut body);
        Op { session, cxid: 0, opcode: Opcode::CreateSession as i32, body }
    }

    fn write(&mut self, session: i64) -> (Opcode, Vec<u8>) {
        let (a, b) = (self.below(6), self.below(4));
        match self.below(12) {
            0..=2 => (Opcode::Create, self.create(&format!("/n{a}"), 0)),
            3 => (Opcode::Create2, self.create(&format!("/n{a}/c{b}"), 0)),
            4 => (Opcode::Create, self.create(&format!("/n{a}/s-"), SEQUENTIAL)),
            5 => (Opcode::Create, self.create(&format!("/n{a}/e-{session:x}-"), SEQUENTIAL | EPHEMERAL)),
            6 => (Opcode::CreateContainer, self.create(&format!("/k{b}"), CONTAINER)),
            7 => (Opcode::Delete, versioned(&format!("/n{a}/c{b}"))),
            8 => (Opcode::Delete, versioned(&format!("/n{a}"))),
            9 | 10 => (Opcode::SetData, self.set_data(&format!("/n{a}"))),
            _ => (Opcode::Multi, self.multi(a, b)),
        }
    }

    /// A multi that is done completely or not at all, and not at all whenever the znode it creates
    /// exists.
    fn multi(&mut self, a: u64, b: u64) -> Vec<u8> {
        let parts = [
            (Opcode::SetData, self.set_data(&format!("/n{a}"))),
            (Opcode::Create, self.create(&format!("/n{a}/m{b}"), 0)),
            (Opcode::Create, self.create(&format!("/n{a}/m{b}/s-"), SEQUENTIAL)),
            (Opcode::Check, versioned(&format!("/n{a}"))),
        ];
        let mut body = Vec::new();
        for (opcode, part) in parts {
            multi_header(opcode as i32, false, &mut body);
            body.extend(part);
        }
        multi_header(-1, true, &mut body);
        body
    }

    fn create(&mut self, path: &str, flags: i32) -> Vec<u8> {
        let mut body = Vec::new();
        body.put_str(path);
        body.put_buffer(Some(&self.data()));
        encode_list(&[Acl::new(perms::ALL, "world", "anyone")], &mut body);
        body.put_i32(flags);
        body
    }

    fn set_data(&mut self, path: &str) -> Vec<u8> {
        let mut body = Vec::new();
        body.put_str(path);
        body.put_buffer(Some(&self.data()));
        body.put_i32(-1);
        body
    }

    /// Mostly small, sometimes longer than a segment of the log.
    fn data(&mut self) -> Vec<u8> {
        let len = if self.below(40) == 0 { 6000 } else { self.below(120) };
        let byte = self.below(256) as u8;
        vec![byte; len as usize]
    }
}

fn versioned(path: &str) -> Vec<u8> {
    let mut body = Vec::new();
    body.put_str(path);
    body.put_i32(-1);
    body
}

fn multi_header(opcode: i32, done: bool, out: &mut Vec<u8>) {
    out.put_i32(opcode);
    out.put_bool(done);
    out.put_i32(-1);
}

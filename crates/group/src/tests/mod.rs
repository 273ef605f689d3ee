//! Groups of replicas with real engines, in which nothing happens but what a test lets happen.

mod forwarding;
mod leader_change;
mod refusals;

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use consensus::engine::{Engine, Ready, Settings as EngineSettings, Start};
use consensus::entry::MemberId;
use consensus::membership::SnapshotMeta;
use consensus::paxos::PaxosEngine;
use consensus::raft::RaftEngine;
use state::change::{Change, ChangeSink};
use state::command::{Command, Features, SessionTerms};
use state::machine::{Applied, Machine};
use state::members::ServerId;
use wire::ErrorCode;
use wire::acl::Acl;
use wire::jute::Put as _;
use wire::opcode::Opcode;

use crate::id::GroupId;
use crate::message::{GroupMessage, PeerMessage};
use crate::replica::{Replica, Settings};
use crate::reply_sink::{LocalRequest, ReplySink, RequestId, Token};
use crate::submission::Submission;

const GROUP: GroupId = GroupId(0);
const OPEN_ACL: i32 = 31;
const SEQUENTIAL: i32 = 2;

/// Makes an engine.
type NewEngine = fn(EngineSettings, Start) -> Box<dyn Engine>;

/// Both of them, by name.
const ENGINES: [(&str, NewEngine); 2] = [
    ("raft", |settings, start| Box::new(RaftEngine::new(settings, start))),
    ("paxos", |settings, start| Box::new(PaxosEngine::new(settings, start))),
];

/// What clients of one server, and its state, have seen.
#[derive(Default)]
struct Seen {
    /// Connection, xid and code of each reply.
    replies: Vec<(u64, i32, i32)>,
    /// Connections that were closed because nobody knows what becomes of their requests.
    lost: Vec<u64>,
    /// Paths of new nodes in the order of the log, without their sequence numbers.
    created: Vec<String>,
    abandoned: usize,
}

impl ChangeSink for Seen {
    fn change(&mut self, change: &Change<'_>) {
        let name = change.path.len() - 10;
        self.created.push(change.path[..name].to_owned());
    }
}

impl ReplySink for Seen {
    fn reply(&mut self, id: RequestId, command: &Command<'_>, applied: &Applied, _: &[u8]) {
        self.replies.push((id.token.0, command.cxid, applied.code as i32));
    }

    fn local(&mut self, _: &Machine, id: RequestId, _: i64, request: &LocalRequest) {
        self.replies.push((id.token.0, request.xid, 0));
    }

    fn refused(&mut self, _: &Machine, id: RequestId, xid: i32, _: i32) {
        self.replies.push((id.token.0, xid, -1));
    }

    fn session_opened(&mut self, _: &Machine, _: i64, token: Option<Token>) {
        self.replies.extend(token.map(|token| (token.0, 0, 0)));
    }

    fn session_moved(&mut self, _: &Machine, _: i64, owner: Option<Token>) {
        self.replies.extend(owner.map(|token| (token.0, 0, 0)));
    }

    fn session_resumed(&mut self, _: &Machine, _: i64, owner: Token) -> bool {
        self.replies.push((owner.0, 0, 0));
        true
    }

    fn session_refused(&mut self, token: Token, code: ErrorCode) {
        self.replies.push((token.0, 0, code as i32));
    }

    fn lost(&mut self, token: Token) {
        self.lost.push(token.0);
    }

    fn session_closed(&mut self, _: i64, _: Option<(RequestId, i32)>, _: &Applied) {}

    fn abandoned(&mut self, requests: usize) {
        self.abandoned += requests;
    }
}

struct Node {
    replica: Replica,
    machine: Machine,
    seen: Seen,
}

/// Three members. Messages arrive in order on each way; ways can be closed, which loses what is on
/// them.
struct Group {
    nodes: BTreeMap<ServerId, Node>,
    on_way: VecDeque<(ServerId, ServerId, GroupMessage)>,
    closed: Vec<(ServerId, ServerId)>,
    /// Messages to replicas that are kept back, for the test to deliver when it likes.
    keeps: fn(&GroupMessage) -> bool,
    kept: Vec<(ServerId, ServerId, GroupMessage)>,
}

impl Group {
    fn new(engine: NewEngine) -> Group {
        Group::with(engine, Features::NONE)
    }

    fn with(engine: NewEngine, features: Features) -> Group {
        let voters = [1, 2, 3].map(MemberId);
        let node = |id: ServerId| {
            let member = MemberId(id.into());
            let settings = EngineSettings::new(GROUP.0, member, id.into(), 7);
            let replica = Replica::new(
                engine(settings, Start::bootstrap(&voters)),
                Settings {
                    member,
                    boot: 1,
                    features,
                    entry_bytes_max: 1 << 20,
                    linearizable_reads: false,
                    may_lose_lead: true,
                },
                SnapshotMeta::bootstrap(&voters).position.index,
            );
            let (machine, seen) = (Machine::new(1), Seen::default());
            (id, Node { replica, machine, seen })
        };
        Group {
            nodes: [1, 2, 3].map(node).into(),
            on_way: VecDeque::new(),
            closed: Vec::new(),
            keeps: |_| false,
            kept: Vec::new(),
        }
    }

    fn node(&mut self, id: ServerId) -> &mut Node {
        self.nodes.get_mut(&id).expect("the member lives")
    }

    fn created(&mut self, id: ServerId) -> Vec<String> {
        self.node(id).seen.created.clone()
    }

    /// A client of that server asks for something.
    fn submit(&mut self, id: ServerId, connection: u64, session: i64, xid: i32, opcode: Opcode) {
        let mut body = Vec::new();
        match opcode {
            Opcode::CreateSession => SessionTerms { timeout_ms: 10_000, home: id }.put(&mut body),
            _ => {
                body.put_str(&format!("/{session}-{xid}-"));
                body.put_buffer(None);
                wire::acl::encode_list(&[Acl::new(OPEN_ACL, "world", "anyone")], &mut body);
                body.put_i32(SEQUENTIAL);
            }
        }
        let command = Command { session, cxid: xid, opcode: opcode as i32, identities: &[], body: &body };
        let mut submission = Submission::default();
        submission.command(request_of(connection), &command);
        self.take_in(id, &mut submission);
    }

    fn take_in(&mut self, id: ServerId, submission: &mut Submission) {
        let node = self.node(id);
        node.replica.submit(0, &node.machine, submission);
        self.turn(id);
    }

    /// The session goes on at that server.
    fn resume(&mut self, id: ServerId, connection: u64, session: i64) {
        let mut submission = Submission::default();
        submission.resume(request_of(connection), session, 10_000);
        self.take_in(id, &mut submission);
    }

    /// Does everything there is to do on one member.
    fn turn(&mut self, id: ServerId) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let mut ready = Ready::default();
        let mut sent = Vec::new();
        node.replica.go_on(0, &node.machine);
        if node.replica.leads() {
            node.replica.propose();
        }
        while node.replica.ready(&mut ready) {
            for message in ready.messages.drain(..) {
                let engine = GroupMessage::Engine { from: node.replica.member(), bytes: message.bytes };
                sent.push((crate::replica::server_of(message.to), engine));
            }
            node.replica.persisted(ready.number);
            while node.replica.has_work() {
                node.replica.apply(0, &mut node.machine, &mut node.seen, 1);
            }
        }
        sent.extend(node.replica.take_outgoing());
        for (to, message) in sent {
            if (self.keeps)(&message) {
                self.kept.push((id, to, message));
            } else if !self.closed.contains(&(id, to)) {
                self.on_way.push_back((id, to, message));
            }
        }
    }

    fn deliver(&mut self, from: ServerId, to: ServerId, message: GroupMessage) {
        if self.closed.contains(&(from, to)) {
            return;
        }
        let Some(node) = self.nodes.get_mut(&to) else { return };
        // As bytes, as between processes.
        let mut frame = Vec::new();
        PeerMessage::Group(GROUP, message).put(&mut frame);
        let read = PeerMessage::read(Bytes::from(frame)).expect("what a member sends can be read");
        let PeerMessage::Group(GROUP, message) = read else { panic!("a message of the group") };
        match message {
            GroupMessage::Engine { from, bytes } => {
                node.replica.step(from, bytes).expect("members understand each other");
            }
            message => node.replica.receive(0, &node.machine, from, message),
        }
        self.turn(to);
    }

    /// Delivers until nothing is on its way.
    fn settle(&mut self) {
        while let Some((from, to, message)) = self.on_way.pop_front() {
            self.deliver(from, to, message);
        }
    }

    fn tick(&mut self) {
        for id in [1, 2, 3] {
            if let Some(node) = self.nodes.get_mut(&id) {
                node.replica.tick();
            }
            self.turn(id);
        }
        self.settle();
    }

    fn leader(&mut self) -> Option<ServerId> {
        let leads =
            |(id, node): (&ServerId, &Node)| node.replica.leads().then_some((node.replica.role().term, *id));
        self.nodes.iter().filter_map(leads).max().map(|(_, id)| id)
    }

    /// Lets time go by until there is a leader other than `not`, and its followers know it; says
    /// who.
    fn elect(&mut self, not: Option<ServerId>) -> ServerId {
        for _ in 0..2_000 {
            self.tick();
            if let Some(leader) = self.leader().filter(|leader| Some(*leader) != not) {
                (0..50).for_each(|_| self.tick());
                return leader;
            }
        }
        panic!("nobody came to lead");
    }

    /// Has this member win the next election: no member hears from a leader for long, then
    /// it stands first.
    fn elect_this(&mut self, id: ServerId) {
        let ways = std::mem::take(&mut self.closed);
        self.closed = [1, 2, 3].into_iter().flat_map(|from| [1, 2, 3].map(|to| (from, to))).collect();
        (0..100).for_each(|_| self.tick());
        self.closed = ways;
        self.node(id).replica.campaign();
        self.turn(id);
        self.settle();
        assert_eq!(self.leader(), Some(id), "it stood first");
        (0..50).for_each(|_| self.tick());
    }

    /// Closes or opens both ways between a member and the others. What is on them is lost.
    fn isolate(&mut self, id: ServerId, is_closed: bool) {
        self.closed.retain(|(from, to)| *from != id && *to != id);
        if is_closed {
            let others = [1, 2, 3].into_iter().filter(|other| *other != id);
            self.closed.extend(others.flat_map(|other| [(id, other), (other, id)]));
            self.on_way.retain(|(from, to, _)| *from != id && *to != id);
        }
    }

    fn kill(&mut self, id: ServerId) {
        self.nodes.remove(&id);
        self.on_way.retain(|(from, to, _)| *from != id && *to != id);
    }

    /// Opens one session for each of these connections of that server, with the same number.
    fn open(&mut self, id: ServerId, connections: &[u64]) {
        self.node(id).seen.replies.clear();
        for connection in connections {
            self.submit(id, *connection, *connection as i64, 0, Opcode::CreateSession);
        }
        self.settle();
        let node = self.node(id);
        assert_eq!(node.seen.replies.len(), connections.len(), "all sessions are there");
        node.seen.replies.clear();
    }
}

/// A request of that connection.
fn request_of(connection: u64) -> RequestId {
    RequestId { token: Token(connection), number: 0 }
}

/// Two that follow this leader.
fn followers(leader: ServerId) -> [ServerId; 2] {
    match leader {
        1 => [2, 3],
        2 => [1, 3],
        _ => [1, 2],
    }
}

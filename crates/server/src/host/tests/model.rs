//! A model of the state: a machine that never saw a disk applies the same commands, and the two are
//! compared by what a client can read.

use std::collections::BTreeMap;
use std::sync::Arc;

use group::Token;
use state::auth::Identities;
use state::change::Ignore;
use state::command::{BatchHeader, CLUSTER_KEY_BYTES, Command, INITIALIZE};
use state::machine::Machine;
use wire::jute::{Put as _, Reader};
use wire::opcode::Opcode;
use wire::record::GetChildrenReply;

use super::Told;
use crate::client::answer::{self, Asker};
use crate::shared::{Shared, features};

/// One request as a client knows it.
#[derive(Clone, Debug)]
pub(super) struct Op {
    pub(super) session: i64,
    pub(super) cxid: i32,
    pub(super) opcode: i32,
    pub(super) body: Vec<u8>,
}

/// One entry of the log.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    Leadership,
    Batch(Arc<Vec<Op>>),
}

/// The entries of a log, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct History(Vec<Entry>);

impl History {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn push(&mut self, entry: Entry) {
        self.0.push(entry);
    }

    pub(super) fn prefix(&self, len: usize) -> History {
        History(self.0[..len].to_vec())
    }

    /// The history with one more leadership begun.
    pub(super) fn led(&self) -> History {
        let mut led = self.clone();
        led.push(Entry::Leadership);
        led
    }

    /// The history with the cluster's secret, if it has none yet.
    pub(super) fn initialized(&self) -> History {
        let is_secret = |entry: &Entry| matches!(entry, Entry::Batch(ops) if ops[0].opcode == INITIALIZE);
        let mut history = self.clone();
        if !self.0.iter().any(is_secret) {
            let body = vec![0; CLUSTER_KEY_BYTES];
            history.push(Entry::Batch(Arc::new(vec![Op { session: 0, cxid: 0, opcode: INITIALIZE, body }])));
        }
        history
    }
}

/// A machine that has applied a history.
pub(super) struct Replay {
    pub(super) machine: Machine,
    header: BatchHeader,
}

impl Replay {
    pub(super) fn of(history: &History) -> Replay {
        let config = super::World::new(0).config;
        let header = BatchHeader { time_ms: 0, zxid_floor: 0, features: features(&config.requests) };
        let mut replay = Replay { machine: Machine::new(7), header };
        for entry in &history.0 {
            match entry {
                Entry::Leadership => replay.machine.begin_leadership(),
                Entry::Batch(ops) => {
                    replay.apply(ops);
                }
            }
        }
        replay
    }

    /// Applies a batch and returns what its clients must receive.
    pub(super) fn apply(&mut self, batch: &[Op]) -> Vec<Told> {
        let mut told = Vec::new();
        for op in batch {
            let Op { session, cxid, opcode, body } = op;
            let command = Command { session: *session, cxid: *cxid, opcode: *opcode, identities: &[], body };
            let applied = self.machine.apply(&self.header, &command, &mut Vec::new(), &mut Ignore);
            told.push(if *opcode == Opcode::CreateSession as i32 {
                Told::Session(*session)
            } else {
                Told::Reply { xid: *cxid, zxid: applied.zxid, code: applied.code as i32 }
            });
        }
        told
    }
}

/// Everything that clients can read of a state, except wall-clock times.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Picture {
    zxid: i64,
    /// Session id, timeout, paths of its ephemerals.
    sessions: Vec<(i64, i32, Vec<String>)>,
    /// Bodies of the replies to `getData`, for the znodes whose data can be read.
    nodes: BTreeMap<String, Vec<u8>>,
}

impl Picture {
    pub(super) fn of(shared: &Shared, machine: &Machine) -> Picture {
        let mut nodes = BTreeMap::new();
        let mut paths = vec!["/".to_owned()];
        while let Some(path) = paths.pop() {
            let children = read(shared, machine, Opcode::GetChildren, &path);
            let children = GetChildrenReply::decode(&mut Reader::new(&children)).expect("names");
            let prefix = if path == "/" { "" } else { &path };
            paths.extend(children.children.iter().map(|name| format!("{prefix}/{name}")));
            nodes.insert(path.clone(), without_times(read(shared, machine, Opcode::GetData, &path)));
        }
        let session = |s: state::session::Session| {
            let mut paths = Vec::new();
            machine.ephemerals_from(s.id, None, usize::MAX, &mut |path| paths.push(path.to_owned()));
            (s.id, s.timeout_ms, paths)
        };
        Picture { zxid: machine.last_zxid(), sessions: machine.sessions().map(session).collect(), nodes }
    }
}

fn read(shared: &Shared, machine: &Machine, opcode: Opcode, path: &str) -> Vec<u8> {
    let identities = Arc::new(Identities::new());
    let asker = Asker {
        namespace: shared.root(),
        token: Token(0),
        session: 1,
        identities: &identities,
        dialect: Default::default(),
    };
    let mut body = Vec::new();
    body.put_str(path);
    body.put_bool(false);
    let mut out = Vec::new();
    answer::answer(shared, machine, &asker, 0, opcode as i32, &body, &mut out);
    // What follows the frame's length and the header.
    out.split_off(20)
}

/// Blanks `ctime` and `mtime` of the `Stat` at the end of a reply.
fn without_times(mut reply: Vec<u8>) -> Vec<u8> {
    let stat = reply.len() - wire::stat::Stat::ENCODED_LEN;
    reply[stat + 16..stat + 32].fill(0);
    reply
}

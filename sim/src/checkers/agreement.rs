//! One committed log, and one state at each index.
//!
//! The first member to commit an entry decides what the entry is; every other member must commit
//! the same. The entries are applied to a reference state machine without disk or network, and no
//! member may have another state than it at the same index.

use std::collections::BTreeMap;
use std::fmt;

use consensus::entry::{Entry, EntryKind};
use consensus::membership::MembershipChange;
use state::change::{Change, ChangeKind, ChangeSink};
use state::command::{BatchHeader, commands};
use state::machine::Machine;

use super::Violation;
use server::config::ServerId;

/// A command of the committed log with its result.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Index of its entry.
    pub index: u64,
    /// The session it belongs to.
    pub session: i64,
    /// Its xid.
    pub cxid: i32,
    /// The operation.
    pub opcode: i32,
    /// The encoded record.
    pub body: Vec<u8>,
    /// Its zxid.
    pub zxid: i64,
    /// Its error code.
    pub code: i32,
    /// Body of the reply.
    pub reply: Vec<u8>,
    /// The leader's wall clock in the entry.
    pub time_ms: i64,
    /// When the first member committed it, in µs of the run.
    pub committed_us: u64,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Outcome { index, session, cxid, opcode, zxid, code, .. } = self;
        write!(f, "{zxid:#x} in entry {index}: session {session:#x} xid {cxid} operation {opcode}: {code}")
    }
}

/// One change of a znode.
#[derive(Clone, Debug)]
pub struct ChangeSeen {
    /// The command that made it.
    pub zxid: i64,
    /// What happened.
    pub kind: ChangeKind,
    /// The znode.
    pub path: String,
}

/// The committed log and what follows from it.
pub struct Agreement {
    /// Entries, contiguous.
    entries: Vec<Entry>,
    /// When the first member committed each of them, in µs of the run.
    committed_us: Vec<u64>,
    machine: Machine,
    /// The leader of each term.
    leaders: BTreeMap<u64, ServerId>,
    /// State after each entry: digest and home servers of sessions.
    states: Vec<u64>,
    /// Every command, in order.
    pub outcomes: Vec<Outcome>,
    /// Every change, in order.
    pub changes: Vec<ChangeSeen>,
}

struct ChangeRecorder<'a>(&'a mut Vec<ChangeSeen>);

impl ChangeSink for ChangeRecorder<'_> {
    fn change(&mut self, change: &Change<'_>) {
        let Change { zxid, kind, path, .. } = *change;
        self.0.push(ChangeSeen { zxid, kind, path: path.to_owned() });
    }
}

impl Default for Agreement {
    fn default() -> Agreement {
        Agreement {
            entries: Vec::new(),
            committed_us: Vec::new(),
            machine: Machine::new(1),
            leaders: BTreeMap::new(),
            states: Vec::new(),
            outcomes: Vec::new(),
            changes: Vec::new(),
        }
    }
}

impl Agreement {
    /// Member `member` leads in that term; returns whether it was not known yet.
    ///
    /// # Errors
    /// If another member leads or led in it.
    pub fn leads(&mut self, member: ServerId, term: u64) -> Result<bool, Violation> {
        match self.leaders.insert(term, member) {
            None => Ok(true),
            Some(known) if known == member => Ok(false),
            Some(known) => Err(Violation::new(
                "no two members lead in one term",
                format!("member {member} leads in term {term}, in which member {known} led"),
            )),
        }
    }

    /// Member `member` has committed `entry`.
    ///
    /// # Errors
    /// If another entry is committed at that index, or the one before is not.
    pub fn committed(&mut self, member: ServerId, entry: Entry, now_us: u64) -> Result<(), Violation> {
        let Some(first) = self.entries.first().map(|first| first.index) else {
            self.apply(&entry, now_us);
            self.entries.push(entry);
            return Ok(());
        };
        let known = entry.index.checked_sub(first).and_then(|at| self.entries.get(at as usize));
        match known {
            Some(known) if *known == entry => Ok(()),
            Some(known) => Err(Violation::new(
                "no two members commit different entries at one index",
                format!(
                    "member {member} has term {} {:?} of {} bytes at {}, another had term {} {:?} of {} bytes",
                    entry.term,
                    entry.kind,
                    entry.data.len(),
                    entry.index,
                    known.term,
                    known.kind,
                    known.data.len()
                ),
            )),
            None if entry.index == first + self.entries.len() as u64 => {
                self.apply(&entry, now_us);
                self.entries.push(entry);
                Ok(())
            }
            None => Err(Violation::new(
                "the log is committed without gaps",
                format!("member {member} committed {}, and no member the one before", entry.index),
            )),
        }
    }

    fn apply(&mut self, entry: &Entry, now_us: u64) {
        let Agreement { machine, outcomes, changes, .. } = self;
        apply(machine, entry, changes, &mut |outcome| {
            outcomes.push(Outcome { committed_us: now_us, ..outcome });
        });
        self.states.push(self.machine.digest());
        self.committed_us.push(now_us);
    }

    /// Member `member` has applied everything up to `index`, and this is its state.
    ///
    /// # Errors
    /// If the state differs from the reference.
    pub fn reached(&self, member: ServerId, index: u64, machine: &Machine) -> Result<(), Violation> {
        let guarantee = "all members have equal state at the same index";
        let Some(first) = self.entries.first().map(|first| first.index) else { return Ok(()) };
        let Some(at) = index.checked_sub(first) else { return Ok(()) };
        let Some(state) = self.states.get(at as usize) else {
            return Err(Violation::new(
                guarantee,
                format!("member {member} has applied {index}, which no member committed"),
            ));
        };
        if *state == machine.digest() {
            return Ok(());
        }
        let zxid = machine.last_zxid();
        Err(Violation::new(
            guarantee,
            format!("member {member} has another state at entry {index}, zxid {zxid:#x}"),
        ))
    }

    /// All committed entries.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// How many entries started a leadership.
    pub fn leaderships(&self) -> usize {
        self.entries.iter().filter(|entry| entry.kind == EntryKind::Leadership).count()
    }

    /// When each of them was committed, in µs of the run.
    pub fn committed_us(&self) -> &[u64] {
        &self.committed_us
    }

    /// Index of the last committed entry.
    pub fn last_index(&self) -> u64 {
        self.entries.last().map_or(0, |last| last.index)
    }

    /// The state after it.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }
}

/// Applies one entry as every member does.
pub fn apply(
    machine: &mut Machine,
    entry: &Entry,
    changes: &mut Vec<ChangeSeen>,
    tell: &mut dyn FnMut(Outcome),
) {
    match entry.kind {
        EntryKind::Leadership => machine.begin_leadership(),
        EntryKind::Membership => {
            let change = MembershipChange::from_bytes(&entry.data).expect("a committed membership change");
            machine.member_changed(change.member().0);
        }
        EntryKind::Command => {
            let (header, rest) = BatchHeader::read(&entry.data).expect("a committed entry is a batch");
            for command in commands(rest) {
                let command = command.expect("a committed entry holds commands");
                let mut reply = Vec::new();
                let applied = machine.apply(&header, &command, &mut reply, &mut ChangeRecorder(changes));
                tell(Outcome {
                    index: entry.index,
                    session: command.session,
                    cxid: command.cxid,
                    opcode: command.opcode,
                    body: command.body.to_vec(),
                    zxid: applied.zxid,
                    code: applied.code as i32,
                    reply,
                    time_ms: header.time_ms,
                    committed_us: 0,
                });
            }
        }
    }
}

/// Splits an entry into one for each command, so that the state between any two commands can be
/// read.
pub fn split(entry: &Entry) -> Vec<Entry> {
    if entry.kind != EntryKind::Command {
        return vec![entry.clone()];
    }
    let (header, rest) = BatchHeader::read(&entry.data).expect("a committed entry is a batch");
    let alone = |command: Result<state::command::Command<'_>, _>| {
        let mut data = Vec::new();
        header.put(&mut data);
        command.expect("a committed entry holds commands").put(&mut data);
        Entry { data: data.into(), ..entry.clone() }
    };
    commands(rest).map(alone).collect()
}

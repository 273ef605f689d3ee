//! One log, and one state at each place of it.
//!
//! The first member to take an entry for agreed decides what the entry is; every other must agree, for ever. The same entries are applied
//! to a machine that was never on a disk nor on a network, and no member may have another state than it at the same place.

use std::collections::BTreeMap;
use std::fmt;

use consensus::entry::{Entry, EntryKind};
use consensus::membership::MembershipChange;
use state::change::{Change, ChangeKind, ChangeSink};
use state::command::{BatchHeader, commands};
use state::machine::Machine;

use super::Violation;
use server::config::ServerId;

/// A command of the agreed log with what became of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Place of its entry.
    pub index: u64,
    /// Whose it is.
    pub session: i64,
    /// Its number.
    pub cxid: i32,
    /// What it asks.
    pub opcode: i32,
    /// With which record.
    pub body: Vec<u8>,
    /// Its zxid.
    pub zxid: i64,
    /// Its result.
    pub code: i32,
    /// Body of the reply.
    pub reply: Vec<u8>,
    /// The leader's wall clock at that time.
    pub time_ms: i64,
    /// When the first member took it for agreed, in µs of the run.
    pub agreed_us: u64,
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
    /// By which command.
    pub zxid: i64,
    /// What happened.
    pub kind: ChangeKind,
    /// Where.
    pub path: String,
}

/// The agreed log and what follows from it.
pub struct Agreement {
    /// Entries, contiguous.
    entries: Vec<Entry>,
    /// When the first member took each of them for agreed, in µs of the run.
    agreed_us: Vec<u64>,
    machine: Machine,
    /// The leader of each term.
    leaders: BTreeMap<u64, ServerId>,
    /// State behind each entry: digest, and the homes of sessions.
    states: Vec<u64>,
    /// Every command, in order.
    pub outcomes: Vec<Outcome>,
    /// Every change, in order.
    pub changes: Vec<ChangeSeen>,
}

struct Noted<'a>(&'a mut Vec<ChangeSeen>);

impl ChangeSink for Noted<'_> {
    fn change(&mut self, change: &Change<'_>) {
        let Change { zxid, kind, path, .. } = *change;
        self.0.push(ChangeSeen { zxid, kind, path: path.to_owned() });
    }
}

impl Default for Agreement {
    fn default() -> Agreement {
        Agreement {
            entries: Vec::new(),
            agreed_us: Vec::new(),
            machine: Machine::new(1),
            leaders: BTreeMap::new(),
            states: Vec::new(),
            outcomes: Vec::new(),
            changes: Vec::new(),
        }
    }
}

impl Agreement {
    /// Member `member` leads in that term; returns whether this is news.
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

    /// Member `member` takes `entry` for agreed.
    ///
    /// # Errors
    /// If another entry is agreed there.
    pub fn agreed(&mut self, member: ServerId, entry: Entry, now_us: u64) -> Result<(), Violation> {
        let Some(first) = self.entries.first().map(|first| first.index) else {
            self.apply(&entry, now_us);
            self.entries.push(entry);
            return Ok(());
        };
        let known = entry.index.checked_sub(first).and_then(|at| self.entries.get(at as usize));
        match known {
            Some(known) if *known == entry => Ok(()),
            Some(known) => Err(Violation::new(
                "no two members take different entries for agreed at one place",
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
                "the log is agreed without holes",
                format!("member {member} takes {} for agreed, and nobody the one before", entry.index),
            )),
        }
    }

    fn apply(&mut self, entry: &Entry, now_us: u64) {
        let Agreement { machine, outcomes, changes, .. } = self;
        apply(machine, entry, changes, &mut |outcome| {
            outcomes.push(Outcome { agreed_us: now_us, ..outcome });
        });
        self.states.push(state_of(&self.machine));
        self.agreed_us.push(now_us);
    }

    /// Member `member` has applied everything up to `index`, and this is its state.
    ///
    /// # Errors
    /// If that is another state than any other member had there.
    pub fn reached(&self, member: ServerId, index: u64, machine: &Machine) -> Result<(), Violation> {
        let guarantee = "equal state at the same place of the log on all members";
        let Some(first) = self.entries.first().map(|first| first.index) else { return Ok(()) };
        let Some(at) = index.checked_sub(first) else { return Ok(()) };
        let Some(state) = self.states.get(at as usize) else {
            return Err(Violation::new(
                guarantee,
                format!("member {member} has applied {index}, which nobody agreed on"),
            ));
        };
        if *state == state_of(machine) {
            return Ok(());
        }
        let zxid = machine.last_zxid();
        Err(Violation::new(
            guarantee,
            format!("member {member} has another state at entry {index}, zxid {zxid:#x}"),
        ))
    }

    /// Everything that is agreed.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// How many entries began a leadership.
    pub fn leaderships(&self) -> usize {
        self.entries.iter().filter(|entry| entry.kind == EntryKind::Leadership).count()
    }

    /// When each of them was agreed, in µs of the run.
    pub fn agreed_us(&self) -> &[u64] {
        &self.agreed_us
    }

    /// Place of the last agreed entry.
    pub fn last_index(&self) -> u64 {
        self.entries.last().map_or(0, |last| last.index)
    }

    /// The state behind it.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }
}

/// Everything in which members must be alike, in one number.
fn state_of(machine: &Machine) -> u64 {
    let homes = machine.sessions().fold(0, |all, session| {
        (all ^ session.id as u64 ^ u64::from(session.home)).wrapping_mul(0x0000_0100_0000_01B3)
    });
    machine.digest() ^ homes
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
            let change = MembershipChange::from_bytes(&entry.data).expect("an agreed change of a member");
            machine.member_changed(change.member().0);
        }
        EntryKind::Command => {
            let (header, rest) = BatchHeader::read(&entry.data).expect("an agreed entry is a batch");
            for command in commands(rest) {
                let command = command.expect("an agreed entry holds commands");
                let mut reply = Vec::new();
                let applied = machine.apply(&header, &command, &mut reply, &mut Noted(changes));
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
                    agreed_us: 0,
                });
            }
        }
    }
}

/// An entry for each command of this entry, so that there is a place between any two of them.
pub fn split(entry: &Entry) -> Vec<Entry> {
    if entry.kind != EntryKind::Command {
        return vec![entry.clone()];
    }
    let (header, rest) = BatchHeader::read(&entry.data).expect("an agreed entry is a batch");
    let alone = |command: Result<state::command::Command<'_>, _>| {
        let mut data = Vec::new();
        header.put(&mut data);
        command.expect("an agreed entry holds commands").put(&mut data);
        Entry { data: data.into(), ..entry.clone() }
    };
    commands(rest).map(alone).collect()
}

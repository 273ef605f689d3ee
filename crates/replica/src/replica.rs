//! The loop's one state: what waits, what is agreed, what was applied.

use std::collections::VecDeque;

use bytes::Bytes;
use consensus::engine::{Engine, Ready};
use consensus::entry::{Entry, EntryKind};
use hashbrown::HashMap;
use state::command::{BatchHeader, Command, Features, commands};
use state::machine::{Applied, Machine};
use wire::opcode::Opcode;

use crate::line::{Line, Waiting};
use crate::outlet::{Outlet, Token};
use crate::submission::{Item, Submission};

/// How commands are gathered into log entries.
#[derive(Clone, Copy, Debug)]
pub struct Batching {
    /// Switches stamped on every batch, so that all members apply it alike whatever their own configuration says.
    pub features: Features,
    /// An entry is closed once it holds this many bytes; one command larger than it gets an entry of its own.
    pub entry_bytes_max: usize,
}

/// Whoever waits for a command that was not proposed yet and can still be refused.
#[derive(Debug)]
struct Gathered {
    token: Token,
    session: i64,
    xid: i32,
    opcode: i32,
}

/// An entry being gathered: a batch header and commands, or nothing yet.
#[derive(Debug, Default)]
struct Gathering {
    bytes: Vec<u8>,
    waiting: Vec<Gathered>,
}

/// One member of one group.
pub struct Replica<E: Engine> {
    engine: E,
    batching: Batching,
    /// Entries to be proposed, oldest first; only the last may still grow.
    gathered: VecDeque<Gathering>,
    lines: HashMap<i64, Line>,
    /// Sessions whose line may have something answerable at its head.
    answerable: Vec<i64>,
    /// Agreed entries not applied yet; the first is applied up to byte `applied_bytes`.
    committed: VecDeque<Entry>,
    applied_bytes: usize,
    applied_index: u64,
    /// Commands applied since the start.
    applied_commands: u64,
    reply: Vec<u8>,
}

impl<E: Engine> Replica<E> {
    /// A member whose machine has applied everything up to `applied_index`.
    pub fn new(engine: E, batching: Batching, applied_index: u64) -> Replica<E> {
        Replica {
            engine,
            batching,
            gathered: VecDeque::new(),
            lines: HashMap::new(),
            answerable: Vec::new(),
            committed: VecDeque::new(),
            applied_bytes: 0,
            applied_index,
            applied_commands: 0,
            reply: Vec::new(),
        }
    }

    /// The engine, for what concerns agreement alone (ticks, compaction, status).
    pub fn engine(&mut self) -> &mut E {
        &mut self.engine
    }

    /// Index of the last entry applied in full.
    pub fn applied_index(&self) -> u64 {
        self.applied_index
    }

    /// Commands applied since this member started.
    pub fn applied_commands(&self) -> u64 {
        self.applied_commands
    }

    /// Takes over everything in `submission`, leaving it empty for its next use. `now_ms` becomes the commands' time.
    pub fn submit(&mut self, now_ms: i64, submission: &mut Submission) {
        let mut at = 0;
        for item in submission.items.drain(..) {
            match item {
                Item::Command { token, session, xid, opcode, len } => {
                    let gathering = self.gather(now_ms, &submission.bytes[at..at + len]);
                    gathering.waiting.push(Gathered { token, session, xid, opcode });
                    at += len;
                    self.lines.entry(session).or_default().push(Waiting::Command { token, xid });
                }
                Item::Local { token, session, request } => {
                    let line = self.lines.entry(session).or_default();
                    if line.is_empty() {
                        self.answerable.push(session);
                    }
                    line.push(Waiting::Local { token, request });
                }
            }
        }
        assert_eq!(at, submission.bytes.len(), "every byte handed over belongs to a command");
        submission.bytes.clear();
    }

    /// Adds a command of the member itself (session expiry, container removal), for which nobody waits.
    pub fn submit_own(&mut self, now_ms: i64, command: &Command<'_>) {
        let mut bytes = Vec::new();
        command.put(&mut bytes);
        self.gather(now_ms, &bytes);
    }

    fn gather(&mut self, now_ms: i64, command: &[u8]) -> &mut Gathering {
        let entry_bytes_max = self.batching.entry_bytes_max;
        if self.gathered.back().is_none_or(|last| last.bytes.len() + command.len() > entry_bytes_max) {
            let mut bytes = Vec::new();
            let header = BatchHeader { time_ms: now_ms, zxid_floor: 0, features: self.batching.features };
            header.put(&mut bytes);
            self.gathered.push_back(Gathering { bytes, waiting: Vec::new() });
        }
        let gathering = self.gathered.back_mut().expect("one was just made sure of");
        gathering.bytes.extend_from_slice(command);
        gathering
    }

    /// Sizes in bytes of the entries that [`propose`](Self::propose) would add to the log: what it must have room for.
    pub fn gathered_bytes(&self) -> impl Iterator<Item = usize> + '_ {
        self.gathered.iter().map(|g| g.bytes.len())
    }

    /// Proposes everything gathered. What the engine does not take is refused to whoever waits for it, with all that came later, since
    /// nothing may overtake it.
    pub fn propose(&mut self) {
        while let Some(mut gathering) = self.gathered.pop_front() {
            match self.engine.propose(Bytes::from(std::mem::take(&mut gathering.bytes))) {
                Ok(()) => {}
                Err(_) => {
                    self.gathered.push_front(gathering);
                    return self.refuse_gathered();
                }
            }
        }
    }

    /// Refuses everything gathered and not proposed: the log has no room, or there is no leader to take it.
    pub fn refuse_gathered(&mut self) {
        for gathering in self.gathered.drain(..) {
            for g in gathering.waiting {
                let line =
                    self.lines.get_mut(&g.session).expect("a gathered command stands in its session's line");
                line.refuse(g.token, g.xid, g.opcode);
                self.answerable.push(g.session);
            }
        }
    }

    /// What the engine wants done next; `false` when there is nothing. Agreed entries are taken over, the rest is the host's to do.
    pub fn ready(&mut self, ready: &mut Ready) -> bool {
        if !self.engine.ready(ready) {
            return false;
        }
        self.committed.extend(ready.committed.drain(..));
        true
    }

    /// Whether [`apply`](Self::apply) has anything to do.
    pub fn has_work(&self) -> bool {
        !self.committed.is_empty() || !self.answerable.is_empty()
    }

    /// Applies at most about `commands_max` agreed commands and answers what waited for them; `true` when all is done. The bound lets
    /// the host release the machine for readers in between.
    pub fn apply(&mut self, machine: &mut Machine, outlet: &mut impl Outlet, commands_max: usize) -> bool {
        self.answer_lines(machine, outlet);
        let mut room = commands_max;
        while let Some(entry) = self.committed.pop_front() {
            let done = match entry.kind {
                EntryKind::Leadership => {
                    machine.begin_leadership();
                    true
                }
                EntryKind::Membership => true,
                EntryKind::Command => self.apply_batch(&entry, machine, outlet, &mut room),
            };
            if !done {
                self.committed.push_front(entry);
                return false;
            }
            self.applied_bytes = 0;
            self.applied_index = entry.index;
        }
        self.engine.applied(self.applied_index);
        true
    }

    fn apply_batch(
        &mut self,
        entry: &Entry,
        machine: &mut Machine,
        outlet: &mut impl Outlet,
        room: &mut usize,
    ) -> bool {
        let (header, rest) = BatchHeader::read(&entry.data)
            .unwrap_or_else(|e| panic!("entry {} is agreed and durable but is no batch: {e}", entry.index));
        let at = self.applied_bytes;
        for command in commands(&rest[at..]) {
            let command = command.unwrap_or_else(|e| {
                panic!("entry {} is agreed and durable but holds no command: {e}", entry.index)
            });
            self.reply.clear();
            let applied = machine.apply(&header, &command, &mut self.reply, outlet);
            self.complete(&command, &applied, machine, outlet);
            self.applied_commands += 1;
            self.applied_bytes += Command::OVERHEAD + command.identities.len() + command.body.len();
            *room = room.saturating_sub(1);
            if *room == 0 {
                return self.applied_bytes == rest.len();
            }
        }
        true
    }

    /// Tells whoever waits for this command, then whoever waited behind it.
    fn complete(
        &mut self,
        command: &Command<'_>,
        applied: &Applied,
        machine: &Machine,
        outlet: &mut impl Outlet,
    ) {
        let session = command.session;
        let line = self.lines.get_mut(&session);
        let token = line.and_then(|line| line.take_command(command.cxid));
        if command.opcode == Opcode::CreateSession as i32 {
            outlet.session_opened(machine, session, token);
        } else if command.opcode == Opcode::CloseSession as i32 {
            outlet.session_closed(session, token.map(|t| (t, command.cxid)), applied);
            // What still waits was sent behind the close, or by a connection that goes with the session: nobody will hear an answer.
            if let Some(line) = self.lines.remove(&session) {
                outlet.abandoned(line.len());
            }
            return;
        } else if let Some(token) = token {
            outlet.reply(token, command.cxid, applied, &self.reply);
        }
        self.answer_line(session, machine, outlet);
    }

    fn answer_lines(&mut self, machine: &Machine, outlet: &mut impl Outlet) {
        while let Some(session) = self.answerable.pop() {
            self.answer_line(session, machine, outlet);
        }
    }

    fn answer_line(&mut self, session: i64, machine: &Machine, outlet: &mut impl Outlet) {
        let Some(line) = self.lines.get_mut(&session) else { return };
        while let Some(waiting) = line.take_ready() {
            match waiting {
                Waiting::Local { token, request } => outlet.local(machine, token, session, &request),
                Waiting::Refused { token, xid, opcode } => outlet.refused(machine, token, xid, opcode),
                Waiting::Command { .. } => unreachable!("take_ready never takes a command"),
            }
        }
    }

    /// Forgets a session nobody here is connected to any more and nothing waits for.
    pub fn forget_idle(&mut self, session: i64) {
        if self.lines.get(&session).is_some_and(Line::is_empty) {
            self.lines.remove(&session);
        }
    }
}

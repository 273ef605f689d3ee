//! Requests and answers on their way.

use commit::branch::ResourceName;
use commit::id::TransactionId;
use commit::{recovery, two_phase};

use super::{CLUSTER, Happening, LogOp, LogReply, Op, Reply, Request, World};
use crate::plan::MEMBERS;

/// The name of a participant.
pub(super) fn resource(participant: usize) -> ResourceName {
    ResourceName::new(&format!("r{participant}")).expect("a good name")
}

/// How often a message is lost, late, or doubled in rough times, in percent.
const LOST: u64 = 15;
const LATE: u64 = 20;
const DOUBLED: u64 = 10;

/// How late, in ms, at most.
const LATE_MS: u64 = 500;

/// A process shows that it lives, and looks for what is prepared, this often in ms.
const PING_MS: u64 = 80;

impl World<'_> {
    fn side(sides: &[bool], at: usize) -> bool {
        sides.get(at).copied().unwrap_or(false)
    }

    fn process_side(&self, process: usize) -> bool {
        Self::side(&self.sides.processes, process)
    }

    /// Whether a process can reach a participant.
    pub(super) fn reaches(&self, process: usize, participant: usize) -> bool {
        self.processes[process].is_up()
            && self.participants_down[participant] == 0
            && self.process_side(process) == self.participant_side(participant)
    }

    pub(super) fn participant_side(&self, participant: usize) -> bool {
        Self::side(&self.sides.participants, participant)
    }

    /// The side on which a majority of the log's members work.
    pub(super) fn log_side(&self) -> Option<bool> {
        [false, true].into_iter().find(|side| {
            let works = |member: &usize| {
                self.members_down[*member] == 0 && Self::side(&self.sides.members, *member) == *side
            };
            (0..MEMBERS).filter(works).count() > MEMBERS / 2
        })
    }

    /// Whether a process can use its log.
    pub(super) fn reaches_log(&self, process: usize) -> bool {
        let it = &self.processes[process];
        it.is_up() && (!self.is_replicated() || self.log_side() == Some(self.process_side(process)))
    }

    fn delay_ms(&mut self) -> u64 {
        let usual_ms = self.random.between(1, self.plan.delay_ms);
        if self.rough > 0 && self.random.percent(LATE) {
            usual_ms + self.random.below(LATE_MS)
        } else {
            usual_ms
        }
    }

    fn is_lost(&mut self) -> bool {
        self.rough > 0 && self.random.percent(LOST)
    }

    /// A process sends a request to a participant.
    pub(super) fn send(&mut self, request: Request) {
        // A session gets what is sent to it once; a request to finish or look may come twice.
        let may_repeat = matches!(request.op, Op::Finish { .. } | Op::Inspect);
        if may_repeat && self.rough > 0 && self.random.percent(DOUBLED) {
            let at_ms = self.now_ms + self.delay_ms();
            self.queue.push(at_ms, Happening::AtParticipant(request));
        }
        if self.is_lost() {
            return self.fails(request);
        }
        let mut at_ms = self.now_ms + self.delay_ms();
        if matches!(request.op, Op::Prepare) {
            at_ms += self.random.below(self.plan.prepare_ms);
        }
        self.queue.push(at_ms, Happening::AtParticipant(request));
    }

    /// The process hears nothing, or that the connection is lost.
    fn fails(&mut self, request: Request) {
        if let Some(reply) = request.op.failed().filter(|_| self.random.percent(50)) {
            let at_ms = self.now_ms + self.delay_ms();
            self.queue.push(at_ms, Happening::FromParticipant(request, reply));
        }
    }

    pub(super) fn at_participant(&mut self, request: Request) {
        let Request { participant, process, generation, op, id, .. } = request;
        let is_here = self.participants_down[participant] == 0
            && self.process_side(process) == self.participant_side(participant);
        if !is_here {
            return self.fails(request);
        }
        let from = (process, generation);
        let reply = self.participants[participant].execute(op, id, from, &mut self.judge, self.now_ms);
        if self.is_lost() {
            return self.fails(request);
        }
        let at_ms = self.now_ms + self.delay_ms();
        self.queue.push(at_ms, Happening::FromParticipant(request, reply));
    }

    pub(super) fn participant_answers(&mut self, request: Request, reply: Reply) {
        let Request { participant, process, generation, id, scan, recovers, .. } = request;
        let it = &mut self.processes[process];
        if it.generation != generation || !it.is_up() {
            return;
        }
        if let Reply::List(prepared) = reply {
            // An older list than the last one is dropped, as a client that asks in turn never gets
            // it.
            if it.scanned[participant] < scan {
                it.scanned[participant] = scan;
                self.listed(process, participant, prepared);
            }
            return;
        }
        let (branch, name) = self.branch(id, participant);
        if recovers {
            let event = match reply {
                Reply::Finish(answer) => recovery::Event::Finished { branch: name, answer },
                Reply::Presence(presence) => recovery::Event::Inspected { branch: name, presence },
                _ => return,
            };
            return self.recovery_event(process, event);
        }
        let event = match reply {
            Reply::Vote(vote) => two_phase::Event::Voted { branch, vote },
            Reply::PrepareFailed => {
                two_phase::Event::PrepareFailed { branch, reason: "connection lost".to_owned() }
            }
            Reply::Alone(answer) => two_phase::Event::CommittedAlone(answer),
            Reply::Finish(answer) => two_phase::Event::Finished { branch, answer },
            Reply::Presence(presence) => two_phase::Event::Inspected { branch, presence },
            Reply::List(_) => return,
        };
        self.coordinator_event(process, id, event);
    }

    fn listed(&mut self, process: usize, participant: usize, prepared: Vec<TransactionId>) {
        // Without replication a process knows nothing of what others have decided.
        let is_ours = |id: &TransactionId| {
            self.is_replicated() || self.processes[process].names.contains(&id.coordinator)
        };
        let ours = prepared.into_iter().filter(is_ours);
        let prepared = ours.map(|id| self.branch(id, participant).1).collect();
        self.recovery_event(process, recovery::Event::Listed { resource: resource(participant), prepared });
    }

    /// A process sends a request to its log.
    pub(super) fn send_log(&mut self, process: usize, op: LogOp) {
        let generation = self.processes[process].generation;
        if !self.is_replicated() {
            let at_ms = self.now_ms + self.random.between(1, 3);
            return self.queue.push(at_ms, Happening::AtLog(process, generation, op));
        }
        if self.is_lost() {
            return self.log_fails(process, generation, &op);
        }
        let at_ms = self.now_ms + self.delay_ms();
        if self.rough > 0 && self.random.percent(LATE) {
            // The process gives up before its request arrives.
            self.log_fails(process, generation, &op);
            let late_ms = self.random.below(LATE_MS);
            return self.queue.push(at_ms + late_ms, Happening::AtLog(process, generation, op));
        }
        self.queue.push(at_ms, Happening::AtLog(process, generation, op));
    }

    fn log_fails(&mut self, process: usize, generation: u32, op: &LogOp) {
        if let Some(reply) = op.unknown().filter(|_| self.random.percent(60)) {
            let at_ms = self.now_ms + self.delay_ms();
            self.queue.push(at_ms, Happening::FromLog(process, generation, reply));
        }
    }

    pub(super) fn at_log(&mut self, process: usize, generation: u32, op: LogOp) {
        let is_here = if self.is_replicated() {
            self.log_side() == Some(self.process_side(process))
        } else {
            self.processes[process].generation == generation && self.processes[process].is_up()
        };
        if !is_here {
            return self.log_fails(process, generation, &op);
        }
        let now_ms = self.now_ms;
        let reply = self.log_of(process).execute(op.clone(), now_ms);
        if self.is_replicated() && self.is_lost() {
            return self.log_fails(process, generation, &op);
        }
        let at_ms = self.now_ms + if self.is_replicated() { self.delay_ms() } else { 1 };
        self.queue.push(at_ms, Happening::FromLog(process, generation, reply));
    }

    pub(super) fn log_answers(&mut self, process: usize, generation: u32, reply: LogReply) {
        let it = &mut self.processes[process];
        if it.generation != generation || !it.is_up() {
            return;
        }
        match reply {
            LogReply::Decided(id, logged) => {
                self.coordinator_event(process, id, two_phase::Event::Written(logged));
            }
            LogReply::Decision(id, logged) => {
                self.coordinator_event(process, id, two_phase::Event::Read(logged));
            }
            LogReply::Aborted(id, logged) => {
                self.recovery_event(process, recovery::Event::Written { id, logged });
            }
            LogReply::Fence(id, is_there) => self.send_log(process, LogOp::ReadRecord(id, is_there)),
            LogReply::View(id, log) => self.recovery_event(process, recovery::Event::Read { id, log }),
            LogReply::Records(records) => self.recovery_event(process, recovery::Event::Records(records)),
            LogReply::Registered(name) => {
                it.incarnation = Some(name);
                it.names.push(name);
            }
            LogReply::Pinged { lives: false, .. } => {
                it.incarnation = None;
                it.recovers = self.plan.all_recover;
                self.send_log(process, LogOp::Register);
            }
            LogReply::Pinged { leads, .. } => it.recovers = leads || self.plan.all_recover,
            LogReply::Done => {}
        }
    }

    /// A process shows that it lives, and looks for what is prepared.
    pub(super) fn ping(&mut self, process: usize) {
        self.queue.push(self.now_ms + PING_MS, Happening::Ping(process));
        if !self.processes[process].is_up() {
            return;
        }
        match self.processes[process].incarnation {
            Some(name) if self.is_replicated() => self.send_log(process, LogOp::Ping(name)),
            Some(_) => {}
            None => self.send_log(process, LogOp::Register),
        }
        if self.processes[process].recovers {
            self.scans += 1;
            self.send_log(process, LogOp::Records);
            for participant in 0..self.participants.len() {
                let generation = self.processes[process].generation;
                let id = TransactionId { cluster: CLUSTER, coordinator: 0, number: 0 };
                let (scan, recovers) = (self.scans, true);
                self.send(Request { participant, process, generation, op: Op::List, id, scan, recovers });
            }
        }
    }
}

//! A database: what is prepared survives its crash, everything else does not.

use std::collections::BTreeMap;

use commit::decision::{Alone, Decision, Finish, Presence, Vote, Witness};
use commit::id::TransactionId;

use crate::judge::{Fate, Judge};
use crate::plan::{Kind, Work};

/// What a process asks of a participant.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    Prepare,
    CommitAlone,
    Finish { decision: Decision, release: bool },
    Inspect,
    List,
}

/// What it answers.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Vote(Vote),
    PrepareFailed,
    Alone(Alone),
    Finish(Finish),
    Presence(Presence),
    List(Vec<TransactionId>),
}

impl Op {
    /// The answer of a participant that cannot be reached, or did not say what it did.
    pub(crate) fn failed(self) -> Option<Reply> {
        let reason = || "connection lost".to_owned();
        match self {
            Op::Prepare => Some(Reply::PrepareFailed),
            Op::CommitAlone => Some(Reply::Alone(Alone::Unknown(reason()))),
            Op::Finish { .. } => Some(Reply::Finish(Finish::Failed(reason()))),
            Op::Inspect => Some(Reply::Presence(Presence::Unknown(reason()))),
            Op::List => None,
        }
    }
}

/// A session that has a branch.
#[derive(Clone, Debug)]
struct Session {
    /// The process that opened it, and how often that one had been started.
    owner: (usize, u32),
    work: Work,
}

/// How the judge names a branch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) transaction: usize,
    pub(crate) branch: usize,
}

#[derive(Debug)]
pub(crate) struct Participant {
    kind: Kind,
    /// Sessions, of branches that are worked on, and of prepared ones that hold them.
    active: BTreeMap<TransactionId, Session>,
    holders: BTreeMap<TransactionId, (usize, u32)>,
    /// What is prepared, and since when.
    pub(crate) prepared: BTreeMap<TransactionId, u64>,
    ended: BTreeMap<TransactionId, Decision>,
    places: BTreeMap<TransactionId, Place>,
}

impl Participant {
    pub(crate) fn new(kind: Kind) -> Participant {
        Participant {
            kind,
            active: BTreeMap::new(),
            holders: BTreeMap::new(),
            prepared: BTreeMap::new(),
            ended: BTreeMap::new(),
            places: BTreeMap::new(),
        }
    }

    /// A session does the work of a branch.
    pub(crate) fn work(&mut self, id: TransactionId, place: Place, owner: (usize, u32), work: Work) {
        self.places.insert(id, place);
        self.active.insert(id, Session { owner, work });
    }

    /// Executes a request of a process.
    pub(crate) fn execute(
        &mut self,
        op: Op,
        id: TransactionId,
        from: (usize, u32),
        judge: &mut Judge,
        now_ms: u64,
    ) -> Reply {
        match op {
            Op::Prepare => Reply::Vote(self.prepare(id, judge, now_ms)),
            Op::CommitAlone => Reply::Alone(match self.active.remove(&id) {
                Some(session) if session.work != Work::Refuses => {
                    self.end(id, Decision::Commit, true, judge, now_ms);
                    Alone::Committed
                }
                session => {
                    if session.is_some() {
                        self.end(id, Decision::Abort, false, judge, now_ms);
                    }
                    Alone::Refused("a constraint is violated, or the session has ended".to_owned())
                }
            }),
            Op::Finish { decision, release } => {
                if release {
                    self.end_session(id, judge, now_ms);
                }
                Reply::Finish(self.finish(id, decision, from, judge, now_ms))
            }
            Op::Inspect => Reply::Presence(if self.prepared.contains_key(&id) {
                Presence::Prepared
            } else if self.active.contains_key(&id) {
                Presence::Unknown("its session still works".to_owned())
            } else {
                match self.ended.get(&id).filter(|_| self.kind == Kind::Remembers) {
                    Some(decision) => Presence::Ended(*decision),
                    None => Presence::Absent,
                }
            }),
            Op::List => Reply::List(self.prepared.keys().copied().collect()),
        }
    }

    fn prepare(&mut self, id: TransactionId, judge: &mut Judge, now_ms: u64) -> Vote {
        let Some(Session { owner, work }) = self.active.remove(&id) else {
            return Vote::Refused("the session has ended".to_owned());
        };
        let Place { transaction, branch } = self.places[&id];
        match work {
            Work::Refuses => {
                self.end(id, Decision::Abort, false, judge, now_ms);
                Vote::Refused("a constraint is violated".to_owned())
            }
            Work::Reads if self.kind != Kind::Held => {
                judge.votes(transaction, branch);
                judge.ends(transaction, branch, Fate::ReadOnly, false, now_ms);
                Vote::ReadOnly
            }
            Work::Reads | Work::Writes => {
                judge.votes(transaction, branch);
                self.prepared.insert(id, now_ms);
                if self.kind == Kind::Held {
                    self.holders.insert(id, owner);
                }
                Vote::Prepared(Witness::default())
            }
        }
    }

    fn finish(
        &mut self,
        id: TransactionId,
        decision: Decision,
        from: (usize, u32),
        judge: &mut Judge,
        now_ms: u64,
    ) -> Finish {
        if self.prepared.contains_key(&id) {
            if self.holders.get(&id).is_some_and(|owner| *owner != from) {
                return Finish::NotFound;
            }
            self.prepared.remove(&id);
            self.holders.remove(&id);
            self.end(id, decision, false, judge, now_ms);
            return Finish::Done;
        }
        if decision == Decision::Abort && self.active.contains_key(&id) {
            self.end_session(id, judge, now_ms);
            return Finish::Done;
        }
        match self.ended.get(&id) {
            Some(did) if self.kind == Kind::Remembers && *did == decision => Finish::Done,
            Some(did) if self.kind == Kind::Remembers => Finish::Heuristic(*did),
            _ => Finish::NotFound,
        }
    }

    fn end(&mut self, id: TransactionId, decision: Decision, alone: bool, judge: &mut Judge, now_ms: u64) {
        let Place { transaction, branch } = self.places[&id];
        self.ended.insert(id, decision);
        let fate = match decision {
            Decision::Commit => Fate::Committed,
            Decision::Abort => Fate::Aborted,
        };
        judge.ends(transaction, branch, fate, alone, now_ms);
    }

    /// The session of this branch ends: what is not prepared is undone.
    fn end_session(&mut self, id: TransactionId, judge: &mut Judge, now_ms: u64) {
        self.holders.remove(&id);
        if self.active.remove(&id).is_some() {
            self.end(id, Decision::Abort, false, judge, now_ms);
        }
    }

    /// The connections of a process end, once that is noticed.
    pub(crate) fn connections_end(&mut self, owner: (usize, u32), judge: &mut Judge, now_ms: u64) {
        self.holders.retain(|_, holder| *holder != owner);
        let theirs = self.active.iter().filter(|(_, session)| session.owner == owner).map(|(id, _)| *id);
        for id in theirs.collect::<Vec<_>>() {
            self.end_session(id, judge, now_ms);
        }
    }

    /// A process has ended its coordinator, and closes the session.
    pub(crate) fn close(&mut self, id: TransactionId, judge: &mut Judge, now_ms: u64) {
        self.end_session(id, judge, now_ms);
    }

    /// All sessions end.
    pub(crate) fn crash(&mut self, judge: &mut Judge, now_ms: u64) {
        self.holders.clear();
        for id in self.active.keys().copied().collect::<Vec<_>>() {
            self.end_session(id, judge, now_ms);
        }
    }
}

//! The log: replicated over three members, or a file of one process.

use std::collections::{BTreeMap, BTreeSet};

use commit::decision::Logged;
use commit::id::TransactionId;
use commit::record::Record;
use commit::recovery::LogView;

/// What a process asks of the log.
#[derive(Clone, Debug)]
pub(super) enum LogOp {
    /// Store the commit if the fence is there and there is no decision.
    Decide(TransactionId, Record),
    /// Store the abort if there is no decision.
    WriteAbort(TransactionId, Record),
    /// For a coordinator: the decision.
    ReadDecision(TransactionId),
    /// For recovery: the fence, then, by a second request, the record.
    ReadFence(TransactionId),
    ReadRecord(TransactionId, bool),
    Forget(TransactionId),
    Keep(TransactionId, Record),
    Records,
    /// A sign of life of this incarnation.
    Ping(u64),
    /// A new incarnation.
    Register,
}

/// What it answers.
#[derive(Clone, Debug)]
pub(super) enum LogReply {
    Decided(TransactionId, Logged),
    Aborted(TransactionId, Logged),
    Decision(TransactionId, Logged),
    Fence(TransactionId, bool),
    View(TransactionId, LogView),
    Done,
    Records(Vec<(TransactionId, Record)>),
    /// Whether the session lives, and whether its process is the one that recovers.
    Pinged {
        lives: bool,
        leads: bool,
    },
    Registered(u64),
}

impl LogOp {
    /// The answer of a log that cannot be reached, or did not say what it did.
    pub(super) fn unknown(&self) -> Option<LogReply> {
        let unknown = || Logged::Unknown("the log is away".to_owned());
        match self {
            LogOp::Decide(id, _) => Some(LogReply::Decided(*id, unknown())),
            LogOp::WriteAbort(id, _) => Some(LogReply::Aborted(*id, unknown())),
            LogOp::ReadDecision(id) => Some(LogReply::Decision(*id, unknown())),
            LogOp::ReadFence(id) | LogOp::ReadRecord(id, _) => {
                Some(LogReply::View(*id, LogView::Unknown("the log is away".to_owned())))
            }
            _ => None,
        }
    }
}

/// The state that members of the log agree on.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) records: BTreeMap<TransactionId, Record>,
    fences: BTreeSet<u64>,
    /// When each incarnation was last heard, and its place among processes.
    heard: BTreeMap<u64, u64>,
    last_incarnation: u64,
}

impl Log {
    /// The file of a process, which gives out names that no other file does.
    pub(super) fn of_process(process: usize) -> Log {
        Log { last_incarnation: 1_000 * (1 + process as u64), ..Log::default() }
    }

    /// Executes a request that has reached a majority.
    pub(super) fn execute(&mut self, op: LogOp, now_ms: u64) -> LogReply {
        match op {
            LogOp::Decide(id, record) => {
                let logged = match self.records.get(&id) {
                    _ if !self.fences.contains(&id.coordinator) => Logged::Fenced,
                    Some(known) => Logged::Found(known.decision),
                    None => {
                        self.records.insert(id, record);
                        Logged::Stored
                    }
                };
                LogReply::Decided(id, logged)
            }
            LogOp::WriteAbort(id, record) => {
                let logged = match self.records.get(&id) {
                    Some(known) => Logged::Found(known.decision),
                    None => {
                        self.records.insert(id, record);
                        Logged::Stored
                    }
                };
                LogReply::Aborted(id, logged)
            }
            LogOp::ReadDecision(id) => {
                let found = self.records.get(&id).map(|record| Logged::Found(record.decision));
                LogReply::Decision(id, found.unwrap_or(Logged::Nothing))
            }
            LogOp::ReadFence(id) => LogReply::Fence(id, self.fences.contains(&id.coordinator)),
            LogOp::ReadRecord(id, is_fence_there) => {
                LogReply::View(id, LogView::Known { is_fence_there, record: self.records.get(&id).cloned() })
            }
            LogOp::Forget(id) => {
                self.records.remove(&id);
                LogReply::Done
            }
            LogOp::Keep(id, record) => {
                self.records.insert(id, record);
                LogReply::Done
            }
            LogOp::Records => {
                LogReply::Records(self.records.iter().map(|(id, record)| (*id, record.clone())).collect())
            }
            LogOp::Ping(incarnation) => {
                let lives = self.fences.contains(&incarnation);
                if lives {
                    self.heard.insert(incarnation, now_ms);
                }
                LogReply::Pinged { lives, leads: lives && self.fences.first() == Some(&incarnation) }
            }
            LogOp::Register => {
                self.last_incarnation += 1;
                self.fences.insert(self.last_incarnation);
                self.heard.insert(self.last_incarnation, now_ms);
                LogReply::Registered(self.last_incarnation)
            }
        }
    }

    /// Ends the sessions that were not heard for this long.
    pub(super) fn expire(&mut self, now_ms: u64, timeout_ms: u64) {
        let heard = &self.heard;
        self.fences.retain(|incarnation| now_ms - heard[incarnation] < timeout_ms);
    }

    /// Nobody is blamed for the time in which the log had no majority.
    pub(super) fn forgive(&mut self, now_ms: u64) {
        self.heard.values_mut().for_each(|heard_ms| *heard_ms = now_ms);
    }

    /// Ends the session of a process that says so, as the file of a process that starts again does.
    pub(super) fn end(&mut self, incarnation: u64) {
        self.fences.remove(&incarnation);
    }

    pub(super) fn is_fence_there(&self, incarnation: u64) -> bool {
        self.fences.contains(&incarnation)
    }
}

//! What a server of an ensemble knows of the ensemble and of its own part in it.

use std::fmt;

use state::members::ServerId;

/// The consensus engine of an ensemble (`ostler.consensus`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineKind {
    /// Raft.
    Raft,
    /// Multi-Paxos.
    Paxos,
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EngineKind::Raft => "raft",
            EngineKind::Paxos => "paxos",
        })
    }
}

/// One look at the ensemble, at most a tenth of a second old.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberStatus {
    /// The server's number (`myid`).
    pub server: ServerId,
    /// Its id in the group, which tells the disks a server has had apart; `None` while it has no part in the group.
    pub member: Option<u64>,
    /// How the servers agree.
    pub engine: EngineKind,
    /// What it is at the moment.
    pub role: MemberRole,
    /// Term of Raft or ballot of Paxos: rises with every election.
    pub term: u64,
    /// The server that leads, as far as this one knows.
    pub leader: Option<ServerId>,
    /// How often a server was started on this data directory.
    pub starts: u64,
    /// Positions in the log.
    pub log: MemberLog,
    /// Servers that vote, in their order.
    pub voters: Vec<ServerId>,
    /// Servers that only receive: observers, and those on their way to a vote.
    pub learners: Vec<ServerId>,
    /// Bytes that have come of a snapshot which is being fetched from another server; `None` when none is.
    pub fetched_bytes: Option<u64>,
    /// What only a leader knows.
    pub leading: Option<LeadingFacts>,
    /// Where the configuration files and what is agreed on differ, if the files decide who the
    /// members are.
    pub file_differences: Vec<FileDifference>,
}

/// A difference between the configuration files and what is agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileDifference {
    /// This server votes, and by the file it does not.
    Votes(ServerId),
    /// The file of that server says something else than the leader's.
    OtherFile(ServerId),
}

impl fmt::Display for FileDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileDifference::Votes(server) => write!(f, "server.{server} votes and does not by zoo.cfg"),
            FileDifference::OtherFile(server) => write!(f, "the zoo.cfg of server.{server} is another"),
        }
    }
}

impl FileDifference {
    /// What the operator can do about it.
    pub fn advice(self) -> &'static str {
        match self {
            FileDifference::Votes(_) => {
                "It loses its vote once the zoo.cfg of more than half of the voters say so, and it is stopped or its own says so"
            }
            FileDifference::OtherFile(_) => {
                "Make the server.N lines the same everywhere, and restart the servers whose lines have changed"
            }
        }
    }
}

/// The part a server has in its ensemble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberRole {
    /// It has no data, and waits for the others to found the ensemble with or for a leader to take it in…
    Newcomer,
    /// …then it receives without a vote, as an observer always does…
    Learner {
        /// Whether the configuration calls it an observer.
        observer: bool,
    },
    /// …or because a `reconfig` has removed it, and it serves its clients until it is stopped…
    Removed,
    /// …or with one…
    Follower,
    /// …and when it hears of no leader, stands for election…
    Candidate,
    /// …and orders the log.
    Leader,
}

impl MemberRole {
    /// For people; `learner` is one that is to get a vote.
    pub fn name(self) -> &'static str {
        match self {
            MemberRole::Newcomer => "newcomer",
            MemberRole::Learner { observer: true } => "observer",
            MemberRole::Learner { observer: false } => "learner",
            MemberRole::Removed => "removed",
            MemberRole::Follower => "follower",
            MemberRole::Candidate => "candidate",
            MemberRole::Leader => "leader",
        }
    }
}

/// Indexes in a member's log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MemberLog {
    /// The last entry whose changes can be read.
    pub applied: u64,
    /// The last entry known to be agreed on.
    pub agreed: u64,
    /// The last entry there is.
    pub last: u64,
}

/// What only a leader knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeadingFacts {
    /// Since when it leads, in ms.
    pub uptime_ms: u64,
    /// Everybody else, in the order of their numbers.
    pub followers: Vec<FollowerFacts>,
    /// Servers that are not yet what the configuration says, and what is being done about it.
    pub changes: Vec<(ServerId, MemberChange)>,
}

/// On the way to what the configuration says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberChange {
    /// It is waited for, or is being taken in…
    Joins,
    /// …then it receives what it lacks…
    CatchesUp,
    /// …until it gets its vote.
    Promoted,
    /// It loses its vote, and stays as an observer.
    Demoted,
    /// It is being removed.
    Leaves,
}

impl MemberChange {
    /// As `srvr` prints it.
    pub fn name(self) -> &'static str {
        match self {
            MemberChange::Joins => "joining",
            MemberChange::CatchesUp => "catching up",
            MemberChange::Promoted => "being promoted",
            MemberChange::Demoted => "losing its vote",
            MemberChange::Leaves => "leaving",
        }
    }
}

/// A member as its leader sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FollowerFacts {
    /// Its number.
    pub server: ServerId,
    /// Whether it votes.
    pub votes: bool,
    /// Whether it keeps up.
    pub state: FollowerState,
    /// Entries of the leader's log that it is not known to have on its disk.
    pub behind_entries: u64,
    /// Bytes of these, from the start of the leader's process on: it does not know how long older ones are.
    pub behind_bytes: u64,
}

/// Whether a member keeps up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FollowerState {
    /// It answers and has almost all…
    InStep,
    /// …or it answers and is far behind…
    Behind,
    /// …or so far that it needs a snapshot…
    NeedsSnapshot,
    /// …or it has not been heard of for a while.
    Silent,
}

impl FollowerState {
    /// As `srvr` prints it.
    pub fn name(self) -> &'static str {
        match self {
            FollowerState::InStep => "in step",
            FollowerState::Behind => "behind",
            FollowerState::NeedsSnapshot => "needs a snapshot",
            FollowerState::Silent => "silent",
        }
    }
}

impl MemberStatus {
    /// Members the leader has heard of lately that do vote (`true`) or do not.
    pub fn synced(&self, votes: bool) -> usize {
        let followers = self.leading.iter().flat_map(|leading| &leading.followers);
        followers.filter(|f| f.votes == votes && f.state == FollowerState::InStep).count()
    }

    /// Members the leader hears of at all.
    pub fn connected(&self) -> usize {
        let followers = self.leading.iter().flat_map(|leading| &leading.followers);
        followers.filter(|f| f.state != FollowerState::Silent).count()
    }
}

//! What a member knows of its ensemble and of its own role in it.

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

/// Status of the ensemble, at most a tenth of a second old.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberStatus {
    /// The server's number (`myid`).
    pub server: ServerId,
    /// Its id in the group, which changes with the server's disk; `None` while it is not in the
    /// group.
    pub member: Option<u64>,
    /// The consensus engine.
    pub engine: EngineKind,
    /// Its current role.
    pub role: MemberRole,
    /// Term of Raft or ballot of Paxos: rises with every election.
    pub term: u64,
    /// The leader, as far as this server knows.
    pub leader: Option<ServerId>,
    /// Number of starts on this data directory.
    pub starts: u64,
    /// Positions in the log.
    pub log: MemberLog,
    /// The voters, in order.
    pub voters: Vec<ServerId>,
    /// Learners: observers, and servers about to become voters.
    pub learners: Vec<ServerId>,
    /// Bytes received of a snapshot being fetched from another server; `None` when none is.
    pub fetched_bytes: Option<u64>,
    /// Facts that only a leader knows.
    pub leading: Option<LeadingFacts>,
    /// Differences between the configuration files and the committed membership, if the files
    /// decide who the members are.
    pub file_differences: Vec<FileDifference>,
}

/// A difference between the configuration files and the committed membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileDifference {
    /// This server votes, but not according to its file.
    Votes(ServerId),
    /// The file of that server differs from the leader's.
    OtherFile(ServerId),
}

impl fmt::Display for FileDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileDifference::Votes(server) => write!(f, "server.{server} votes, but not according to zoo.cfg"),
            FileDifference::OtherFile(server) => write!(f, "the zoo.cfg of server.{server} differs"),
        }
    }
}

impl FileDifference {
    /// What the operator can do about it.
    pub fn advice(self) -> &'static str {
        match self {
            FileDifference::Votes(_) => {
                "It loses its vote once the zoo.cfg files of more than half of the voters say so, and it is stopped or its own file says so too"
            }
            FileDifference::OtherFile(_) => {
                "Make the server.N lines the same on all servers, and restart those whose lines have changed"
            }
        }
    }
}

/// The role of a server in its ensemble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberRole {
    /// It has no data, and waits for the others to found the ensemble with, or for a leader to
    /// admit it…
    Newcomer,
    /// …then it replicates without a vote, as an observer always does…
    Learner {
        /// Whether the configuration makes it an observer.
        observer: bool,
    },
    /// …or because a `reconfig` has removed it: it serves its clients until it is stopped…
    Removed,
    /// …or with a vote…
    Follower,
    /// …and if it hears from no leader, stands for election…
    Candidate,
    /// …and as the winner orders the log.
    Leader,
}

impl MemberRole {
    /// The name shown to operators; a `learner` is about to become a voter.
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
    /// The last entry known to be committed.
    pub committed: u64,
    /// The last entry.
    pub last: u64,
}

/// Facts that only a leader knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeadingFacts {
    /// Time since it became leader, in ms.
    pub uptime_ms: u64,
    /// The other members, in order of number.
    pub followers: Vec<FollowerFacts>,
    /// Servers that are not yet what the configuration says, and the change under way.
    pub changes: Vec<(ServerId, MemberChange)>,
}

/// A change towards what the configuration says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberChange {
    /// The leader waits for it, or is adding it…
    Joins,
    /// …then it catches up…
    CatchesUp,
    /// …until it becomes a voter.
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
    /// Bytes of these entries, as far as the leader's process has appended them: it does not know
    /// the length of older ones.
    pub behind_bytes: u64,
}

/// Whether a member keeps up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FollowerState {
    /// It answers and has almost everything…
    InStep,
    /// …or it answers but is far behind…
    Behind,
    /// …or so far that it needs a snapshot…
    NeedsSnapshot,
    /// …or the leader has not heard from it for a while.
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
    /// Members that keep up, with (`true`) or without a vote.
    pub fn synced(&self, votes: bool) -> usize {
        let followers = self.leading.iter().flat_map(|leading| &leading.followers);
        followers.filter(|f| f.votes == votes && f.state == FollowerState::InStep).count()
    }

    /// Members that the leader hears from.
    pub fn connected(&self) -> usize {
        let followers = self.leading.iter().flat_map(|leading| &leading.followers);
        followers.filter(|f| f.state != FollowerState::Silent).count()
    }
}

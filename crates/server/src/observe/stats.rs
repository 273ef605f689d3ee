//! What an operator may ask about a running server, as plain values.
//!
//! The four-letter words, the AdminServer and the metrics print these and know nothing of
//! connections, trees or logs; the server supplies them through [`Source`]. All times of day are ms
//! since 1970; all durations are in the unit that their name says.

#[cfg(test)]
pub(crate) mod fake;
pub(crate) mod member;

use std::net::SocketAddr;

use group::GroupId;
use state::auth::Identities;
use state::watch::WatchSummary;

pub use self::member::{
    FileDifference, FollowerFacts, FollowerState, LeadingFacts, MemberChange, MemberLog, MemberRole,
    MemberStatus,
};
use crate::config::{Config, Servers};
use crate::counters::{GroupTotals, SizeBytes, Summary, ThreadTotals, Totals};
use crate::inbox::SnapshotWaiter;

/// The source of the answers. Every method may be called from any thread at any time and describes
/// one point in time; two calls may describe different ones.
pub trait Source: Send + Sync {
    /// The configuration the server was started with.
    fn config(&self) -> &Config;
    /// The committed members of the ensemble and the version of that list; empty for a standalone
    /// server.
    fn members(&self) -> (Servers, i64);
    /// Whether requests are served: started, not stopping, and with a leader.
    fn is_serving(&self) -> bool;
    /// The counts; cheap enough for one call a second.
    fn facts(&self) -> Facts;
    /// The counts of the groups beside the root group.
    fn other_groups(&self) -> Vec<GroupFacts>;
    /// Every open client connection, in no particular order.
    fn connections(&self) -> Vec<ConnectionFacts>;
    /// Every session, connected or not, in no particular order.
    fn sessions(&self) -> SessionList;
    /// Numbers of watches.
    fn watch_summary(&self) -> WatchSummary;
    /// Every watch. May be as long as there are watches.
    fn watches(&self) -> WatchFacts;
    /// Bytes of the files in the data and log directories. Walks both.
    fn directory_bytes(&self) -> DirectoryBytes;
    /// Digests of the tree at recent zxids, oldest first: (zxid, digest). Empty if none are kept.
    fn digests(&self) -> Vec<(i64, u64)>;
    /// Reads the certificates of TLS again; `None` without TLS. The error says why the old ones
    /// stay in use.
    #[cfg(feature = "net")]
    fn reload_certificates(&self) -> Option<Result<(), String>>;
    /// Sets latencies, packet counts and the other statistics to zero (`srst`), as the table of
    /// `counters` says.
    fn reset_statistics(&self);
    /// Sets the statistics of every connection to zero (`crst`).
    fn reset_connection_statistics(&self);
    /// Requests a snapshot now (`csnp`). Returns the index of the last log entry it will cover;
    /// `None` if it could not be requested.
    fn request_snapshot(&self) -> Option<u64>;
    /// Takes a snapshot; `waiter` is told when it is on disk.
    fn take_snapshot(&self, waiter: SnapshotWaiter);
    /// Whether a client with these identities may have a copy of the whole state, as
    /// [`Machine::may_copy`](state::machine::Machine::may_copy).
    fn may_copy(&self, identities: &Identities) -> bool;
    /// Asks this server to become leader (`rqld`), or to let another one lead (`ydld`). The outcome
    /// shows in the role.
    fn request_leadership(&self, leads: bool);
}

/// The role of this server, in ZooKeeper's words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ServerState {
    /// Standalone.
    #[default]
    Standalone,
    /// The leader of an ensemble.
    Leader,
    /// A member of an ensemble that votes.
    Follower,
    /// A member of an ensemble without a vote.
    Observer,
    /// Cut off from the others, serving reads only.
    ReadOnly,
}

impl ServerState {
    /// As `srvr` prints it after `Mode:`.
    pub fn name(self) -> &'static str {
        match self {
            ServerState::Standalone => "standalone",
            ServerState::Leader => "leader",
            ServerState::Follower => "follower",
            ServerState::Observer => "observer",
            ServerState::ReadOnly => "read-only",
        }
    }
}

/// Facts about the whole server, and about its root group.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// Whether all clients are served, not only read-only ones.
    pub serving: bool,
    /// Time since the start, in ms.
    pub uptime_ms: u64,
    /// The client port; the one the system chose if 0 was configured, 0 if there is none.
    pub client_port: u16,
    /// The port of clients that speak TLS.
    pub secure_port: Option<u16>,
    /// TLS handshakes that have begun and are not complete.
    pub tls_handshakes: u64,
    /// Open client connections.
    pub connections: u64,
    /// Requests received and not yet answered.
    pub outstanding_requests: u64,
    /// The value of `/keeper/api_version`; 0 without the extensions.
    pub keeper_api_version: u32,
    /// What all connection threads counted.
    pub threads: ThreadTotals,
    /// What the other threads counted.
    pub counts: Totals,
    /// The root group.
    pub root: GroupFacts,
}

impl Facts {
    /// µs from reading a request to queueing its reply.
    pub fn latency(&self) -> Summary {
        self.threads.read_latency.joined(&self.threads.update_latency)
    }

    /// Last, smallest and largest reply in bytes, -1 if there was none.
    pub(crate) fn response_sizes(&self) -> [i64; 3] {
        last_min_max(self.threads.response_bytes)
    }
}

/// Facts about a consensus group, as this server sees it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GroupFacts {
    /// Its number.
    pub group: GroupId,
    /// This server's role.
    pub state: ServerState,
    /// The ensemble; `None` for a server that its configuration makes standalone.
    pub member: Option<MemberStatus>,
    /// The last zxid that was applied.
    pub last_zxid: i64,
    /// Znodes, `/` included.
    pub znodes: u64,
    /// Ephemeral znodes.
    pub ephemerals: u64,
    /// Bytes of all paths and data, as ZooKeeper estimates them.
    pub data_bytes: u64,
    /// Watches.
    pub watches: u64,
    /// Sessions.
    pub sessions: u64,
    /// The last snapshot; `None` before the first.
    pub snapshot: Option<SnapshotFacts>,
    /// The log.
    pub log: LogFacts,
    /// What was counted.
    pub counts: GroupTotals,
}

impl GroupFacts {
    /// Last, smallest and largest proposal in bytes, -1 if there was none.
    pub(crate) fn proposal_sizes(&self) -> [i64; 3] {
        last_min_max(self.counts.proposal_bytes)
    }

    /// The other members, if this server leads.
    pub(crate) fn followers(&self) -> impl Iterator<Item = &FollowerFacts> {
        self.member.iter().flat_map(|member| &member.leading).flat_map(|leading| &leading.followers)
    }
}

fn last_min_max(sizes: Option<SizeBytes>) -> [i64; 3] {
    sizes.map_or([-1; 3], |sizes| [sizes.last, sizes.min, sizes.max].map(|size| size as i64))
}

/// A finished snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotFacts {
    /// The zxid up to which it reaches.
    pub zxid: i64,
    /// The index of the last log entry it covers.
    pub log_index: u64,
    /// When it was finished, ms since 1970.
    pub finished_ms: i64,
}

/// Positions in the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogFacts {
    /// Index of the oldest entry kept.
    pub first_index: u64,
    /// Its term.
    pub first_term: u64,
    /// Index of the newest entry.
    pub last_index: u64,
    /// Its term.
    pub last_term: u64,
    /// Index of the newest committed entry.
    pub committed_index: u64,
}

/// Bytes on disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DirectoryBytes {
    /// Of `dataDir`.
    pub data: u64,
    /// Of `dataLogDir`.
    pub log: u64,
}

/// One client connection.
#[derive(Debug, Clone, PartialEq)]
pub struct ConnectionFacts {
    /// The client's address.
    pub peer: SocketAddr,
    /// Whether it is encrypted.
    pub is_secure: bool,
    /// Requests received and not yet answered.
    pub outstanding: u64,
    /// Packets received since the reset.
    pub received: u64,
    /// Packets sent since the reset.
    pub sent: u64,
    /// When it was accepted, ms since 1970.
    pub established_ms: i64,
    /// The session on it; `None` before there is one.
    pub session: Option<ConnectionSession>,
}

/// Facts about a connection with a session.
#[derive(Debug, Clone, PartialEq)]
pub struct ConnectionSession {
    /// The session's id.
    pub id: i64,
    /// Its timeout in ms.
    pub timeout_ms: u32,
    /// The last answered opcode; `None` if nothing was answered since the reset.
    pub last_opcode: Option<i32>,
    /// xid of the last answered request; negative for none, and for pings and the like, which have
    /// no xid of their own.
    pub last_xid: i64,
    /// zxid in the last reply, -1 for none.
    pub last_zxid: i64,
    /// When the last reply was queued, in ms of a monotonic clock that began with the server; 0 for
    /// never.
    pub last_response_ms: i64,
    /// Latency of the last request in ms.
    pub last_latency_ms: u64,
    /// The smallest, average and largest latency since the reset, in ms.
    pub latency_ms: (u64, u64, u64),
}

/// One session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionFacts {
    /// Its id.
    pub id: i64,
    /// When it expires unless it is heard from before, ms since 1970; the same for all sessions of
    /// an expiry bucket.
    pub expires_ms: i64,
    /// Paths of its ephemeral znodes.
    pub ephemerals: Vec<String>,
}

/// All watches: pairs of a path and the id of a session that watches it, without duplicates, in no
/// particular order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WatchFacts {
    /// (path, session id).
    pub pairs: Vec<(String, i64)>,
    /// The list is incomplete.
    pub is_cut_short: bool,
}

/// All sessions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionList {
    /// Each session once.
    pub sessions: Vec<SessionFacts>,
    /// Some sessions have more ephemeral znodes than listed.
    pub is_cut_short: bool,
}

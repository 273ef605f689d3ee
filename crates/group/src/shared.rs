//! What a group shares with the threads that serve clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use parking_lot::{Mutex, RwLock};
use state::machine::Machine;

use crate::leader_time::LeaderTime;
use crate::read_progress::ReadProgress;
use crate::sessions::SessionTable;

/// See the module. Locks are taken in the order of the fields.
#[derive(Clone)]
pub struct GroupShared {
    /// The replicated state. Connection threads read it, the group applies committed commands to it.
    pub machine: Arc<RwLock<Machine>>,
    /// Living sessions.
    pub sessions: Arc<SessionTable>,
    /// Until when the connection threads have read their sockets.
    pub read_progress: Arc<ReadProgress>,
    /// What the leader's clock showed. Held for a copy only.
    pub leader_time: Arc<Mutex<Option<LeaderTime>>>,
    /// Whether clients are served.
    pub flags: Arc<ServingFlags>,
    /// Takes note of what happens.
    pub observer: Arc<dyn Observer>,
}

/// Whether clients are served, for threads that do not ask the group.
#[derive(Debug, Default)]
pub struct ServingFlags {
    /// Clients are served: there is a leader, or was a moment ago, and this member has caught up
    /// with it.
    pub serving: AtomicBool,
    /// The replication loop has stalled for so long that clients are not served.
    pub stalled: AtomicBool,
    /// This member has lost contact with the others, and serves clients that are content with
    /// reading.
    pub read_only: AtomicBool,
    /// Cycles of the replication loop.
    pub cycles: AtomicU64,
}

impl ServingFlags {
    /// Whether clients are served.
    pub fn is_serving(&self) -> bool {
        self.serving.load(Relaxed) && !self.stalled.load(Relaxed)
    }
}

/// Counts what happens in a group, for metrics.
pub trait Observer: Send + Sync {
    /// It has happened `times` times.
    fn count(&self, event: Counted, times: u64);

    /// It took so many µs, or has so many bytes.
    fn record(&self, event: Recorded, value: u64);
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// This member has begun to look for a leader.
    LookingForLeader,
    /// Commands were proposed.
    Proposals,
    /// Commands were committed by this leader.
    Commits,
    /// A follower has connected to this leader.
    FollowerConnected,
    /// Sessions have expired.
    SessionsExpired,
    /// Writes were refused for want of room on the disk.
    WritesRefused,
    /// Leadership was transferred to another member.
    LeadershipTransfers,
}

/// What is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// Time without a leader, in µs.
    ElectionTime,
    /// Time in which clients were not served, in µs.
    UnavailableTime,
    /// The same on a member that leads afterwards, in µs.
    LeaderUnavailableTime,
    /// Time from proposing an entry to its commit, in µs.
    CommitLatency,
    /// Time from a leader's batch to its application here, in µs.
    PropagationLatency,
    /// Bytes of a proposed entry.
    ProposalBytes,
}

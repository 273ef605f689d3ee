//! What a group shares with the threads that serve clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use parking_lot::{Mutex, RwLock};
use state::machine::Machine;

use crate::leader_time::LeaderTime;
use crate::read_progress::ReadProgress;
use crate::sessions::SessionTable;

/// What a group shares. Locks are taken in the order of the fields.
#[derive(Clone)]
pub struct GroupShared {
    /// The replicated state. Connection threads read it; the group applies committed commands to
    /// it.
    pub machine: Arc<RwLock<Machine>>,
    /// Live sessions.
    pub sessions: Arc<SessionTable>,
    /// Times up to which the connection threads have read their sockets.
    pub read_progress: Arc<ReadProgress>,
    /// What the leader's clock showed. Lock only to copy.
    pub leader_time: Arc<Mutex<Option<LeaderTime>>>,
    /// Whether clients are served.
    pub flags: Arc<ServingFlags>,
    /// Receives counts and measurements.
    pub observer: Arc<dyn Observer>,
}

/// Whether clients are served, for threads that do not ask the group.
#[derive(Debug, Default)]
pub struct ServingFlags {
    /// Clients are served: there is a leader, or was until recently, and this member has caught up
    /// with it.
    pub serving: AtomicBool,
    /// This member has lost contact with the others and serves read-only clients.
    pub read_only: AtomicBool,
}

impl ServingFlags {
    /// Whether clients are served.
    pub fn is_serving(&self) -> bool {
        self.serving.load(Relaxed)
    }
}

/// Counts what happens in a group, for metrics.
pub trait Observer: Send + Sync {
    /// The event has happened `times` times.
    fn count(&self, event: Counted, times: u64);

    /// The value in the event's unit: µs or bytes.
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
    /// Writes were refused because the disk is full.
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
    /// Time in which clients were not served, on a member that leads afterwards, in µs.
    LeaderUnavailableTime,
    /// Time from proposing an entry to its commit, in µs.
    CommitLatency,
    /// Time from a leader's batch to its application here, in µs.
    PropagationLatency,
    /// Bytes of a proposed entry.
    ProposalBytes,
}

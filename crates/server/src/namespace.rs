//! What the threads of a server share of one consensus group: its replicated state and what this
//! server knows of the group's clients.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use group::GroupId;
use group::leader_time::LeaderTime;
use group::member_status::MemberStatus;
use group::read_progress::ReadProgress;
use group::sessions::SessionTable;
use group::shared::{Counted, GroupShared, Observer, Recorded, ServingFlags};
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use state::machine::Machine;
use state::watch::WatchTable;

use crate::counters::GroupCounts;

/// One consensus group as the server's threads see it.
///
/// Lock order: the order of the fields. A thread that holds a later lock never waits for an earlier
/// one.
pub struct Namespace {
    /// The group.
    pub group: GroupId,
    /// The replicated state. Connection threads read it, the replication thread writes.
    pub machine: Arc<RwLock<Machine>>,
    /// Which connection watches which znode. Locked with the machine held, so that no change falls
    /// between reading and registering.
    pub watches: Mutex<WatchTable>,
    /// Living sessions.
    pub sessions: Arc<SessionTable>,
    /// The last known reading of the leader's clock. Locked for a copy only.
    pub leader_time: Arc<Mutex<Option<LeaderTime>>>,
    /// The member's status, updated by the replication thread; `None` for a standalone server.
    /// Locked for a copy only.
    pub member_status: Mutex<Option<MemberStatus>>,
    /// Whether the group's clients are served, as the group says.
    pub flags: Arc<ServingFlags>,
    /// What was counted and measured.
    pub counts: Arc<GroupCounts>,
}

impl Observer for GroupCounts {
    fn count(&self, event: Counted, times: u64) {
        let counter = match event {
            Counted::LookingForLeader => &self.looking,
            Counted::Proposals => &self.proposals,
            Counted::Commits => &self.commits,
            Counted::FollowerConnected => &self.diffs,
            Counted::SessionsExpired => &self.sessions_expired,
            Counted::WritesRefused => &self.writes_refused,
            Counted::LeadershipTransfers => &self.handovers,
        };
        counter.fetch_add(times, Relaxed);
    }

    fn record(&self, event: Recorded, value: u64) {
        let recorder = match event {
            Recorded::ElectionTime => &self.election_time,
            Recorded::UnavailableTime => &self.unavailable_time,
            Recorded::LeaderUnavailableTime => &self.leader_unavailable_time,
            Recorded::CommitLatency => &self.ack_latency,
            Recorded::PropagationLatency => &self.propagation_latency,
            Recorded::ProposalBytes => return self.proposal_bytes.record(value),
        };
        recorder.record(value);
    }
}

impl Namespace {
    /// The namespace of a group whose state is `machine`.
    pub fn new(group: GroupId, machine: Machine, sessions: SessionTable, watches: WatchTable) -> Namespace {
        Namespace {
            group,
            machine: Arc::new(RwLock::new(machine)),
            watches: Mutex::new(watches),
            sessions: Arc::new(sessions),
            leader_time: Arc::default(),
            member_status: Mutex::new(None),
            flags: Arc::default(),
            counts: Arc::default(),
        }
    }

    /// What the group needs of it. `read_progress` is that of all connection threads.
    pub(crate) fn of_group(&self, read_progress: &Arc<ReadProgress>) -> GroupShared {
        GroupShared {
            machine: Arc::clone(&self.machine),
            sessions: Arc::clone(&self.sessions),
            read_progress: Arc::clone(read_progress),
            leader_time: Arc::clone(&self.leader_time),
            flags: Arc::clone(&self.flags),
            observer: Arc::clone(&self.counts) as Arc<dyn Observer>,
        }
    }

    /// The replicated state, for a connection thread that may already hold it for reading: handling
    /// a delivery while it serves reads can ask for it again. An ordinary second `read` would wait
    /// behind a queued writer, which waits for the first read guard: a deadlock.
    pub fn read_machine(&self) -> RwLockReadGuard<'_, Machine> {
        self.machine.read_recursive()
    }
}

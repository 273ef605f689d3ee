//! What a host asks of a group's engine, which the group alone owns.

use consensus::engine::{ChangeError, Leadership, Status};
use consensus::entry::MemberId;
use consensus::membership::{MembershipChange, SnapshotMeta};

use crate::replica::Replica;

impl Replica {
    /// What the engine knows of the log, the members and their progress.
    pub fn status(&self) -> Status {
        self.engine.status()
    }

    /// Index of the last entry that the engine knows to be committed.
    pub fn commit(&self) -> u64 {
        self.engine.commit()
    }

    /// Role, leader and term as the engine has them now; [`role`](Self::role) gives them as of the
    /// last [`ready`](Self::ready).
    pub fn role_in_engine(&self) -> Leadership {
        self.engine.role()
    }

    /// Stands for election at once.
    pub fn campaign(&mut self) {
        self.engine.campaign();
    }

    /// Everything that the [`Ready`](consensus::engine::Ready) of that number and all earlier ones
    /// wanted on the disk is flushed.
    pub fn persisted(&mut self, number: u64) {
        self.engine.persisted(number);
    }

    /// A member has shown by other means than the engine's that it is alive.
    pub fn heard_from(&mut self, member: MemberId) {
        self.engine.heard_of(member);
    }

    /// Transfers leadership to a voter.
    ///
    /// # Errors
    ///
    /// This member does not lead, or the other one cannot.
    pub fn transfer_to(&mut self, member: MemberId) -> Result<(), ChangeError> {
        self.engine.transfer_leadership(member)
    }

    /// Proposes a membership change.
    ///
    /// # Errors
    ///
    /// This member does not lead, another change is pending, or the change is not possible.
    pub fn propose_membership(&mut self, change: MembershipChange) -> Result<(), ChangeError> {
        self.engine.propose_membership(change)
    }

    /// The log position and members that a snapshot at this index must record; `None` if the index
    /// is not applied or no longer in the log.
    pub fn snapshot_meta(&self, index: u64) -> Option<SnapshotMeta> {
        self.engine.snapshot_meta(index)
    }

    /// A snapshot exists; entries before `first_index_kept` need not stay in memory.
    pub fn compact(&mut self, snapshot: &SnapshotMeta, first_index_kept: u64) {
        self.engine.compact(snapshot, first_index_kept);
    }

    /// A snapshot that the engine offered has been fetched from another member.
    pub fn snapshot_fetched(&mut self, snapshot: SnapshotMeta) {
        self.engine.snapshot_fetched(snapshot);
    }
}

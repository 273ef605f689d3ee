//! An ear at the engine: what a member takes for agreed is what a simulator has to judge.

use std::sync::Arc;

use bytes::Bytes;
use consensus::engine::{ChangeError, Engine, Ready, Refused, RoleChange, Status, StepError, TooManyReads};
use consensus::entry::{Entry, MemberId};
use consensus::membership::{MembershipChange, SnapshotMeta};
use parking_lot::Mutex;

/// Entries that came out of an engine as agreed, until somebody takes them.
pub(super) type Heard = Arc<Mutex<Vec<Entry>>>;

/// An engine whose agreed entries are noted. In everything else it is that engine.
pub(super) struct Tap {
    pub(super) engine: Box<dyn Engine>,
    pub(super) heard: Heard,
}

impl Engine for Tap {
    fn ready(&mut self, out: &mut Ready) -> bool {
        let any = self.engine.ready(out);
        if any {
            self.heard.lock().extend(out.committed.iter().cloned());
        }
        any
    }

    fn tick(&mut self) {
        self.engine.tick();
    }

    fn propose(&mut self, data: Bytes) -> Result<(), Refused> {
        self.engine.propose(data)
    }

    fn step(&mut self, from: MemberId, bytes: Bytes) -> Result<(), StepError> {
        self.engine.step(from, bytes)
    }

    fn persisted(&mut self, number: u64) {
        self.engine.persisted(number);
    }

    fn applied(&mut self, index: u64) {
        self.engine.applied(index);
    }

    fn snapshot_meta(&self, index: u64) -> Option<SnapshotMeta> {
        self.engine.snapshot_meta(index)
    }

    fn compact(&mut self, snapshot: &SnapshotMeta, first_index_kept: u64) {
        self.engine.compact(snapshot, first_index_kept);
    }

    fn snapshot_fetched(&mut self, snapshot: SnapshotMeta) {
        self.engine.snapshot_fetched(snapshot);
    }

    fn read_barrier(&mut self, context: u64) -> Result<(), TooManyReads> {
        self.engine.read_barrier(context)
    }

    fn transfer_leadership(&mut self, to: MemberId) -> Result<(), ChangeError> {
        self.engine.transfer_leadership(to)
    }

    fn propose_membership(&mut self, change: MembershipChange) -> Result<(), ChangeError> {
        self.engine.propose_membership(change)
    }

    fn campaign(&mut self) {
        self.engine.campaign();
    }

    fn status(&self) -> Status {
        self.engine.status()
    }

    fn role(&self) -> RoleChange {
        self.engine.role()
    }
}

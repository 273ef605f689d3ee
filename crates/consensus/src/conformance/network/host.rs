//! What every member's host does with its engine: the loop of a server, with a simulated disk and
//! wire.

use bytes::Bytes;

use super::super::disk::Snapshot;
use super::Network;
use crate::engine::{Ready, SnapshotOffer};
use crate::entry::MemberId;

impl Network<'_> {
    pub(super) fn finish_flushes(&mut self, member: MemberId) {
        let now = self.now;
        while let Some((_, number)) =
            self.peer(member).flushes.front().copied().filter(|(due, _)| *due <= now)
        {
            let peer = self.peer(member);
            peer.flushes.pop_front();
            peer.disk.flush(number);
            peer.engine().persisted(number);
            self.pump(member);
        }
    }

    pub(super) fn finish_fetch(&mut self, member: MemberId) {
        let now = self.now;
        let Some((_, from)) = self.peer(member).fetching.take_if(|(due, _)| *due <= now) else { return };
        let is_reachable = self.peers[&from].engine.is_some() && !self.cut.contains(&(from, member));
        if is_reachable {
            let snapshot = self.peers[&from].disk.snapshot.clone();
            let meta = snapshot.meta.clone();
            let peer = self.peer(member);
            let known = peer.fetched.as_ref().map_or(0, |known| known.meta.position.index);
            if meta.position.index > known {
                peer.fetched = Some(snapshot);
            }
            peer.engine().snapshot_fetched(meta);
            self.pump(member);
        }
    }

    /// The host's loop: handles all pending work, and reports flushes later.
    pub(super) fn pump(&mut self, member: MemberId) {
        let mut ready = Ready::default();
        while self.peer(member).engine().ready(&mut ready) {
            self.handle(member, &ready);
        }
        // A host may report what it has applied now or later.
        if self.percent(70) {
            let peer = self.peer(member);
            let applied = peer.applied;
            peer.engine().applied(applied);
            self.snapshot_if_due(member, self.snapshot_every);
        }
    }

    fn handle(&mut self, member: MemberId, ready: &Ready) {
        let delay = self.random(self.faults.flush_delay_max + 1);
        let now = self.now;
        let peer = self.peers.get_mut(&member).expect("a known member");
        assert!(ready.number >= peer.last_number, "numbers never decrease");
        peer.last_number = ready.number;
        let install = ready.install_snapshot.as_ref().map(|meta| {
            let snapshot = peer.fetched.take().expect("only a fetched snapshot is installed");
            assert_eq!(*meta, snapshot.meta, "the fetched snapshot is installed");
            peer.history.clone_from(&snapshot.history);
            peer.applied = meta.position.index;
            peer.installed_count += 1;
            snapshot
        });
        peer.disk.write(ready, install);
        if ready.must_sync {
            let previous = peer.flushes.back().map_or(0, |(due, _)| *due);
            peer.flushes.push_back((previous.max(now + delay), ready.number));
        }
        for entry in &ready.committed {
            assert_eq!(entry.index, peer.applied + 1, "entries are given out in order, once");
            assert!(peer.disk.holds(entry), "committed entries are given out only once flushed here");
            peer.applied = entry.index;
            peer.history.push(entry.clone());
            self.record.committed(member, entry);
        }
        ready.role.into_iter().for_each(|change| self.record.role(member, change));
        ready.barriers.iter().for_each(|barrier| self.record.answered(*barrier));
        ready.messages.iter().for_each(|message| self.send(member, message.to, &message.bytes));
        ready.snapshot_offer.iter().for_each(|offer| self.fetch(member, offer));
        if ready.snapshot_wanted {
            let applied = self.peer(member).applied;
            self.peer(member).engine().applied(applied);
            self.snapshot_if_due(member, 1);
        }
    }

    fn send(&mut self, from: MemberId, to: MemberId, bytes: &Bytes) {
        let copies = if self.percent(self.faults.duplicate_percent) { 2 } else { 1 };
        for _ in 0..copies {
            self.sent_count += 1;
            *self.sent_bytes.entry(to).or_default() += bytes.len() as u64;
            self.longest_message = self.longest_message.max(bytes.len() as u64);
            let is_chosen = self.lost == Some(self.sent_count);
            let is_lost = self.percent(self.faults.loss_percent) || self.cut.contains(&(from, to));
            let due = self.now + 1 + self.random(self.faults.delay_max);
            if !is_lost && !is_chosen {
                self.wire.insert((due, self.sent_count), (from, to, bytes.clone()));
            }
        }
    }

    fn fetch(&mut self, member: MemberId, offer: &SnapshotOffer) {
        let due = self.now + 1 + self.random(self.faults.delay_max * 4);
        let peer = self.peer(member);
        if peer.fetching.is_none() {
            peer.fetching = Some((due, offer.from));
        }
    }

    fn snapshot_if_due(&mut self, member: MemberId, every: u64) {
        let retained = self.retained;
        let peer = self.peer(member);
        // A member that is about to install another member's snapshot has nothing of its own to
        // save.
        let is_due = peer.applied - peer.disk.snapshot.meta.position.index.min(peer.applied) >= every;
        if !is_due {
            return;
        }
        let applied = peer.applied;
        let Some(meta) = peer.engine().snapshot_meta(applied) else { return };
        let history = peer.history.clone();
        let kept = applied.saturating_sub(retained) + 1;
        peer.disk.compact(Snapshot { meta: meta.clone(), history }, kept);
        peer.engine().compact(&meta, kept);
        let status = peer.engine().status();
        assert!(status.first_index <= applied + 1, "nothing after the snapshot is dropped");
    }
}

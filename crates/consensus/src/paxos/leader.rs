//! Phase 2: how a leader gets its log chosen, and its other duties to its followers.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::message::{AcceptedLog, Body};
use super::peer::{Addressee, Peer};
use super::reads::Requester;
use super::{PaxosEngine, Stage};
use crate::entry::{Entry, EntryKind, MemberId, Position};
use crate::log::Log;
use crate::membership::SnapshotMeta;
use crate::message::ReadName;

/// The state of a leader.
pub(super) struct LeaderState {
    ballot: u64,
    /// Index of the entry that starts the leadership. Nothing counts as chosen by this leader
    /// before a majority has accepted that entry.
    first: u64,
    /// All members in force, except itself.
    peers: BTreeMap<MemberId, Peer>,
    heartbeat_ticks: u32,
    /// Ticks since it last counted its active followers.
    count_ticks: u32,
    transfer: Option<Transfer>,
    /// Data bytes of this leadership's entries that are not chosen yet.
    pub(super) uncommitted_bytes: u64,
}

struct Transfer {
    to: MemberId,
    ticks: u32,
    /// Whether `CampaignNow` was sent since the last heartbeat.
    is_sent: bool,
}

impl LeaderState {
    /// These entries are chosen now.
    pub(super) fn committed<'a>(&mut self, entries: impl Iterator<Item = &'a Entry>) {
        let own = entries.filter(|entry| entry.term == self.ballot);
        self.uncommitted_bytes -= own.map(|entry| entry.data.len() as u64).sum::<u64>();
    }

    pub(super) fn promised(&mut self, from: MemberId, log_state: AcceptedLog, log: &Log) {
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.promised(log_state, log);
        }
    }

    pub(super) fn peers(&self) -> impl Iterator<Item = (MemberId, &Peer)> {
        self.peers.iter().map(|(member, peer)| (*member, peer))
    }

    pub(super) fn heard_of(&mut self, from: MemberId) {
        self.peers.get_mut(&from).into_iter().for_each(|peer| peer.is_active = true);
    }

    pub(super) fn transfers(&self) -> bool {
        self.transfer.is_some()
    }

    pub(super) fn transfer(&mut self, to: MemberId) {
        self.transfer = Some(Transfer { to, ticks: 0, is_sent: false });
    }
}

impl PaxosEngine {
    pub(super) fn leads(&self) -> bool {
        matches!(self.stage, Stage::Leader(_))
    }

    pub(super) fn is_voter(&self, member: MemberId) -> bool {
        self.members.at(self.commit).voters.contains(&member)
    }

    pub(super) fn majority(&self) -> usize {
        self.members.at(self.commit).voters.len() / 2 + 1
    }

    /// Becomes leader in the ballot a majority has promised.
    pub(super) fn lead(&mut self, promises: &BTreeMap<MemberId, AcceptedLog>) {
        let first = self.log.last_position().index + 1;
        let mut state = LeaderState {
            ballot: self.promised,
            first,
            peers: BTreeMap::new(),
            heartbeat_ticks: 0,
            count_ticks: 0,
            transfer: None,
            uncommitted_bytes: 0,
        };
        let membership = self.members.at(self.commit);
        for member in membership.voters.iter().chain(&membership.learners) {
            if *member != self.settings.member {
                let mut peer = Peer::new(&self.log);
                promises.get(member).into_iter().for_each(|log_state| peer.promised(*log_state, &self.log));
                state.peers.insert(*member, peer);
            }
        }
        self.stage = Stage::Leader(state);
        self.leader = Some(self.settings.member);
        self.candidate = None;
        self.append_own(EntryKind::Leadership, Bytes::new());
    }

    /// Appends an entry of this leadership.
    pub(super) fn append_own(&mut self, kind: EntryKind, data: Bytes) {
        let Stage::Leader(state) = &mut self.stage else {
            unreachable!("only a leader has entries of its own")
        };
        state.uncommitted_bytes += data.len() as u64;
        let index = self.log.last_position().index + 1;
        self.append(Entry { index, term: self.promised, kind, data });
    }

    /// Whether an entry of this leadership is chosen, so that the commit is not behind that of any
    /// earlier leader.
    pub(super) fn knows_commit(&self) -> bool {
        matches!(&self.stage, Stage::Leader(state) if state.first <= self.commit)
    }

    pub(super) fn on_accepted(&mut self, from: MemberId, index: u64) {
        let Stage::Leader(state) = &mut self.stage else { return };
        if index > self.log.last_position().index {
            // What the follower holds beyond was chosen by a later leader, see `contradicts`.
            return self.stand_down();
        }
        if let Some(peer) = state.peers.get_mut(&from) {
            peer.is_active = true;
            peer.accepted(index, &self.log);
            self.advance_commit();
        }
    }

    pub(super) fn on_refused(&mut self, from: MemberId, previous: u64, hint: Position) {
        let Stage::Leader(state) = &mut self.stage else { return };
        if let Some(peer) = state.peers.get_mut(&from) {
            peer.is_active = true;
            peer.refused(previous, hint, &self.log);
        }
    }

    pub(super) fn on_heartbeat_reply(
        &mut self,
        from: MemberId,
        received: u64,
        accepted: u64,
        read: Option<ReadName>,
    ) {
        self.on_accepted(from, accepted);
        let Stage::Leader(state) = &mut self.stage else { return };
        let Some(peer) = state.peers.get_mut(&from) else { return };
        peer.heard(received, self.settings.heartbeat_ticks);
        if let Some(number) = read.and_then(|name| self.reads.echoed(name)) {
            peer.echoed = peer.echoed.max(number);
            self.answer_reads();
        }
    }

    /// The highest number that a majority of the voters has reached.
    fn majority_has(&self, own: u64, of_peer: impl Fn(&Peer) -> u64) -> u64 {
        let Stage::Leader(state) = &self.stage else { unreachable!("only a leader counts") };
        let voters = &self.members.at(self.commit).voters;
        let value = |member: &MemberId| match state.peers.get(member) {
            Some(peer) => of_peer(peer),
            None if *member == self.settings.member => own,
            None => 0,
        };
        let mut values = voters.iter().map(value).collect::<Vec<_>>();
        values.sort_unstable_by(|one, other| other.cmp(one));
        values[self.majority() - 1]
    }

    /// Chooses what a majority has accepted. A chosen membership change changes what a majority is.
    pub(super) fn advance_commit(&mut self) {
        while let Stage::Leader(state) = &self.stage {
            let first = state.first;
            let index = self.majority_has(self.flushes.persisted, |peer| peer.matched);
            if index < first || index <= self.commit {
                return;
            }
            self.choose(index);
            self.adopt_members();
        }
    }

    /// Updates the peers to the members in force.
    fn adopt_members(&mut self) {
        let Stage::Leader(state) = &mut self.stage else { return };
        let membership = self.members.at(self.commit);
        if !membership.voters.contains(&self.settings.member) {
            // It inherited its own removal from an earlier leader.
            return self.stand_down();
        }
        let (ballot, commit) = (self.promised, self.commit);
        state.peers.retain(|member, _| {
            let stays = membership.contains(*member);
            if !stays {
                // Tells it of its removal, so that it does not stand for election when it hears no
                // more.
                self.outbox.send(*member, ballot, Body::Chosen { commit });
            }
            stays
        });
        for member in membership.voters.iter().chain(&membership.learners) {
            if *member != self.settings.member {
                state.peers.entry(*member).or_insert_with(|| Peer::new(&self.log));
            }
        }
    }

    pub(super) fn tick_leader(&mut self) {
        let election_ticks = self.settings.election_ticks;
        let Stage::Leader(state) = &mut self.stage else { return };
        state.heartbeat_ticks += 1;
        state.count_ticks += 1;
        if let Some(transfer) = &mut state.transfer {
            transfer.ticks += 1;
        }
        state.transfer.take_if(|transfer| transfer.ticks >= election_ticks);
        let mut offers = Vec::new();
        for (member, peer) in &mut state.peers {
            if peer.tick(election_ticks * 2) {
                offers.push(*member);
            }
        }
        offers.into_iter().for_each(|member| self.offer_snapshot(member));
        self.count_active();
        self.heartbeat_if_due();
    }

    /// Without contact to a majority for an election timeout, there may be another leader by now.
    fn count_active(&mut self) {
        let Stage::Leader(state) = &mut self.stage else { return };
        if state.count_ticks < self.settings.election_ticks {
            return;
        }
        state.count_ticks = 0;
        if self.majority_has(1, |peer| u64::from(peer.is_active)) == 0 {
            return self.stand_down();
        }
        let Stage::Leader(state) = &mut self.stage else { return };
        state.peers.values_mut().for_each(|peer| peer.is_active = false);
    }

    fn heartbeat_if_due(&mut self) {
        let Stage::Leader(state) = &mut self.stage else { return };
        if state.heartbeat_ticks < self.settings.heartbeat_ticks {
            return;
        }
        if let Some(transfer) = &mut state.transfer {
            transfer.is_sent = false;
        }
        let membership = self.members.at(self.commit);
        let waits = |(member, peer): (&MemberId, &Peer)| {
            peer.awaits_snapshot() && membership.contains(*member) && !self.log.has_snapshot_for(*member)
        };
        self.snapshot_wanted |= state.peers.iter().any(waits);
        self.send_heartbeats();
    }

    fn send_heartbeats(&mut self) {
        let Stage::Leader(state) = &mut self.stage else { return };
        state.heartbeat_ticks = 0;
        let read = self.reads.heartbeat_name();
        for (member, Peer { matched, .. }) in &state.peers {
            let body = Body::Heartbeat { commit: self.commit, matched: *matched, read };
            self.outbox.send(*member, self.promised, body);
        }
    }

    /// Sends all entries the in-flight limits allow.
    pub(super) fn replicate(&mut self) {
        if self.leads() && self.reads.has_news() {
            self.send_heartbeats();
        }
        let last = self.log.last_position().index;
        let Stage::Leader(state) = &mut self.stage else { return };
        let mut offers = Vec::new();
        for (member, peer) in &mut state.peers {
            let (member, ballot, commit) = (*member, self.promised, self.commit);
            let to = Addressee { member, ballot, commit, settings: &self.settings };
            if peer.send(&to, &self.log, &mut self.outbox) {
                offers.push(member);
            }
        }
        if let Some(transfer) = state.transfer.as_mut().filter(|transfer| !transfer.is_sent) {
            let has_all = state.peers.get(&transfer.to).is_some_and(|peer| peer.matched == last);
            if has_all {
                transfer.is_sent = true;
                self.outbox.send(transfer.to, self.promised, Body::CampaignNow);
            }
        }
        offers.into_iter().for_each(|member| self.offer_snapshot(member));
    }

    fn offer_snapshot(&mut self, member: MemberId) {
        if self.log.has_snapshot_for(member) {
            let meta: SnapshotMeta = self.log.snapshot_meta().clone();
            self.outbox.send(member, self.promised, Body::Snapshot(meta));
        } else {
            self.snapshot_wanted = true;
        }
    }

    /// There is a newer snapshot: offer it to the peers that wait for one.
    pub(super) fn offer_snapshots(&mut self) {
        let Stage::Leader(state) = &self.stage else { return };
        let waiting = state.peers().filter(|(_, peer)| peer.awaits_snapshot());
        let waiting = waiting.map(|(member, _)| member).collect::<Vec<_>>();
        waiting.into_iter().for_each(|member| self.offer_snapshot(member));
    }

    /// Requests barriers for waiting reads if this member leads or knows the leader.
    pub(super) fn ask_reads(&mut self) {
        if !self.barriers.has_request() {
            return;
        }
        if self.knows_commit() {
            self.reads.add(Requester::Own(self.barriers.ask()), self.commit);
            self.answer_reads();
        } else if let (Stage::Follower, Some(leader)) = (&self.stage, self.leader) {
            let counter = self.barriers.ask();
            let name =
                ReadName { member: self.settings.member, boot_nonce: self.settings.boot_nonce, counter };
            self.outbox.send(leader, self.promised, Body::ReadAsk(name));
        }
    }

    /// A removed member that does not know of its removal gets no answer: it would take any message
    /// of the leader as a sign that it still belongs to the group.
    pub(super) fn on_read_ask(&mut self, from: MemberId, name: ReadName) {
        let is_member = self.members.shown().contains(from);
        if self.knows_commit() && is_member && name.member == from {
            self.reads.add(Requester::Follower(name), self.commit);
            self.answer_reads();
        }
    }

    fn answer_reads(&mut self) {
        let proven = self.majority_has(self.reads.number(), |peer| peer.echoed);
        for request in self.reads.proven(proven) {
            match request.requester {
                Requester::Own(counter) => self.barriers.answer(counter, request.index, &mut self.answered),
                Requester::Follower(name) => {
                    let body = Body::ReadAnswer { name, index: request.index };
                    self.outbox.send(name.member, self.promised, body);
                }
            }
        }
    }
}

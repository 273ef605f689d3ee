//! A server without data: must it found the ensemble, or has its disk been lost?
//!
//! An empty disk does not tell. A member that had promised and flushed things would break its word
//! if it began anew, so a server with an empty disk neither votes nor stores anything until it
//! knows:
//!
//! - Every data directory has a nonce, drawn at first use. Newcomers announce theirs to all
//!   servers, and to each server the nonce they have heard from it. Once every other voter has
//!   answered the voter with the lowest number as a newcomer, that voter knows that the ensemble is
//!   new: it records all of them as founders, tells them, and begins. A server whose nonce is among
//!   the founders is a founder too. No other server founds: one that was cut off while the others
//!   founded would found another ensemble with the next server that loses its disk.
//! - A server listed as founder under a different nonce has lost its disk. It waits for the leader,
//!   which replaces the old member by one with a new id ([`join`](crate::join)), and begins with a
//!   snapshot.
//!
//! So a new ensemble begins when all its voters have been started once, and a lost disk costs its
//! vote until it is reseeded.
//!
//! A server with data can have lost its place too: to another disk with its number, or because a
//! leader that had not heard from it took its old join request for a new one. No leader contacts it
//! then. It announces which member it was, and the leader gives it a place under a new id. It keeps
//! its state: everything it has applied is committed, under whatever id.

use std::collections::BTreeMap;

use crate::message::{Founder, PeerKey, ServerMessage};
use consensus::engine::Start;
use consensus::entry::{HardState, MemberId};
use consensus::membership::SnapshotMeta;

use crate::group::{Action, Begin, Group, MemberIdentity, cluster_of};
use crate::replica::Replica;
use state::members::ServerId;

/// What a server without a place in a group knows.
#[derive(Debug, Default)]
pub(crate) struct Newcomer {
    /// The newcomers heard from, by server number.
    heard: BTreeMap<ServerId, Heard>,
    said: bool,
}

#[derive(Debug)]
struct Heard {
    nonce: u64,
    /// It was a newcomer after it had heard this server's nonce, so no ensemble was founded with it
    /// before this disk existed.
    answered: bool,
}

/// A server that has joined and that no leader contacts for this long, in ms, may no longer be a
/// member.
const FORGOTTEN_MS: i64 = 2_000;

impl Group {
    /// Whether this server has no part in the group yet.
    pub fn is_newcomer(&self) -> bool {
        self.identity.member.is_none()
    }

    /// Whether this server has joined and received nothing yet: it can then just as well join under
    /// another id.
    fn is_blank(&mut self) -> bool {
        let status = self.replica.status();
        self.identity.founders.is_empty() && (status.last_index, status.snapshot.index) == (0, 0)
    }

    /// Whether no leader contacts it: another leader may have given its number another id, and the
    /// welcome may be lost.
    pub(crate) fn is_forgotten(&mut self) -> bool {
        let leads = self.replica.role().leader == Some(self.replica.member());
        !leads && self.peers.is_ignored(self.now.ms, FORGOTTEN_MS)
    }

    /// Announces this server to all others; called repeatedly.
    pub(crate) fn announce(&mut self) {
        if self.is_newcomer() && !std::mem::replace(&mut self.bootstrap.said, true) {
            tracing::info!(
                "this server has no data: waiting for {}its leader",
                if self.identity.awaits_reseed() {
                    ""
                } else {
                    "the others to found the ensemble with, or for "
                }
            );
        }
        for server in self.others() {
            self.announce_to(server);
        }
    }

    /// The other servers that this one connects to.
    pub fn others(&self) -> Vec<ServerId> {
        self.reconfig.directory().keys().copied().filter(|server| *server != self.me).collect()
    }

    fn announce_to(&mut self, server: ServerId) {
        let nonce = self.identity.nonce;
        let blank = self.is_blank();
        let message = match self.identity.member.filter(|_| !blank) {
            Some(member) => ServerMessage::Forgotten { nonce, member },
            None => {
                // No server founds with one that does not answer.
                let heard = self.bootstrap.heard.get(&server).filter(|_| !self.identity.awaits_reseed());
                let heard = heard.map_or(0, |heard| heard.nonce);
                ServerMessage::Newcomer { nonce, heard }
            }
        };
        self.send(server, message);
    }

    /// Another server has no data either, and has `heard` this disk's nonce, or another one, or (0)
    /// none yet. `is_vouched_for`: the server at its address says so.
    pub(crate) fn on_newcomer(&mut self, from: ServerId, nonce: u64, heard: u64, is_vouched_for: bool) {
        // A claim in a server's name counts if that server makes it at its own address. A member
        // that is being added has no address known here yet.
        let is_known = self.reconfig.directory().contains_key(&from);
        if is_known && !is_vouched_for {
            return;
        }
        if !self.is_newcomer() {
            let founder = Founder { member: crate::first_member_of(from), nonce };
            if self.identity.founders.contains(&founder) {
                self.tell_founders(from);
            }
            let now_ms = self.now.ms;
            self.join_requests.newcomer(from, nonce, None, is_vouched_for, now_ms);
            self.tell_servers(from);
            return;
        }
        let answered = heard == self.identity.nonce;
        let known = self.bootstrap.heard.insert(from, Heard { nonce, answered });
        if known.is_none_or(|known| known.nonce != nonce) {
            self.announce_to(from);
        }
        if let Some(founders) = self.founders() {
            self.act(Action::Found(founders));
        }
    }

    /// All voters, if this server is the one to found the ensemble and all of them are there.
    fn founders(&self) -> Option<Vec<Founder>> {
        let ensemble = self.settings.ensemble.as_ref()?;
        if ensemble.voters().min() != Some(self.me) || self.identity.awaits_reseed() {
            return None;
        }
        let founder = |server: ServerId| {
            let nonce = match self.bootstrap.heard.get(&server) {
                _ if server == self.me => self.identity.nonce,
                heard => heard.filter(|heard| heard.answered)?.nonce,
            };
            Some(Founder { member: crate::first_member_of(server), nonce })
        };
        ensemble.voters().map(founder).collect()
    }

    fn tell_founders(&mut self, server: ServerId) {
        let Some(key) = self.identity.key else { return };
        let founders = ServerMessage::Founders { key, founders: self.identity.founders.clone() };
        self.send(server, founders);
    }

    /// Another server was a member and does not know whether it still is one.
    pub(crate) fn on_forgotten(&mut self, from: ServerId, nonce: u64, member: MemberId) {
        // Every id ever assigned is in the log, except the founders'.
        let given = self.shared.machine.read().members().ids.get(&from).map(|id| MemberId(*id));
        let highest = given.max(Some(crate::first_member_of(from)));
        if crate::server_of(member) == from && Some(member) <= highest {
            let now_ms = self.now.ms;
            self.join_requests.newcomer(from, nonce, Some(member), true, now_ms);
        }
    }

    /// A member of the group names its founders.
    pub(crate) fn on_founders(&mut self, founders: Vec<Founder>, key: PeerKey) {
        let me = Founder { member: crate::first_member_of(self.me), nonce: self.identity.nonce };
        if self.is_newcomer() && founders.contains(&me) {
            self.found(founders, key);
        }
    }

    /// The leader has a place for this server.
    pub(crate) fn on_welcome(&mut self, nonce: u64, member: MemberId, cluster: u64, key: PeerKey) {
        if nonce != self.identity.nonce || crate::server_of(member) != self.me {
            return;
        }
        if self.identity.awaits_reseed() && cluster != self.identity.cluster {
            return;
        }
        // Ids only rise: of two welcomes the one with the higher id counts, in whatever order they
        // arrive.
        if self.identity.member.is_some_and(|known| known >= member) {
            return;
        }
        let Some((start, rejoins)) = self.start_under_another_id() else { return };
        tracing::info!("this server joins the ensemble as member {}", member.0);
        // What this member has said so far must not be attributed to the new one.
        let identity = MemberIdentity {
            member: Some(member),
            cluster,
            key: Some(key),
            boot: self.identity.boot + 1,
            ..self.identity.clone()
        };
        self.act(Action::Begin(Box::new(Begin { identity, start, rejoins })));
    }

    /// The state it continues from, either nothing or what it has applied, and whether it was a
    /// member before. Its former id has made promises and is not reused. `None`: the engine cannot
    /// tell now; the leader resends its welcome.
    fn start_under_another_id(&mut self) -> Option<(Start, bool)> {
        if self.is_newcomer() || self.is_blank() {
            return Some((Start::joining(), false));
        }
        let index = self.replica.applied_index();
        let snapshot = self.replica.snapshot_meta(index)?;
        self.stop_following();
        let hard_state = HardState { term: self.replica.role_in_engine().term, vote: None, commit: index };
        Some((Start { hard_state, snapshot, entries: Vec::new() }, true))
    }

    /// The state from which a group beside the root group continues when the root group begins as
    /// `begin` says; `None` if the engine cannot tell now.
    pub fn start_with_root(&mut self, begin: &Begin) -> Option<Start> {
        if begin.rejoins {
            return self.start_under_another_id().map(|(start, _)| start);
        }
        let founders = begin.identity.founding_members();
        Some(if founders.is_empty() { Start::joining() } else { Start::bootstrap(&founders) })
    }

    /// Founds the ensemble together with the other founders.
    pub(crate) fn found(&mut self, founders: Vec<Founder>, key: PeerKey) {
        tracing::info!("a new ensemble of {} voters begins", founders.len());
        let member = crate::first_member_of(self.me);
        let identity = MemberIdentity {
            member: Some(member),
            cluster: cluster_of(&founders),
            key: Some(key),
            founders,
            ..self.identity.clone()
        };
        let start = Start::bootstrap(&identity.founding_members());
        self.act(Action::Begin(Box::new(Begin { identity, start, rejoins: false })));
    }

    /// From now on this server is that member, as its disk records; returns the previous replica.
    pub fn begun(&mut self, identity: MemberIdentity, replica: Replica) -> Replica {
        self.peers.addressed(self.now.ms);
        let was_newcomer = self.is_newcomer();
        self.identity = identity;
        if self.is_root() && was_newcomer && !self.identity.founders.is_empty() {
            for server in self.others() {
                self.tell_founders(server);
            }
        }
        std::mem::replace(&mut self.replica, replica)
    }
}

/// The state that a member without a snapshot starts from: the founders, or nothing.
pub fn founding_meta(identity: &MemberIdentity) -> SnapshotMeta {
    if identity.founders.is_empty() {
        SnapshotMeta::default()
    } else {
        SnapshotMeta::bootstrap(&identity.founding_members())
    }
}

//! A server without data: is it there to found the ensemble, or has its disk been lost?
//!
//! Nobody can tell from an empty disk. A member that had promised and flushed things would break its word if it began anew, so an empty
//! one neither votes nor stores anything until it knows:
//!
//! - Every directory has a nonce, drawn when it is first used. Newcomers tell theirs to all, and each whose nonce they have heard. The
//!   voter with the lowest number, once every other voter has answered it as a newcomer, knows that the ensemble is new: it writes down
//!   all of them as its founders, tells them, and begins. Whose nonce stands among the founders is a founder too. Nobody else founds: one
//!   that was cut off while the others did would found another ensemble with the next disk that is lost.
//! - Whose number stands there under another nonce is a founder that has lost its disk. It waits for the leader, which puts a member of
//!   a new id in the place of the old one ([`roster`](crate::join)), and begins with a snapshot.
//!
//! So a new ensemble begins when all its voters have been started once, and a lost disk costs its vote until it is filled again.
//!
//! A server that has data can have lost its place too: to another disk with its number, or because a leader that had not heard of it took
//! its request of long ago for a new one. Nobody speaks to it then. It says who it was, and the leader has a place for it under a new id.
//! It keeps its state: all it has applied is agreed, whoever applied it.

use std::collections::BTreeMap;

use crate::message::{Founder, PeerKey, ServerMessage};
use consensus::engine::Start;
use consensus::entry::{HardState, MemberId};
use consensus::membership::SnapshotMeta;

use crate::group::{Action, Begin, Group, MemberIdentity, cluster_of};
use crate::replica::Replica;
use state::members::ServerId;

/// A server that does not belong to a group yet.
#[derive(Debug, Default)]
pub(crate) struct Newcomer {
    /// The newcomers heard of, by their numbers.
    heard: BTreeMap<ServerId, Heard>,
    said: bool,
    /// When a message of a leader to the member it is came last, in ms of the server's clock.
    pub(crate) spoken_to_ms: i64,
}

#[derive(Debug)]
struct Heard {
    nonce: u64,
    /// It was a newcomer after it had heard of this server's disk, so nobody founded anything with it before that disk was there.
    answered: bool,
}

/// A server that was taken in and that no leader speaks to for this long may be no member any more.
const FORGOTTEN_MS: i64 = 2_000;

impl Group {
    /// Whether this server has no part in the group yet.
    pub fn is_newcomer(&self) -> bool {
        self.identity.member.is_none()
    }

    /// Whether this server was taken in and has got nothing yet: then it may as well be taken in under another id.
    fn is_blank(&mut self) -> bool {
        let status = self.replica.status();
        self.identity.founders.is_empty() && (status.last_index, status.snapshot.index) == (0, 0)
    }

    /// Whether no leader speaks to it: another one may have given its number another id, and its welcome may be lost.
    pub(crate) fn is_forgotten(&mut self) -> bool {
        let now_ms = self.now.ms;
        let leads = self.replica.role().leader == Some(self.replica.member());
        !leads && now_ms - self.bootstrap.spoken_to_ms > FORGOTTEN_MS
    }

    /// Tells everybody, again and again.
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

    pub(crate) fn others(&self) -> Vec<ServerId> {
        self.reconfig.directory().keys().copied().filter(|server| *server != self.me).collect()
    }

    fn announce_to(&mut self, server: ServerId) {
        let nonce = self.identity.nonce;
        let blank = self.is_blank();
        let message = match self.identity.member.filter(|_| !blank) {
            Some(member) => ServerMessage::Forgotten { nonce, member },
            None => {
                // Nobody founds with one that does not answer.
                let heard = self.bootstrap.heard.get(&server).filter(|_| !self.identity.awaits_reseed());
                let heard = heard.map_or(0, |heard| heard.nonce);
                ServerMessage::Newcomer { nonce, heard }
            }
        };
        self.send(server, message);
    }

    /// Another server has no data either, and has `heard` that this disk had none, or another one, or (0) nothing yet.
    /// `is_vouched_for`: the server at its address says so.
    pub(crate) fn on_newcomer(&mut self, from: ServerId, nonce: u64, heard: u64, is_vouched_for: bool) {
        // What anybody can say in a server's name counts if that server says so at its own address.
        // A member that is to be added has none yet that is known here.
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

    /// All voters, if it is for this server to found the ensemble and they are there to found it.
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

    /// Another server was a member, and does not know whether it still is one.
    pub(crate) fn on_forgotten(&mut self, from: ServerId, nonce: u64, member: MemberId) {
        // Every id that was ever given is in the log, but for the founders'.
        let given = self.shared.machine.read().members().ids.get(&from).map(|id| MemberId(*id));
        let highest = given.max(Some(crate::first_member_of(from)));
        if crate::server_of(member) == from && Some(member) <= highest {
            let now_ms = self.now.ms;
            self.join_requests.newcomer(from, nonce, Some(member), true, now_ms);
        }
    }

    /// A member of the group says who founded it.
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
        // Ids only rise: of two welcomes the one with the higher id counts, whichever comes first.
        if self.identity.member.is_some_and(|known| known >= member) {
            return;
        }
        let Some((start, rejoins)) = self.start_under_another_id() else { return };
        tracing::info!("this server joins the ensemble as member {}", member.0);
        // What this member has said so far must not be taken for something the new one says.
        let identity = MemberIdentity {
            member: Some(member),
            cluster,
            key: Some(key),
            boot: self.identity.boot + 1,
            ..self.identity.clone()
        };
        self.act(Action::Begin(Box::new(Begin { identity, start, rejoins })));
    }

    /// What it goes on from, nothing or what it has applied, and whether it was a member before. Its
    /// former id has promised things and is not used any more. `None`: the engine cannot tell now;
    /// the leader sends its welcome again.
    fn start_under_another_id(&mut self) -> Option<(Start, bool)> {
        if self.is_newcomer() || self.is_blank() {
            return Some((Start::joining(), false));
        }
        let index = self.replica.applied_index();
        let snapshot = self.replica.snapshot_meta(index)?;
        self.leave_company();
        let hard_state = HardState { term: self.replica.role_in_engine().term, vote: None, commit: index };
        Some((Start { hard_state, snapshot, entries: Vec::new() }, true))
    }

    /// Founds the ensemble together with the others.
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

    /// This server is that member from now on, which is on its disk; returns what it was before.
    pub fn begun(&mut self, identity: MemberIdentity, replica: Replica) -> Replica {
        self.bootstrap.spoken_to_ms = self.now.ms;
        let was_newcomer = self.is_newcomer();
        self.identity = identity;
        if was_newcomer && !self.identity.founders.is_empty() {
            for server in self.others() {
                self.tell_founders(server);
            }
        }
        std::mem::replace(&mut self.replica, replica)
    }
}

/// What a member without a snapshot starts from: the founders, or nothing.
pub fn founding_meta(identity: &MemberIdentity) -> SnapshotMeta {
    if identity.founders.is_empty() {
        SnapshotMeta::default()
    } else {
        SnapshotMeta::bootstrap(&identity.founding_members())
    }
}

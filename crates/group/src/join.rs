//! How a leader admits servers that have no data, or whose place was given away: as learners, under
//! an id that was never used. One change at a time; each check takes the next step. Later steps are
//! those of [`plan`](crate::plan).

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use crate::message::ServerMessage;
use consensus::engine::Status;
use consensus::entry::MemberId;
use consensus::membership::{MEMBERS_MAX, MembershipChange};

use crate::group::Group;
use state::members::{ServerId, Servers};

/// A server heard from this recently, in ms, under its old id is not replaced: a second server was
/// started with its number.
const ALIVE_MS: i64 = 2_000;

/// The join requests of servers.
#[derive(Debug, Default)]
pub(crate) struct JoinRequests {
    newcomers: BTreeMap<ServerId, Request>,
}

#[derive(Debug)]
struct Request {
    nonce: u64,
    /// Its former id, if it has data.
    was: Option<MemberId>,
    /// Time of its last request, in ms of the server's clock.
    asked_ms: i64,
    /// The id reserved for it.
    member: Option<MemberId>,
    /// The server at its address confirmed the last request.
    is_vouched_for: bool,
}

impl JoinRequests {
    /// A server asks to join: one without data, or one that was that member.
    pub(crate) fn newcomer(
        &mut self,
        server: ServerId,
        nonce: u64,
        was: Option<MemberId>,
        is_vouched_for: bool,
        now_ms: i64,
    ) {
        let lately = |request: &Request| now_ms - request.asked_ms <= ALIVE_MS;
        if self.newcomers.len() >= MEMBERS_MAX && !self.newcomers.contains_key(&server) {
            self.newcomers.retain(|_, request| lately(request));
            if self.newcomers.len() >= MEMBERS_MAX {
                return;
            }
        }
        let new = Request { nonce, was, asked_ms: now_ms, member: None, is_vouched_for };
        let request = self.newcomers.entry(server).or_insert(new);
        (request.asked_ms, request.is_vouched_for) = (now_ms, is_vouched_for);
        if (request.nonce, request.was) != (nonce, was) {
            (request.nonce, request.was, request.member) = (nonce, was, None);
        }
    }

    /// The nonce of a server that has asked and has no data; 0 for others.
    pub(crate) fn disk_of(&self, server: ServerId) -> u64 {
        self.newcomers.get(&server).filter(|request| request.was.is_none()).map_or(0, |request| request.nonce)
    }

    /// Servers that have asked recently.
    pub(crate) fn waiting(&self, now_ms: i64) -> BTreeSet<ServerId> {
        let lately = self.newcomers.iter().filter(|(_, request)| now_ms - request.asked_ms <= ALIVE_MS);
        lately.map(|(server, _)| *server).collect()
    }

    /// A member was heard from: its welcome has arrived. A remaining request could cost it its
    /// place once it is silent.
    pub(crate) fn arrived(&mut self, member: MemberId) {
        if let Entry::Occupied(request) = self.newcomers.entry(crate::server_of(member))
            && request.get().member == Some(member)
        {
            request.remove();
        }
    }

    /// Leadership is lost: servers that still wait ask again.
    pub(crate) fn clear(&mut self) {
        self.newcomers.clear();
    }
}

impl Group {
    /// Takes the next step for a server that has asked and has a place in the configuration.
    pub(crate) fn take_in_newcomers(&mut self, status: &Status, wanted: &Servers) {
        let now_ms = self.now.ms;
        for server in self.join_requests.waiting(now_ms) {
            if wanted.contains_key(&server) && server != self.me {
                self.take_in_newcomer(server, status);
            }
        }
    }

    fn take_in_newcomer(&mut self, server: ServerId, status: &Status) {
        let members = status.membership.voters.iter().chain(&status.membership.learners).copied();
        let present = members.filter(|member| crate::server_of(*member) == server).max();
        let founder = self.identity.founders.iter().find(|founder| {
            Some(founder.member) == present
                && self
                    .join_requests
                    .newcomers
                    .get(&server)
                    .is_some_and(|request| request.nonce == founder.nonce)
        });
        let Some(request) = self.join_requests.newcomers.get(&server) else { return };
        let (was, is_vouched_for) = (request.was, request.is_vouched_for);
        // It may have asked before its address was known here.
        if was.is_none() && !is_vouched_for {
            return;
        }
        let Some(next) = self.next_id(server, present.max(was)) else {
            tracing::warn!(
                "server.{server} is not taken in: it has had as many disks as one server can have; give it another number (myid)"
            );
            return;
        };
        let Some(request) = self.join_requests.newcomers.get_mut(&server) else { return };
        let is_present = request.was.is_some() && request.was == present;
        if founder.is_some() || is_present {
            // A founder that has only just begun, or a member that no leader contacted for a while.
            self.join_requests.newcomers.remove(&server);
            return;
        }
        let change = match (request.member, present) {
            (Some(meant), Some(present)) if meant == present => {
                let Some(key) = self.identity.key else { return };
                let welcome = ServerMessage::Welcome {
                    nonce: request.nonce,
                    member: meant,
                    cluster: self.identity.cluster,
                    key,
                };
                // It may be lost: it is resent while the server asks.
                return self.send(server, welcome);
            }
            (_, Some(old)) => {
                let now_ms = self.now.ms;
                if self.peers.is_heard_within(old, now_ms, ALIVE_MS) {
                    tracing::warn!(
                        "server.{server} is here already and there is another one with its number and {}: \
                         it is not taken in while the first one lives",
                        if request.was.is_some() { "a disk that was replaced" } else { "an empty disk" }
                    );
                    // A server that still waits asks again.
                    self.join_requests.newcomers.remove(&server);
                    return;
                }
                request.member = Some(next);
                MembershipChange::Remove(old)
            }
            (Some(meant), None) => MembershipChange::AddLearner(meant),
            (None, None) => {
                request.member = Some(next);
                MembershipChange::AddLearner(next)
            }
        };
        self.change_members(change);
    }

    /// An id that no member has had; `None` if the server has used up its ids.
    fn next_id(&self, server: ServerId, used: Option<MemberId>) -> Option<MemberId> {
        let known = self.shared.machine.read().members().ids.get(&server).map(|id| MemberId(*id));
        let founders = self.identity.founders.iter().map(|founder| founder.member);
        let of_server = founders.filter(|member| crate::server_of(*member) == server);
        let highest = of_server.chain(known).chain(used).max();
        highest.map_or(Some(crate::first_member_of(server)), crate::next_member_of)
    }

    /// A standalone server has no place for learners.
    pub(crate) fn forget_learners(&mut self) {
        if self.replica.is_alone() || !self.replica.leads() {
            return;
        }
        if let Some(learner) = self.replica.status().membership.learners.first() {
            self.change_members(MembershipChange::Remove(*learner));
        }
    }

    /// Begins a membership change; if another one is pending, the next check tries again.
    pub(crate) fn change_members(&mut self, change: MembershipChange) {
        match self.replica.propose_membership(change) {
            Ok(()) => tracing::info!("a change of the members: {change:?}"),
            Err(e) => tracing::debug!("{change:?} has to wait: {e}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_disk_of_a_server_asks_anew() {
        let mut requests = JoinRequests::default();
        requests.newcomer(2, 10, None, true, 0);
        requests.newcomers.get_mut(&2).unwrap().member = Some(crate::first_member_of(2));
        requests.newcomer(2, 10, None, true, 0);
        assert_eq!(requests.newcomers[&2].member, Some(crate::first_member_of(2)));
        requests.newcomer(2, 11, None, true, 0);
        assert_eq!(requests.newcomers[&2].member, None);
    }
}

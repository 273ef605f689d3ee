//! What a leader does about the members: it takes in servers of the configuration that have no data or whose place was given away, and
//! gives their votes to those that have caught up. One change at a time; each look does the next.

use std::collections::BTreeMap;

use consensus::engine::Status;
use consensus::entry::MemberId;
use consensus::membership::MembershipChange;
use replica::peer::PeerMessage;

use super::Driver;
use crate::config::Ensemble;
use crate::peers::Transport;

/// A server that was heard of so recently under its old id is not replaced: somebody has started another one with its number.
const ALIVE_MS: i64 = 2_000;

/// Entries that a learner may be behind and still be given a vote.
pub(super) const BEHIND_MAX: u64 = 1_000;

/// Bits of an id that are the server's number; above them a count of its disks.
const SERVER_BITS: u32 = 8;

/// Servers that asked to be taken in.
#[derive(Debug, Default)]
pub(super) struct Roster {
    newcomers: BTreeMap<u8, Request>,
    /// When each member was last heard of, in ms of the server's clock. One that was replaced may go on speaking under its old id.
    heard_ms: BTreeMap<MemberId, i64>,
}

#[derive(Debug)]
struct Request {
    nonce: u64,
    /// The id it had, if it has data.
    was: Option<MemberId>,
    /// The id meant for it.
    member: Option<MemberId>,
}

impl Roster {
    /// A server has asked: one without data, or one that was that member.
    pub(super) fn newcomer(&mut self, server: u8, nonce: u64, was: Option<MemberId>) {
        let request = self.newcomers.entry(server).or_insert(Request { nonce, was, member: None });
        if (request.nonce, request.was) != (nonce, was) {
            *request = Request { nonce, was, member: None };
        }
    }

    /// A member was heard of.
    pub(super) fn heard(&mut self, member: MemberId, now_ms: i64) {
        self.heard_ms.insert(member, now_ms);
    }

    /// When a member was last heard of, in ms of the server's clock.
    pub(super) fn heard_ms(&self, member: MemberId) -> Option<i64> {
        self.heard_ms.get(&member).copied()
    }

    /// Leadership has gone: whoever still waits asks again.
    pub(super) fn clear(&mut self) {
        self.newcomers.clear();
    }
}

impl<T: Transport> Driver<T> {
    /// Does the next step for whoever is not yet what the configuration wants it to be.
    pub(super) fn tend_roster(&mut self) {
        let Some(ensemble) = self.shared.config.ensemble.clone() else { return };
        let status = self.replica.engine().status();
        for server in self.roster.newcomers.keys().copied().collect::<Vec<_>>() {
            self.take_in_newcomer(server, &status, &ensemble);
        }
        self.promote(&status, &ensemble);
    }

    fn take_in_newcomer(&mut self, server: u8, status: &Status, ensemble: &Ensemble) {
        let members = status.membership.voters.iter().chain(&status.membership.learners).copied();
        let present = members.filter(|member| replica::server_of(*member) == server).max();
        let founder = self.identity.founders.iter().find(|founder| {
            Some(founder.member) == present
                && self.roster.newcomers.get(&server).is_some_and(|request| request.nonce == founder.nonce)
        });
        let Some(request) = self.roster.newcomers.get_mut(&server) else { return };
        let is_present = request.was.is_some() && request.was == present;
        if founder.is_some() || is_present || !ensemble.members.contains_key(&server) || server == self.me {
            // A founder that has only just begun, one that nobody spoke to for a while, or nobody we know.
            self.roster.newcomers.remove(&server);
            return;
        }
        let change = match (request.member, present) {
            (Some(meant), Some(present)) if meant == present => {
                let welcome = PeerMessage::Welcome {
                    nonce: request.nonce,
                    member: meant,
                    cluster: self.identity.cluster,
                };
                self.roster.newcomers.remove(&server);
                return self.send(server, &welcome);
            }
            (_, Some(old)) => {
                let now_ms = self.shared.clock.elapsed_ms();
                let silent = self.roster.heard_ms.get(&old).is_none_or(|ms| now_ms - ms > ALIVE_MS);
                if !silent {
                    tracing::warn!(
                        "server.{server} is here already and there is another one with its number and {}: \
                         it is not taken in while the first one lives",
                        if request.was.is_some() { "a disk that was replaced" } else { "an empty disk" }
                    );
                    // Whoever still waits asks again. A request that stayed could cost a member its place once it is silent.
                    self.roster.newcomers.remove(&server);
                    return;
                }
                request.member = Some(next_id(old));
                MembershipChange::Remove(old)
            }
            (Some(meant), None) => MembershipChange::AddLearner(meant),
            (None, None) => {
                let first = MemberId(u64::from(server));
                let gone = request.was.or(is_founder(&self.identity.founders, first).then_some(first));
                let meant = gone.map_or(first, next_id);
                request.member = Some(meant);
                MembershipChange::AddLearner(meant)
            }
        };
        self.change_members(change);
    }

    fn promote(&mut self, status: &Status, ensemble: &Ensemble) {
        let ready = status.membership.learners.iter().find(|learner| {
            let wanted = ensemble.members.get(&replica::server_of(**learner)).is_some_and(|m| !m.observer);
            let follower = status.followers.iter().find(|follower| follower.member == **learner);
            let caught_up = follower.is_some_and(|follower| {
                // One that has nothing yet is not close behind a short log.
                !follower.awaits_snapshot
                    && follower.matched > 0
                    && follower.matched + BEHIND_MAX >= status.commit
            });
            wanted && caught_up
        });
        if let Some(learner) = ready {
            self.change_members(MembershipChange::AddVoter(*learner));
        }
    }

    /// Begins a change; if another one is under way it is tried again at the next look.
    fn change_members(&mut self, change: MembershipChange) {
        match self.replica.engine().propose_membership(change) {
            Ok(()) => tracing::info!("a change of the members: {change:?}"),
            Err(e) => tracing::debug!("{change:?} has to wait: {e}"),
        }
    }
}

fn is_founder(founders: &[replica::peer::Founder], member: MemberId) -> bool {
    founders.iter().any(|founder| founder.member == member)
}

/// An id for the next disk of the same server.
fn next_id(member: MemberId) -> MemberId {
    MemberId(member.0 + (1 << SERVER_BITS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_disk_of_a_server_is_another_member_of_the_same_number() {
        let next = next_id(next_id(MemberId(3)));
        assert_eq!((next, replica::server_of(next)), (MemberId(0x203), 3));
    }

    #[test]
    fn another_disk_of_a_server_asks_anew() {
        let mut roster = Roster::default();
        roster.newcomer(2, 10, None);
        roster.newcomers.get_mut(&2).unwrap().member = Some(MemberId(258));
        roster.newcomer(2, 10, None);
        assert_eq!(roster.newcomers[&2].member, Some(MemberId(258)));
        roster.newcomer(2, 11, None);
        assert_eq!(roster.newcomers[&2].member, None);
    }
}

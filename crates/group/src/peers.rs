//! When the other members were last heard from: the only record of it.

use std::collections::{BTreeMap, BTreeSet};

use consensus::entry::MemberId;
use state::members::ServerId;

/// The other members, as this one hears them. All times are in ms of the server's clock.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    /// When each member was last heard from. A replaced member may continue to send under its old
    /// id.
    heard_ms: BTreeMap<MemberId, i64>,
    /// When the connection of each server was last lost.
    lost_ms: BTreeMap<ServerId, i64>,
    /// When there last was a leader: this member, or one that was heard from then.
    led_ms: i64,
    /// When a leader's message to this member last arrived.
    addressed_ms: i64,
}

impl Peers {
    /// A member was heard from.
    pub(crate) fn heard(&mut self, member: MemberId, now_ms: i64) {
        self.heard_ms.insert(member, now_ms);
    }

    /// The connection of a server has ended.
    pub(crate) fn lose(&mut self, server: ServerId, now_ms: i64) {
        self.lost_ms.insert(server, now_ms);
    }

    /// A leader has sent this member a message, or this member has just begun.
    pub(crate) fn addressed(&mut self, now_ms: i64) {
        self.addressed_ms = now_ms;
    }

    /// Whether no leader has sent this member anything for `within_ms`.
    pub(crate) fn is_ignored(&self, now_ms: i64, within_ms: i64) -> bool {
        now_ms - self.addressed_ms > within_ms
    }

    /// The leader as the engine knows it, or `None`; `me` is this member. Returns for how long
    /// there has been none, in ms.
    pub(crate) fn leaderless_ms(&mut self, leader: Option<MemberId>, me: MemberId, now_ms: i64) -> i64 {
        let heard_ms = leader.and_then(|leader| match leader == me {
            true => Some(now_ms),
            false => self.heard_ms.get(&leader).copied(),
        });
        self.led_ms = self.led_ms.max(heard_ms.unwrap_or(0));
        now_ms - self.led_ms
    }

    /// Whether a member was heard from within that time.
    pub(crate) fn is_heard_within(&self, member: MemberId, now_ms: i64, within_ms: i64) -> bool {
        self.heard_ms.get(&member).is_some_and(|ms| now_ms - ms <= within_ms)
    }

    /// Whether a member was heard from within that time and its connection has not ended since.
    pub(crate) fn is_up(&self, member: MemberId, now_ms: i64, within_ms: i64) -> bool {
        let lost_ms = self.lost_ms.get(&crate::server_of(member));
        self.heard_ms.get(&member).is_some_and(|heard_ms| {
            now_ms - heard_ms <= within_ms && lost_ms.is_none_or(|lost_ms| heard_ms > lost_ms)
        })
    }

    /// Members that are up.
    pub(crate) fn up(&self, now_ms: i64, within_ms: i64) -> BTreeSet<MemberId> {
        self.heard_ms.keys().copied().filter(|member| self.is_up(*member, now_ms, within_ms)).collect()
    }

    /// The member that this server was when last heard from.
    pub(crate) fn last_of(&self, server: ServerId) -> Option<MemberId> {
        let of_server = self.heard_ms.iter().filter(|(member, _)| crate::server_of(**member) == server);
        of_server.max_by_key(|(_, ms)| **ms).map(|(member, _)| *member)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_or_disconnected_member_is_not_up() {
        let mut peers = Peers::default();
        peers.heard(MemberId(2), 100);
        peers.heard(MemberId(3), 300);
        assert_eq!(peers.up(400, 300), [MemberId(2), MemberId(3)].into());
        assert_eq!(peers.up(401, 300), [MemberId(3)].into(), "the other one is silent");
        peers.lose(3, 350);
        assert_eq!(peers.up(400, 300), [MemberId(2)].into(), "its connection has ended");
        peers.heard(MemberId(3), 360);
        assert_eq!(peers.up(400, 300), [MemberId(2), MemberId(3)].into(), "it is back");
    }

    #[test]
    fn an_engine_that_keeps_a_silent_leader_is_without_one() {
        let mut peers = Peers::default();
        let (me, leader) = (MemberId(1), MemberId(2));
        peers.heard(leader, 100);
        assert_eq!(peers.leaderless_ms(Some(leader), me, 150), 50);
        assert_eq!(peers.leaderless_ms(None, me, 160), 60);
        assert_eq!(peers.leaderless_ms(Some(me), me, 170), 0);
        assert_eq!(peers.leaderless_ms(Some(leader), me, 400), 230, "it led until then itself");
    }
}

//! Ballots: numbers that order all attempts to lead. No two members can make the same one.
//!
//! ```text
//!   63  62 │ 61 … 34 │ 33 … 0
//!   ───────┼─────────┼────────
//!     0    │ round   │ member
//! ```
//! The rest of the crate calls a ballot a term: one `u64` below
//! [`POSITION_LIMIT`](crate::message::POSITION_LIMIT). Rounds are compared first. A ballot contains
//! the member's own id, not its place in some list: memberships change, and two members that see
//! different ones would take the same number. So ids must fit into 34 bits; messages and changes
//! with larger ids are refused. A member never uses a round twice, since it flushes the ballot
//! before it sends any message in it.
//!
//! Round 0 belongs to no member; the position before the first entry of a group has ballot 1, which
//! lies in it. 268 million rounds last for eight years of a new leader every second. After the last
//! round no member stands for election any more.

use crate::entry::MemberId;

/// Ids of members of a Paxos group are below this.
pub const MEMBER_ID_LIMIT: u64 = 1 << 34;

const ROUND_LIMIT: u64 = 1 << 28;

/// The first ballot of `member` in the round after that of `ballot`; none after the last round.
pub(super) fn next(ballot: u64, member: MemberId) -> Option<u64> {
    let round = ballot / MEMBER_ID_LIMIT + 1;
    (round < ROUND_LIMIT).then_some(round * MEMBER_ID_LIMIT + member.0)
}

/// The only member that may use that ballot.
pub(super) fn proposer(ballot: u64) -> MemberId {
    MemberId(ballot % MEMBER_ID_LIMIT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::POSITION_LIMIT;

    #[test]
    fn ballots_rise_and_belong_to_one_member() {
        let (least, greatest) = (MemberId(1), MemberId(MEMBER_ID_LIMIT - 1));
        let mut ballot = 1;
        for member in [greatest, least, greatest, greatest, least] {
            let above = next(ballot, member).expect("there are rounds left");
            assert!(above > ballot);
            assert_eq!(proposer(above), member);
            ballot = above;
        }
    }

    #[test]
    fn the_last_round_is_below_the_limit_of_terms_and_has_no_next() {
        let last = (ROUND_LIMIT - 1) * MEMBER_ID_LIMIT + MEMBER_ID_LIMIT - 1;
        assert!(last < POSITION_LIMIT);
        assert_eq!(next(last, MemberId(1)), None);
        assert_eq!(next(POSITION_LIMIT - 1, MemberId(1)), None);
    }
}

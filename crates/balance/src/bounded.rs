//! Consistent hashing with bounded loads (Mirrokni, Thorup and Zadimoghaddam 2018): a request goes
//! to the first instance in the order of its key that has room.

use std::sync::Arc;

use crate::load::Member;

/// How many requests each instance may have when one more comes.
struct Capacities {
    /// Load factor in percent · requests including the new one.
    allowed: u128,
    /// 100 · sum of weights.
    shared_by: u128,
}

impl Capacities {
    fn now(members: &[Arc<Member>], load_factor_percent: u32) -> Capacities {
        let requests: u64 = members.iter().map(|member| member.load.outstanding()).sum();
        let weights: u64 = members.iter().map(|member| member.weight()).sum();
        Capacities {
            allowed: u128::from(load_factor_percent) * (u128::from(requests) + 1),
            shared_by: 100 * u128::from(weights),
        }
    }

    /// Whether the member has fewer requests than its capacity. Compares products, because
    /// divisions of 128 bits for every member would take most of the time of a pick.
    fn have_room_for(&self, member: &Member) -> bool {
        let weight = u128::from(member.weight());
        u128::from(member.load.outstanding()) * self.shared_by < self.allowed * weight
    }

    /// ⌈c · requests · weight / sum of weights⌉, where c is the load factor.
    fn of(&self, member: &Member) -> u64 {
        let capacity = (self.allowed * u128::from(member.weight())).div_ceil(self.shared_by);
        u64::try_from(capacity).unwrap_or(u64::MAX)
    }
}

/// Chooses a member with room and counts the request there. `first` finds the first member in the
/// order of the key that is accepted.
///
/// There is at least one member. The capacities together exceed the requests, so one has room. If
/// none is found, or the one that is found has filled up, other threads have counted requests
/// meanwhile, and the capacities are computed again.
pub(crate) fn acquire(
    members: &[Arc<Member>],
    load_factor_percent: u32,
    first: impl Fn(&dyn Fn(usize) -> bool) -> Option<usize>,
) -> usize {
    loop {
        let capacities = Capacities::now(members, load_factor_percent);
        let has_room = |at: usize| capacities.have_room_for(&members[at]);
        if let Some(at) = first(&has_room)
            && members[at].load.try_acquire(capacities.of(&members[at]))
        {
            return at;
        }
    }
}

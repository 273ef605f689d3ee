//! Consistent hashing on a ring with virtual nodes (Karger et al. 1997).

use std::sync::Arc;

use crate::hash;
use crate::load::Member;

/// The largest number of points of a ring: 48 MiB.
pub const RING_POINTS_MAX: u64 = 4 << 20;

/// The points of all instances, in their order on the ring. The layout is in [`hash`].
#[derive(Debug)]
pub(crate) struct Ring {
    /// Ascending. Apart from `owners`, so that a search reads 8 bytes for each point it looks at.
    places: Vec<u64>,
    /// For each place, the instance as its position in the set.
    owners: Vec<u32>,
}

impl Ring {
    /// How many points the ring of these members has.
    pub(crate) fn point_count(members: &[Arc<Member>], points_per_weight: u32) -> u64 {
        members.iter().map(|member| member.weight() * u64::from(points_per_weight)).sum()
    }

    /// A ring with at most [`RING_POINTS_MAX`] points, which the caller has checked.
    pub(crate) fn new(members: &[Arc<Member>], points_per_weight: u32) -> Ring {
        let mut points = Vec::with_capacity(Ring::point_count(members, points_per_weight) as usize);
        for (owner, member) in (0..).zip(members) {
            let count = member.weight() as usize * points_per_weight as usize;
            points.extend(hash::points(member.instance.id()).take(count).map(|place| (place, owner)));
        }
        // Of instances with the same point the first has it: they are in the order of their ids.
        points.sort_unstable();
        let (places, owners) = points.into_iter().unzip();
        Ring { places, owners }
    }

    /// The first instance clockwise from the key that is accepted. `accept` may be asked about an
    /// instance more than once.
    pub(crate) fn first(&self, key_hash: u64, accept: impl Fn(usize) -> bool) -> Option<usize> {
        let start = self.places.partition_point(|place| *place < key_hash);
        let (before, after) = self.owners.split_at(start);
        after.iter().chain(before).map(|owner| *owner as usize).find(|owner| accept(*owner))
    }

    pub(crate) fn table_bytes(&self) -> usize {
        size_of_val(&self.places[..]) + size_of_val(&self.owners[..])
    }
}

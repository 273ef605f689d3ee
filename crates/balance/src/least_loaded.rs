//! The instance with the fewest outstanding requests for its weight.

use std::cmp::Ordering;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::load::Member;

/// Compares the load of two members as it would be with one more request: (outstanding + 1) /
/// weight.
pub(crate) fn compare(a: &Member, b: &Member) -> Ordering {
    let scaled = |one: &Member, other: &Member| {
        one.load.outstanding().saturating_add(1).saturating_mul(other.weight())
    };
    scaled(a, b).cmp(&scaled(b, a))
}

/// Looks at all members, from another one at each pick: where several are equally loaded, each gets
/// its turn.
#[derive(Debug)]
pub(crate) struct LeastLoaded {
    next: AtomicUsize,
}

impl LeastLoaded {
    pub(crate) fn new(start: usize) -> LeastLoaded {
        LeastLoaded { next: AtomicUsize::new(start) }
    }

    /// The position of a least loaded member. There is at least one. Between the look and the
    /// counting of the request other threads may choose the same member.
    pub(crate) fn choose(&self, members: &[Arc<Member>]) -> usize {
        let count = members.len();
        let start = self.next.fetch_add(1, Relaxed) % count;
        let from_start = (start..count).chain(0..start);
        from_start.min_by(|a, b| compare(&members[*a], &members[*b])).unwrap_or(start)
    }
}

//! One instance after the other, in the order of ids.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::load::Member;

#[derive(Debug)]
pub(crate) struct RoundRobin {
    /// Counts the picks; its remainder by the number of instances is the next one's position.
    next: AtomicUsize,
}

impl RoundRobin {
    pub(crate) fn new(start: usize) -> RoundRobin {
        RoundRobin { next: AtomicUsize::new(start) }
    }

    /// The position among `count` instances, at least 1.
    pub(crate) fn choose(&self, count: usize) -> usize {
        self.next.fetch_add(1, Relaxed) % count
    }

    /// The same order over other members: the next is the one that would have come next, or the
    /// first behind it where that one is gone.
    pub(crate) fn updated(&self, old: &[Arc<Member>], new: &[Arc<Member>]) -> RoundRobin {
        let next = self.next.load(Relaxed).checked_rem(old.len());
        let start = next.map_or(0, |next| {
            let id = old[next].instance.id();
            new.partition_point(|member| member.instance.id() < id)
        });
        RoundRobin::new(start)
    }
}

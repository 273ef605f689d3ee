//! How many requests an instance has outstanding, and the guard that counts one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::instance::Instance;

/// The outstanding requests of an instance. The count outlives changes of the set, and of the
/// instance's weight.
#[derive(Debug, Default)]
pub(crate) struct Load(AtomicU64);

impl Load {
    pub(crate) fn outstanding(&self) -> u64 {
        self.0.load(Relaxed)
    }

    pub(crate) fn acquire(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    /// Counts one more request unless `capacity` are outstanding already.
    pub(crate) fn try_acquire(&self, capacity: u64) -> bool {
        self.0.fetch_update(Relaxed, Relaxed, |count| (count < capacity).then_some(count + 1)).is_ok()
    }

    fn release(&self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// An instance of a set with its count.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) instance: Instance,
    pub(crate) load: Arc<Load>,
}

impl Member {
    pub(crate) fn weight(&self) -> u64 {
        u64::from(self.instance.weight().get())
    }
}

/// A chosen instance. It counts as one outstanding request of the instance until it is dropped,
/// whatever becomes of the set meanwhile.
#[derive(Debug)]
#[must_use = "dropping the pick says that the request is over"]
pub struct Pick {
    member: Arc<Member>,
}

impl Pick {
    /// For a request that is already counted.
    pub(crate) fn counted(member: &Arc<Member>) -> Pick {
        Pick { member: member.clone() }
    }

    /// The chosen instance, as it was when it was chosen.
    pub fn instance(&self) -> &Instance {
        &self.member.instance
    }

    /// The requests that the instance has outstanding now, with this one.
    pub fn outstanding(&self) -> u64 {
        self.member.load.outstanding()
    }
}

impl Drop for Pick {
    fn drop(&mut self) {
        self.member.load.release();
    }
}

#[cfg(test)]
mod tests {
    use super::Load;

    #[test]
    fn an_instance_that_has_filled_up_since_it_was_looked_at_refuses_the_request() {
        let load = Load::default();
        assert!(load.try_acquire(2) && load.try_acquire(2));
        assert!(!load.try_acquire(2));
        assert_eq!(load.outstanding(), 2);
        load.release();
        assert!(load.try_acquire(2));
    }
}

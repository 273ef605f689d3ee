//! The instances that can be chosen, in the order of their ids.

use std::collections::BTreeMap;
use std::sync::Arc;

use thiserror::Error;

use crate::instance::Instance;
use crate::load::{Load, Member};

/// The largest number of instances in a set.
pub const INSTANCES_MAX: usize = 10_000;

/// Why a set of instances is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SetError {
    /// Two instances have the same id.
    #[error("two instances have the id {0:?}: the ids of a set are unique")]
    Duplicate(String),
    /// There are more instances than [`INSTANCES_MAX`].
    #[error("{count} instances: a set has at most {INSTANCES_MAX}")]
    TooMany {
        /// How many were given.
        count: usize,
    },
}

/// A set of instances and the loads of those that left it.
#[derive(Clone, Debug, Default)]
pub(crate) struct InstanceSet {
    /// Sorted by id, so that clients agree whatever order they learned the instances in.
    members: Vec<Arc<Member>>,
    /// The counts of instances that left with requests outstanding. One of them that comes back
    /// would otherwise look idle, and its next requests would be counted apart.
    departed: Vec<(String, Arc<Load>)>,
}

impl InstanceSet {
    pub(crate) fn members(&self) -> &[Arc<Member>] {
        &self.members
    }

    /// A set of other instances that keeps the counts of this one.
    pub(crate) fn updated(&self, mut instances: Vec<Instance>) -> Result<InstanceSet, SetError> {
        if instances.len() > INSTANCES_MAX {
            return Err(SetError::TooMany { count: instances.len() });
        }
        instances.sort_by(|a, b| a.id().cmp(b.id()));
        if let Some(pair) = instances.windows(2).find(|pair| pair[0].id() == pair[1].id()) {
            return Err(SetError::Duplicate(pair[0].id().to_owned()));
        }
        let live = self.members.iter().map(|member| (member.instance.id(), &member.load));
        let departed = self.departed.iter().map(|(id, load)| (id.as_str(), load));
        let mut loads: BTreeMap<&str, &Arc<Load>> = live.chain(departed).collect();
        let members = instances.into_iter().map(|instance| {
            let load = loads.remove(instance.id()).cloned().unwrap_or_default();
            Arc::new(Member { instance, load })
        });
        let members = members.collect();
        let left = loads.into_iter().filter(|(_, load)| load.outstanding() > 0);
        let departed = left.map(|(id, load)| (id.to_owned(), load.clone())).collect();
        Ok(InstanceSet { members, departed })
    }

    /// The members in `zone`, or all members if the zone has none.
    pub(crate) fn zone_first(&self, zone: &str) -> Vec<Arc<Member>> {
        let near = self.members.iter().filter(|member| member.instance.zone() == Some(zone));
        let near: Vec<_> = near.cloned().collect();
        if near.is_empty() { self.members.clone() } else { near }
    }
}

//! Rendezvous hashing: a key belongs to the instance where it ranks highest (Thaler and Ravishankar
//! 1996), with weights by the logarithmic method (Schindelhauer and Schomaker 2005).

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use crate::hash;
use crate::load::Member;

/// The hashes of all instances, by weight. The rule is in [`hash`].
#[derive(Debug)]
pub(crate) struct Rendezvous {
    /// One for each weight that occurs. Instances of equal weight are compared by whole numbers, so
    /// there is one logarithm for each weight and none for each instance.
    classes: Vec<Class>,
    hashes: Vec<u64>,
    /// For each hash, the instance as its position in the set.
    owners: Vec<u32>,
}

#[derive(Debug)]
struct Class {
    weight: f64,
    members: Range<usize>,
}

/// How a key ranks at an instance.
#[derive(Clone, Copy)]
struct Rank {
    hash: u64,
    owner: u32,
}

impl Rendezvous {
    pub(crate) fn new(members: &[Arc<Member>]) -> Rendezvous {
        let mut by_weight: Vec<(u64, u32)> = members.iter().map(|m| m.weight()).zip(0..).collect();
        by_weight.sort_unstable();
        let mut classes = Vec::new();
        let mut start = 0;
        for class in by_weight.chunk_by(|a, b| a.0 == b.0) {
            let end = start + class.len();
            classes.push(Class { weight: class[0].0 as f64, members: start..end });
            start = end;
        }
        let owners: Vec<u32> = by_weight.into_iter().map(|(_, owner)| owner).collect();
        let hashes = owners.iter().map(|owner| hash::instance(members[*owner as usize].instance.id()));
        Rendezvous { classes, hashes: hashes.collect(), owners }
    }

    /// The accepted instance where the key ranks highest.
    pub(crate) fn first(&self, key_hash: u64, accept: impl Fn(usize) -> bool) -> Option<usize> {
        let best_of = |class: &Class| self.best(class.members.clone(), key_hash, &accept);
        if let [class] = &self.classes[..] {
            return best_of(class).map(|rank| rank.owner as usize);
        }
        let ranked = self.classes.iter().filter_map(|class| {
            let rank = best_of(class)?;
            Some((cost(rank.hash, class.weight), rank))
        });
        let order = |a: &(f64, Rank), b: &(f64, Rank)| a.0.total_cmp(&b.0).then(compare(b.1, a.1));
        ranked.min_by(order).map(|(_, rank)| rank.owner as usize)
    }

    fn best(&self, class: Range<usize>, key_hash: u64, accept: impl Fn(usize) -> bool) -> Option<Rank> {
        let members = self.owners[class.clone()].iter().zip(&self.hashes[class]);
        let accepted = members.filter(|(owner, _)| accept(**owner as usize));
        let ranks = accepted
            .map(|(owner, hash)| Rank { hash: hash::key_at_instance(key_hash, *hash), owner: *owner });
        ranks.max_by(|a, b| compare(*a, *b))
    }

    pub(crate) fn table_bytes(&self) -> usize {
        size_of_val(&self.classes[..]) + size_of_val(&self.hashes[..]) + size_of_val(&self.owners[..])
    }
}

/// The higher hash ranks higher; of equal hashes that of the smaller id.
fn compare(a: Rank, b: Rank) -> Ordering {
    a.hash.cmp(&b.hash).then(b.owner.cmp(&a.owner))
}

/// −ln(u) / weight, where u in (0, 1] is the hash as a fraction. It is exponentially distributed
/// with the weight as its rate, so the probability to be the smallest is the weight's share.
fn cost(hash: u64, weight: f64) -> f64 {
    let u = ((hash >> 11) + 1) as f64 / (1_u64 << 53) as f64;
    -u.ln() / weight
}

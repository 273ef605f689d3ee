//! How keys and instances are hashed. Frozen: a change would move keys between instances.
//!
//! All functions are XXH3 with 64 bits (version 0.8 of xxHash), each with a seed of its own.
//! Numbers are written into the input in little-endian order.
//!
//! | what | input | seed |
//! |---|---|---|
//! | a key | the key's bytes | 0 |
//! | a point of a ring | the id, then the point's number as 4 bytes | 1 |
//! | an instance | the id | 2 |
//! | a key at an instance | the key's hash as 8 bytes, then the instance's hash as 8 bytes | 3 |
//! | the offset of an instance in a Maglev table | the id | 4 |
//! | the skip of an instance in a Maglev table | the id | 5 |
//!
//! The number of a point is part of the input and not the seed, because XXH3 adds the seed to a
//! constant before it mixes short inputs in: ids such as `s11` and `s12` would get nearly the same
//! points.
//!
//! Where a key belongs, with equal ids and weights:
//!
//! - **Ring.** An instance of weight *w* has the points 0 to *w* · *points per weight* − 1. A key
//!   belongs to the first point whose hash is at least the key's, and behind the last point to the
//!   first. Of instances with the same point, the one whose id is smaller by its bytes has it.
//! - **Rendezvous.** With *h* the hash of the key at the instance and *u* = (⌊*h* / 2¹¹⌋ + 1) /
//!   2⁵³, a key belongs to the instance with the smallest −ln(*u*) / *w*; among instances of equal
//!   weight that is the largest *h*. The logarithm is the only step that may differ between
//!   languages, in its last bit, which decides about fewer than one key in 10¹⁰, and about none
//!   when all weights are equal.
//! - **Maglev.** A table of *m* slots, of the paper of Eisenbud et al. (2016): instance *i* visits
//!   the slots (offset mod *m* + *j* · (skip mod (*m* − 1) + 1)) mod *m* for *j* = 0, 1, 2, … and
//!   takes the next free one at its turn. Rounds *r* = 1, 2, … go over the instances in the order
//!   of ids; an instance has its turn if it has fewer than *r* · *w* / (largest *w*) slots. A key
//!   belongs to the slot hash mod *m*.
//! - **Jump.** The function of Lamping and Veach (2014) of the key's hash over the sum of weights;
//!   the buckets belong to the instances in the order of ids, one for each unit of weight.

use twox_hash::XxHash3_64;

const KEY_SEED: u64 = 0;
const POINT_SEED: u64 = 1;
const INSTANCE_SEED: u64 = 2;
const KEY_AT_INSTANCE_SEED: u64 = 3;
const MAGLEV_OFFSET_SEED: u64 = 4;
const MAGLEV_SKIP_SEED: u64 = 5;

/// The hash of a key.
pub fn key(key: &[u8]) -> u64 {
    XxHash3_64::oneshot_with_seed(KEY_SEED, key)
}

/// The hash of an instance, which [`key_at_instance`] combines with that of a key.
pub fn instance(id: &str) -> u64 {
    XxHash3_64::oneshot_with_seed(INSTANCE_SEED, id.as_bytes())
}

/// The rank of a key at an instance, from the hashes of both.
pub fn key_at_instance(key_hash: u64, instance_hash: u64) -> u64 {
    let mut input = [0; 16];
    input[..8].copy_from_slice(&key_hash.to_le_bytes());
    input[8..].copy_from_slice(&instance_hash.to_le_bytes());
    XxHash3_64::oneshot_with_seed(KEY_AT_INSTANCE_SEED, &input)
}

/// The places of an instance's points 0, 1, 2, … on a ring.
pub fn points(id: &str) -> impl Iterator<Item = u64> {
    let mut input = id.as_bytes().to_vec();
    let end = input.len();
    input.extend([0; 4]);
    (0..=u32::MAX).map(move |number| {
        input[end..].copy_from_slice(&number.to_le_bytes());
        XxHash3_64::oneshot_with_seed(POINT_SEED, &input)
    })
}

/// The offset and the skip of an instance in a Maglev table, before they are reduced to its size.
pub fn maglev(id: &str) -> (u64, u64) {
    let hash = |seed| XxHash3_64::oneshot_with_seed(seed, id.as_bytes());
    (hash(MAGLEV_OFFSET_SEED), hash(MAGLEV_SKIP_SEED))
}

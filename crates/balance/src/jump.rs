//! Jump consistent hash (Lamping and Veach 2014): no table and exact shares, but only the last
//! instance can come or go without moving other keys.

use crate::proportional::Proportional;

/// The units of weight of all instances, in the order of ids, as the buckets of the function.
#[derive(Debug)]
pub(crate) struct Jump {
    buckets: Proportional,
}

impl Jump {
    pub(crate) fn new(weights: impl Iterator<Item = u64>) -> Jump {
        Jump { buckets: Proportional::new(weights) }
    }

    pub(crate) fn owner(&self, key_hash: u64) -> Option<usize> {
        let total = self.buckets.total();
        (total > 0).then(|| self.buckets.owner(bucket(key_hash, total)))
    }

    pub(crate) fn table_bytes(&self) -> usize {
        self.buckets.table_bytes()
    }
}

/// The bucket of a key among `count` buckets, at least 1 and below 2^31.
fn bucket(mut key: u64, count: u64) -> u64 {
    let mut bucket = 0;
    let mut next = 0;
    while next < count {
        bucket = next;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        let spread = (1_u64 << 31) as f64 / ((key >> 33) + 1) as f64;
        next = ((bucket + 1) as f64 * spread) as u64;
    }
    bucket
}

#[cfg(test)]
mod tests {
    use super::bucket;

    #[test]
    fn buckets_are_those_of_other_implementations() {
        let known = [(1, 1, 0), (42, 57, 43), (0xdead_10cc, 1, 0), (0xdead_10cc, 666, 361), (256, 1024, 520)];
        for (key, count, expected) in known {
            assert_eq!(bucket(key, count), expected, "key {key} of {count}");
        }
    }

    #[test]
    fn a_key_moves_to_a_new_last_bucket_or_stays() {
        for key in 0..2_000_u64 {
            let key = key.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            for count in 1..60 {
                let (before, after) = (bucket(key, count), bucket(key, count + 1));
                assert!(after == before || after == count, "key {key} of {count}: {before} to {after}");
            }
        }
    }
}

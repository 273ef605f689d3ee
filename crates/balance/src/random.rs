//! Random numbers from a seed: SplitMix64 of Steele, Lea and Flood (2014).

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The odd constant by which the state advances, 2^64 divided by the golden ratio.
const INCREMENT: u64 = 0x9e37_79b9_7f4a_7c15;

/// A generator that several threads share without a lock. Not for secrets.
#[derive(Debug)]
pub(crate) struct SplitMix(AtomicU64);

impl SplitMix {
    pub(crate) fn new(seed: u64) -> SplitMix {
        SplitMix(AtomicU64::new(seed))
    }

    pub(crate) fn next(&self) -> u64 {
        let mut z = self.0.fetch_add(INCREMENT, Relaxed).wrapping_add(INCREMENT);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, each equally likely. `bound` is at least 1.
    ///
    /// The upper half of a product of 128 bits is nearly uniform; draws from the incomplete last
    /// interval of the lower half are repeated (Lemire 2019).
    pub(crate) fn below(&self, bound: u64) -> u64 {
        let incomplete = bound.wrapping_neg() % bound;
        loop {
            let product = u128::from(self.next()) * u128::from(bound);
            if product as u64 >= incomplete {
                return (product >> 64) as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::SplitMix;

    #[test]
    fn the_numbers_are_those_of_the_published_generator() {
        let random = SplitMix::new(1_234_567);
        let numbers: Vec<u64> = (0..5).map(|_| random.next()).collect();
        let published = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
            16_408_922_859_458_223_821,
        ];
        assert_eq!(numbers, published);
    }

    #[test]
    fn each_number_below_the_bound_is_equally_likely() {
        let random = SplitMix::new(7);
        // A bound of three quarters of 2^64: without the repeated draws the multiples of three
        // would come twice as often as the others.
        let bound = 3 << 62;
        let draws = 30_000;
        let mut counts = [0.0_f64; 3];
        for _ in 0..draws {
            let number = random.below(bound);
            assert!(number < bound);
            counts[(number % 3) as usize] += 1.0;
        }
        let mean = f64::from(draws) / 3.0;
        let sigma = (mean * 2.0 / 3.0).sqrt();
        assert!(counts.iter().all(|count| (count - mean).abs() < 6.0 * sigma), "{counts:?}");
    }
}

//! Choosing in proportion to weights.

use crate::random::SplitMix;

/// The weights of all instances as sums from the first one on. A number below the total belongs to
/// the instance in whose range it is.
#[derive(Debug)]
pub(crate) struct Proportional {
    /// For each instance, the sum of its weight and all before it. At most 10,000 · 256.
    ends: Vec<u32>,
}

impl Proportional {
    pub(crate) fn new(weights: impl Iterator<Item = u64>) -> Proportional {
        let sums = weights.scan(0, |sum, weight| {
            *sum += weight as u32;
            Some(*sum)
        });
        Proportional { ends: sums.collect() }
    }

    pub(crate) fn total(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0).into()
    }

    /// The instance to which `number`, below the total, belongs.
    pub(crate) fn owner(&self, number: u64) -> usize {
        self.ends.partition_point(|end| u64::from(*end) <= number)
    }

    /// One instance. There is at least one.
    pub(crate) fn draw(&self, random: &SplitMix) -> usize {
        self.owner(random.below(self.total()))
    }

    /// Two different instances, or the only one twice: the second is drawn in proportion to the
    /// weights of the instances that are left.
    pub(crate) fn draw_two(&self, random: &SplitMix) -> (usize, usize) {
        let first = self.draw(random);
        let start = if first == 0 { 0 } else { u64::from(self.ends[first - 1]) };
        let weight = u64::from(self.ends[first]) - start;
        let rest = self.total() - weight;
        if rest == 0 {
            return (first, first);
        }
        let number = random.below(rest);
        let second = self.owner(if number < start { number } else { number + weight });
        (first, second)
    }

    pub(crate) fn table_bytes(&self) -> usize {
        size_of_val(&self.ends[..])
    }
}

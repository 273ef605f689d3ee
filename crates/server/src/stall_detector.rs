//! The replication thread as seen from another one.

/// Looks now and then whether the replication thread goes on. Only another thread can see that it does not, because its disk stands still.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    cycles: u64,
    /// Looks are counted and not time: when the whole process was stopped, so was who looks.
    looks: u32,
}

impl Pulse {
    /// There were so many cycles until now; says at how many looks in a row, this one included, nothing had happened. The first of them may
    /// come at once after the last cycle.
    pub(crate) fn missed(&mut self, cycles: u64) -> u32 {
        self.looks = if cycles == self.cycles { self.looks.saturating_add(1) } else { 0 };
        self.cycles = cycles;
        self.looks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_counted_until_something_happens() {
        let mut pulse = Pulse::default();
        let seen = [5, 5, 5, 6, 6, 7, 7, 7].map(|cycles| pulse.missed(cycles));
        assert_eq!(seen, [0, 1, 2, 0, 1, 0, 1, 2]);
    }
}

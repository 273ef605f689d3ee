//! Rounds put together: medians, spreads, and ratios between two servers.

use super::round::Outcome;
use serde::Serialize;
use std::collections::BTreeMap;

/// The median of some measurements and their spread. On a shared machine the extremes show whether
/// the median can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

impl Spread {
    /// The spread of `values`, or `None` without values. The median of an even number is the
    /// mean of the middle two.
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let half = values.len() / 2;
        let median =
            if values.len() % 2 == 1 { values[half] } else { (values[half - 1] + values[half]) / 2.0 };
        Some(Self { median, min, max })
    }

    /// The spread of the quotients of each round with its neighbour. Neighbours ran under the same
    /// conditions: what slows the machine for a while slows both, and cancels out.
    pub(super) fn of_ratios(first: &[f64], second: &[f64]) -> Option<Self> {
        Self::of(
            first
                .iter()
                .zip(second)
                .filter(|(_, second)| **second > 0.0)
                .map(|(first, second)| first / second),
        )
    }
}

/// What is reported of one round.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Figures([Option<f64>; Figure::ALL.len()]);

/// One column of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Figure {
    OperationsPerSecond,
    P50,
    P90,
    P99,
    P999,
    Max,
    CpuPerOperation,
    SwitchesPerOperation,
    ResidentBytes,
    GeneratorCpuPerOperation,
    GeneratorLoad,
}

impl Figure {
    pub(super) const ALL: [Self; 11] = [
        Self::OperationsPerSecond,
        Self::P50,
        Self::P90,
        Self::P99,
        Self::P999,
        Self::Max,
        Self::CpuPerOperation,
        Self::SwitchesPerOperation,
        Self::ResidentBytes,
        Self::GeneratorCpuPerOperation,
        Self::GeneratorLoad,
    ];

    /// Name in JSON, unit last.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::OperationsPerSecond => "operations_per_second",
            Self::P50 => "latency_p50_us",
            Self::P90 => "latency_p90_us",
            Self::P99 => "latency_p99_us",
            Self::P999 => "latency_p999_us",
            Self::Max => "latency_max_us",
            Self::CpuPerOperation => "server_cpu_per_operation_us",
            Self::SwitchesPerOperation => "server_switches_per_operation",
            Self::ResidentBytes => "server_resident_bytes",
            Self::GeneratorCpuPerOperation => "generator_cpu_per_operation_us",
            Self::GeneratorLoad => "generator_load",
        }
    }
}

impl Figures {
    /// The figures of a round in which this process had `threads` threads to make load with.
    pub(super) fn of(outcome: &Outcome, threads: u32) -> Self {
        let done = outcome.tally.done() as f64;
        let per_operation = |total: f64| (done > 0.0).then_some(total / done);
        let server = outcome.server;
        let latency = |quantile| (done > 0.0).then(|| outcome.tally.latency_us(quantile));
        Self(Figure::ALL.map(|figure| match figure {
            Figure::OperationsPerSecond => Some(done / outcome.seconds),
            Figure::P50 => latency(0.5),
            Figure::P90 => latency(0.9),
            Figure::P99 => latency(0.99),
            Figure::P999 => latency(0.999),
            Figure::Max => latency(1.0),
            Figure::CpuPerOperation => server.and_then(|usage| per_operation(usage.cpu_seconds * 1e6)),
            Figure::SwitchesPerOperation => server.and_then(|usage| per_operation(usage.switches as f64)),
            Figure::ResidentBytes => server.map(|usage| usage.resident_bytes as f64),
            Figure::GeneratorCpuPerOperation => per_operation(outcome.generator.cpu_seconds * 1e6),
            Figure::GeneratorLoad => {
                Some(outcome.generator.cpu_seconds / (outcome.seconds * f64::from(threads)))
            }
        }))
    }

    /// One of them, if it was measured.
    pub(super) fn get(&self, figure: Figure) -> Option<f64> {
        self.0[figure as usize]
    }
}

/// All rounds of one side.
#[derive(Debug, Clone, Default)]
pub(super) struct Series {
    pub(super) rounds: Vec<Figures>,
    pub(super) errors: BTreeMap<i32, u64>,
}

impl Series {
    /// Adds a round.
    pub(super) fn push(&mut self, outcome: &Outcome, threads: u32) {
        self.rounds.push(Figures::of(outcome, threads));
        for (code, count) in outcome.tally.errors() {
            *self.errors.entry(*code).or_default() += count;
        }
    }

    fn values(&self, figure: Figure) -> Vec<f64> {
        self.rounds.iter().filter_map(|round| round.get(figure)).collect()
    }

    /// The spread of one figure over the rounds.
    pub(super) fn spread(&self, figure: Figure) -> Option<Spread> {
        Spread::of(self.values(figure))
    }

    /// The spread of the ratio to another series, round by round.
    pub(super) fn ratio(&self, other: &Self, figure: Figure) -> Option<Spread> {
        Spread::of_ratios(&self.values(figure), &other.values(figure))
    }
}

#[cfg(test)]
mod tests {
    use super::super::measure::Tally;
    use super::super::process::Usage;
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Some(Spread { median: 2.0, min: 1.0, max: 3.0 }));
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]).unwrap().median, 2.5);
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn ratios_are_of_neighbours_and_not_of_medians() {
        // The machine halves its speed after two rounds: the medians would say 20 / 5.
        let ratio = Spread::of_ratios(&[20.0, 20.0, 10.0], &[10.0, 5.0, 5.0]).unwrap();
        assert_eq!(ratio, Spread { median: 2.0, min: 2.0, max: 4.0 });
        assert_eq!(Spread::of_ratios(&[1.0], &[0.0]), None);
    }

    fn outcome(operations: u64, cpu_seconds: f64) -> Outcome {
        let mut tally = Tally::default();
        for _ in 0..operations {
            tally.record(0, 50_000);
        }
        let server = Some(Usage { cpu_seconds, switches: operations * 3, resident_bytes: 1 << 20 });
        Outcome { tally, seconds: 2.0, server, generator: Usage { cpu_seconds: 1.0, ..Usage::default() } }
    }

    #[test]
    fn costs_are_per_operation_and_unknown_without_any() {
        let figures = Figures::of(&outcome(1000, 0.01), 1);
        assert_eq!(figures.get(Figure::OperationsPerSecond), Some(500.0));
        assert_eq!(figures.get(Figure::CpuPerOperation), Some(10.0));
        assert_eq!(figures.get(Figure::SwitchesPerOperation), Some(3.0));
        assert_eq!(figures.get(Figure::GeneratorLoad), Some(0.5));
        let none = Figures::of(&outcome(0, 0.01), 1);
        assert_eq!((none.get(Figure::CpuPerOperation), none.get(Figure::P50)), (None, None));
        assert_eq!(none.get(Figure::OperationsPerSecond), Some(0.0));
    }

    #[test]
    fn a_series_adds_errors_up() {
        let mut series = Series::default();
        for count in 1..=2 {
            let mut outcome = outcome(10, 0.0);
            outcome.tally.fail(-101, count);
            series.push(&outcome, 1);
        }
        assert_eq!(series.errors[&-101], 3);
        assert_eq!(series.spread(Figure::OperationsPerSecond).unwrap().median, 5.0);
    }
}

//! Health checks, which the registrant of an instance makes.

use std::ops::RangeInclusive;
use std::time::Duration;

use thiserror::Error;

use super::instance::Health;
use super::probe::{Probe, ProbeError};

const INTERVAL: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3_600);
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(300);
const STREAK: RangeInclusive<u32> = 1..=100;

/// When a check is made, and what its results count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// The pause between two checks: 100 ms to an hour.
    pub interval: Duration,
    /// How long a check may take before it has failed: 10 ms to 5 minutes.
    pub timeout: Duration,
    /// How many checks in a row have to succeed until the instance is passing: 1 to 100.
    pub rise: u32,
    /// How many checks in a row have to fail until it is failing: 1 to 100.
    pub fall: u32,
}

impl Default for Thresholds {
    /// Every 5 s, with a timeout of 2 s; passing after one success, failing after three failures.
    fn default() -> Self {
        Self { interval: Duration::from_secs(5), timeout: Duration::from_secs(2), rise: 1, fall: 3 }
    }
}

/// Why there is no such check.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CheckError {
    /// The interval is out of range.
    #[error("an interval of {0:?}: 100 ms to 1 h are allowed")]
    Interval(Duration),
    /// The timeout is out of range.
    #[error("a timeout of {0:?}: 10 ms to 5 min are allowed")]
    Timeout(Duration),
    /// A threshold is out of range.
    #[error("{0} checks in a row: 1 to 100 are allowed")]
    Streak(u32),
}

/// A check that is made again and again.
#[derive(Debug, Clone)]
pub struct HealthCheck {
    probe: Probe,
    thresholds: Thresholds,
}

impl HealthCheck {
    /// A check.
    ///
    /// # Errors
    /// A threshold is out of range.
    pub fn new(probe: Probe, thresholds: Thresholds) -> Result<Self, CheckError> {
        let Thresholds { interval, timeout, rise, fall } = thresholds;
        if !INTERVAL.contains(&interval) {
            return Err(CheckError::Interval(interval));
        }
        if !TIMEOUT.contains(&timeout) {
            return Err(CheckError::Timeout(timeout));
        }
        match [rise, fall].into_iter().find(|streak| !STREAK.contains(streak)) {
            Some(streak) => Err(CheckError::Streak(streak)),
            None => Ok(Self { probe, thresholds }),
        }
    }

    /// Checks until the future is dropped, at once and then after each interval, and calls `report`
    /// with each change: with the reason if it is that of a failure. An instance begins as
    /// [`Health::Failing`], so register it so.
    ///
    /// ```no_run
    /// # async fn example(
    /// #     discovery: recipes::discovery::Discovery,
    /// #     check: recipes::discovery::HealthCheck,
    /// # ) -> Result<(), recipes::Error> {
    /// use recipes::discovery::{Health, Instance};
    ///
    /// let mut instance = Instance::new("web", "10.0.0.7", 8080);
    /// instance.health = Health::Failing;
    /// let registration = discovery.register(instance).await?;
    /// tokio::select! {
    ///     () = check.run(|health, _reason| registration.set_health(health)) => {}
    ///     () = registration.ended() => {}
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn run(&self, mut report: impl FnMut(Health, Option<&ProbeError>)) {
        let mut verdict = Verdict::new(self.thresholds);
        loop {
            let result = match tokio::time::timeout(self.thresholds.timeout, self.probe.run()).await {
                Ok(result) => result,
                Err(_) => Err(ProbeError::Timeout(self.thresholds.timeout)),
            };
            if let Some(health) = verdict.take(result.is_ok()) {
                report(health, result.as_ref().err());
            }
            tokio::time::sleep(self.thresholds.interval).await;
        }
    }
}

/// What the results so far amount to.
struct Verdict {
    thresholds: Thresholds,
    health: Health,
    /// How many results in a row contradict it.
    streak: u32,
}

impl Verdict {
    fn new(thresholds: Thresholds) -> Self {
        Self { thresholds, health: Health::Failing, streak: 0 }
    }

    /// Takes in a result; returns the new health if it has changed.
    fn take(&mut self, succeeded: bool) -> Option<Health> {
        if succeeded == (self.health == Health::Passing) {
            self.streak = 0;
            return None;
        }
        self.streak += 1;
        let (needed, other) = match succeeded {
            true => (self.thresholds.rise, Health::Passing),
            false => (self.thresholds.fall, Health::Failing),
        };
        if self.streak < needed {
            return None;
        }
        self.streak = 0;
        self.health = other;
        Some(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_row_of_results_changes_the_verdict() {
        let mut verdict = Verdict::new(Thresholds { rise: 2, fall: 3, ..Thresholds::default() });
        let taken: Vec<_> = "+-++--+---++".chars().map(|result| verdict.take(result == '+')).collect();
        let mut expected = [None; 12];
        expected[3] = Some(Health::Passing);
        expected[9] = Some(Health::Failing);
        expected[11] = Some(Health::Passing);
        assert_eq!(taken, expected);
    }

    #[test]
    fn thresholds_out_of_range_are_refused_with_what_is_allowed() {
        let refused = |change: fn(&mut Thresholds)| {
            let mut thresholds = Thresholds::default();
            change(&mut thresholds);
            let probe = Probe::tcp("127.0.0.1:1").unwrap();
            HealthCheck::new(probe, thresholds).expect_err("out of range").to_string()
        };
        assert!(refused(|t| t.interval = Duration::from_millis(99)).contains("100 ms to 1 h"));
        assert!(refused(|t| t.interval = Duration::from_secs(3_601)).contains("100 ms to 1 h"));
        assert!(refused(|t| t.timeout = Duration::ZERO).contains("10 ms to 5 min"));
        assert!(refused(|t| t.rise = 0).contains("1 to 100"));
        assert!(refused(|t| t.fall = 101).contains("1 to 100"));
    }
}

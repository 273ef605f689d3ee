//! Bounds how often an address may fail to authenticate.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use parking_lot::Mutex;

/// Length of a period in ms.
const PERIOD_MS: i64 = 60_000;
/// Addresses remembered at a time.
const ADDRESSES_MAX: usize = 4096;

/// The failed logins of each address in the current period. Above a limit further attempts of the
/// address are refused without checking them, so that nobody can try passwords at full speed.
#[derive(Debug)]
pub struct FailedLogins {
    /// 0 = no limit.
    per_period_max: u32,
    recent: Mutex<Recent>,
}

#[derive(Debug, Default)]
struct Recent {
    /// When the current period began.
    since_ms: i64,
    counts: HashMap<IpAddr, u32>,
}

impl FailedLogins {
    /// No failed logins, and this limit for a minute; 0 = no limit.
    pub fn new(per_period_max: u32) -> FailedLogins {
        FailedLogins { per_period_max, recent: Mutex::default() }
    }

    /// Whether attempts of this address are refused.
    pub fn is_over(&self, address: IpAddr, now_ms: i64) -> bool {
        if self.per_period_max == 0 {
            return false;
        }
        let mut recent = self.recent.lock();
        recent.pass_to(now_ms);
        recent.counts.get(&counted(address)).is_some_and(|&count| count >= self.per_period_max)
    }

    /// Records a failed login. When more addresses fail in a minute than are remembered, all counts
    /// begin again.
    pub fn record(&self, address: IpAddr, now_ms: i64) {
        if self.per_period_max == 0 {
            return;
        }
        let mut recent = self.recent.lock();
        recent.pass_to(now_ms);
        if recent.counts.len() == ADDRESSES_MAX {
            recent.counts.clear();
        }
        let count = recent.counts.entry(counted(address)).or_default();
        *count = count.saturating_add(1);
    }
}

impl Recent {
    fn pass_to(&mut self, now_ms: i64) {
        if now_ms - self.since_ms >= PERIOD_MS {
            *self = Recent { since_ms: now_ms, counts: HashMap::new() };
        }
    }
}

/// The address as it is counted: of version 6 the network, since a host has all its addresses.
fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from(network))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_fails_too_often_is_refused_for_a_while() {
        let failed = FailedLogins::new(3);
        let (guesser, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        for _ in 0..3 {
            assert!(!failed.is_over(guesser, 100_000));
            failed.record(guesser, 100_000);
        }
        let mapped: IpAddr = "::ffff:10.0.0.1".parse().unwrap();
        assert!(failed.is_over(guesser, 100_000) && failed.is_over(mapped, 100_000));
        assert!(!failed.is_over(other, 100_000));
        assert!(failed.is_over(guesser, 159_999));
        assert!(!failed.is_over(guesser, 160_000));
    }

    #[test]
    fn a_network_of_version_6_counts_as_one() {
        let failed = FailedLogins::new(1);
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        failed.record(address("2001:db8::1"), 0);
        assert!(failed.is_over(address("2001:db8::ffff:1:2:3"), 0));
        assert!(!failed.is_over(address("2001:db8:0:1::1"), 0));
    }

    #[test]
    fn the_table_is_bounded_and_can_be_off() {
        let failed = FailedLogins::new(1);
        for number in 0..3 * ADDRESSES_MAX as u32 {
            failed.record(IpAddr::from(number.to_be_bytes()), 0);
            assert!(failed.recent.lock().counts.len() <= ADDRESSES_MAX);
        }
        let off = FailedLogins::new(0);
        off.record(IpAddr::from([10, 0, 0, 1]), 0);
        assert!(!off.is_over(IpAddr::from([10, 0, 0, 1]), 0));
    }
}

//! Limits the rate of handshakes (`connection_throttle_*`; ZooKeeper's `BlueThrottle`).

use parking_lot::Mutex;

use crate::config::ConnectionThrottle;

/// A token bucket. It starts full; each handshake takes a token, or is refused when there is none.
#[derive(Debug)]
pub struct TokenBucket {
    rule: ConnectionThrottle,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    tokens: u32,
    filled_ms: i64,
}

impl TokenBucket {
    /// A full bucket. All times come from one clock that never goes back.
    pub fn new(rule: ConnectionThrottle, now_ms: i64) -> TokenBucket {
        TokenBucket { rule, state: Mutex::new(State { tokens: rule.tokens_max, filled_ms: now_ms }) }
    }

    /// Takes a token; `false` if there is none.
    pub fn take(&self, now_ms: i64) -> bool {
        let mut state = self.state.lock();
        let interval_ms = i64::from(self.rule.fill_interval_ms.max(1));
        let fillings = (now_ms - state.filled_ms).max(0) / interval_ms;
        if fillings > 0 {
            state.filled_ms += fillings * interval_ms;
            let poured =
                u64::try_from(fillings).unwrap_or(0).saturating_mul(u64::from(self.rule.fill_tokens));
            let tokens = poured.saturating_add(u64::from(state.tokens)).min(u64::from(self.rule.tokens_max));
            state.tokens = tokens as u32;
        }
        let has_token = state.tokens > 0;
        state.tokens = state.tokens.saturating_sub(1);
        has_token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_what_it_holds_and_then_what_is_poured() {
        let rule = ConnectionThrottle { tokens_max: 3, fill_interval_ms: 100, fill_tokens: 2 };
        let bucket = TokenBucket::new(rule, 0);
        let taken = |now_ms| (0..10).filter(|_| bucket.take(now_ms)).count();
        assert_eq!(taken(0), 3, "it starts full");
        assert_eq!(taken(99), 0, "not filled yet");
        assert_eq!(taken(100), 2, "one filling");
        assert_eq!(taken(1_000_000), 3, "never more than it holds");
        assert_eq!(taken(i64::MAX), 3);
    }
}

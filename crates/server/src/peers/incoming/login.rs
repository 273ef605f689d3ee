//! Logins by SASL of servers that have dialled.

use super::{Arrivals, Phase};
use crate::peers::local::Local;
use crate::peers::sasl::Accept;

/// Any host can fail to log in: not more often than this, it is worth a line.
const REPORT_PAUSE_MS: i64 = 10_000;

impl Arrivals {
    /// A thread has done a step of a login. The connection may have ended.
    pub(in crate::peers) fn stepped(
        &mut self,
        local: &mut Local,
        number: u64,
        result: Result<Accept, String>,
    ) {
        let waiting = self.connections.iter_mut().find_map(|(slot, incoming)| match &mut incoming.phase {
            Phase::Stranger { admission, since_ms } if admission.waits_for(number) => {
                Some((slot, admission, since_ms))
            }
            _ => None,
        });
        let Some((slot, admission, since_ms)) = waiting else { return };
        let step = admission.stepped(local, result);
        if !admission.is_login() {
            // The time for the greeting begins.
            *since_ms = local.now_ms;
        }
        if let Err(end) = self.go(local, slot, step, &mut |_, _| {}) {
            self.end(local, slot, end);
        }
    }

    /// Counts a connection that does not authenticate, and reports some.
    pub(super) fn rejected(&mut self, local: &mut Local, slot: usize, why: &str) {
        local.counts.refused += 1;
        let Some(address) = self.connections.get(slot).map(|incoming| incoming.address) else { return };
        if self.rejected_ms.is_some_and(|last| local.now_ms < last + REPORT_PAUSE_MS) {
            return tracing::debug!("refused a connection of {address}: {why}");
        }
        self.rejected_ms = Some(local.now_ms);
        tracing::error!("refused a connection of {address} for other servers: {why}");
    }
}

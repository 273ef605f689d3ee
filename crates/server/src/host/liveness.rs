//! Which servers are alive, for all groups at once.
//!
//! Where there are several groups, each server tells each other one once per heartbeat interval
//! that it is alive, and which quiet groups it leads (`QuietGroups`). Groups with traffic have the
//! heartbeats of their engines besides.

use std::collections::BTreeMap;

use group::event::Event;
use group::message::{QuietGroup, ServerMessage};

use super::{Fatal, Host, now};
use crate::config::ServerId;
use crate::transport::Transport;

/// When each other server was last heard from, and when this server sends its next sign of life.
#[derive(Debug, Default)]
pub(super) struct Liveness {
    /// In ms of the server's clock.
    heard_ms: BTreeMap<ServerId, i64>,
    due_ms: i64,
}

impl<T: Transport> Host<T> {
    fn has_liveness(&self) -> bool {
        self.slots.len() > 1 && self.shared.config.ensemble.is_some()
    }

    /// Milliseconds until the other servers must hear from this one; `None` if they need not.
    #[cfg(feature = "net")]
    pub(super) fn liveness_patience_ms(&self, now_ms: i64) -> Option<i64> {
        self.has_liveness().then(|| (self.liveness.due_ms - now_ms).max(0))
    }

    /// If due, tells the other servers that this one is alive, and the groups who is.
    ///
    /// # Errors
    /// As [`act`](Self::act).
    pub(super) fn exchange_liveness(&mut self) -> Result<(), Fatal> {
        let now_ms = self.shared.clock.elapsed_ms();
        let Some(ensemble) = self.shared.config.ensemble.as_ref() else { return Ok(()) };
        if !self.has_liveness() || now_ms < self.liveness.due_ms {
            return Ok(());
        }
        self.liveness.due_ms = now_ms + i64::from(ensemble.heartbeat_ms);
        let heard_ms = std::mem::take(&mut self.liveness.heard_ms);
        for at in 1..self.slots.len() {
            let now = now(&self.shared);
            self.slots[at].group.handle(now, Event::ServersHeard(&heard_ms));
            self.wake_if_active(at);
        }
        self.liveness.heard_ms = heard_ms;
        self.act()?;
        let quiet = self.slots.iter().filter_map(|slot| slot.group.announcement()).collect();
        let message = ServerMessage::QuietGroups(quiet).into();
        for server in self.root().others() {
            self.send(server, &message);
        }
        self.transport.flush();
        Ok(())
    }

    /// A server has shown that it is alive.
    pub(super) fn heard_from(&mut self, server: ServerId) {
        if self.has_liveness() {
            self.liveness.heard_ms.insert(server, self.shared.clock.elapsed_ms());
        }
    }

    /// A server announces the quiet groups that it leads.
    pub(super) fn on_quiet_groups(&mut self, from: ServerId, groups: &[QuietGroup]) {
        for at in 1..self.slots.len() {
            let group = &self.slots[at].group;
            let announced = groups.iter().find(|quiet| quiet.group == group.id()).copied();
            if announced.is_some() || (group.is_quiet() && group.leader() == Some(from)) {
                let now = now(&self.shared);
                self.slots[at].group.handle(now, Event::LeaderQuiet { from, announced });
                self.wake_if_active(at);
            }
        }
    }
}

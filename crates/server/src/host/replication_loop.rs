//! Which thread runs the cycle.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mio::{Events, Poll};
use parking_lot::Mutex;

use super::{Fatal, Host};
use crate::inline_cycle::InlineCycle;
use crate::peers::{LinkNews, SharedLinks};
use crate::shared::Shared;
use crate::transport::Sender;

/// The longest wait for work before sessions and containers are checked.
const PATIENCE: Duration = Duration::from_millis(100);

/// A connection thread runs no cycle if the latest flush took longer than this: a client that
/// connects to that thread meanwhile waits that long.
const FLUSH_MAX: Duration = Duration::from_millis(2);

/// The host, behind the lock that a thread holds while it runs a cycle.
pub(crate) struct ReplicationLoop {
    shared: Arc<Shared>,
    state: Mutex<LoopState>,
}

/// What the lock guards.
enum LoopState {
    Running(Box<Host<Option<SharedLinks>>>),
    /// A cycle on a connection thread failed; the replication thread picks the error up.
    Failed(Fatal),
    /// The server has stopped.
    Empty,
}

impl ReplicationLoop {
    /// `host` leads already, or is one member of several.
    pub(crate) fn new(shared: Arc<Shared>, host: Host<Option<SharedLinks>>) -> ReplicationLoop {
        ReplicationLoop { shared, state: Mutex::new(LoopState::Running(Box::new(host))) }
    }

    /// Runs cycles until the server stops or fails. `poll` has the waker of the inbox and the
    /// sockets of the links.
    ///
    /// # Errors
    /// A cycle failed, on whichever thread, or polling did.
    pub(crate) fn run(&self, mut poll: Poll) -> Result<(), Fatal> {
        let mut events = Events::with_capacity(256);
        let mut frames = Vec::new();
        let mut patience = Duration::ZERO;
        loop {
            let polled_ms = self.shared.clock.elapsed_ms();
            let may_sleep = self.shared.inbox.fall_asleep();
            let polled = poll.poll(&mut events, Some(if may_sleep { patience } else { Duration::ZERO }));
            self.shared.inbox.awake();
            if let Err(e) = polled
                && e.kind() != io::ErrorKind::Interrupted
            {
                return Err(Fatal::Poll(e));
            }
            let mut state = self.state.lock();
            if let LoopState::Running(host) = &mut *state {
                match host.hear(&events, polled_ms, &mut frames).and_then(|()| host.cycle()) {
                    Ok(()) if !host.may_end() => {
                        let left_ms = host.patience_ms().map(|ms| Duration::from_millis(ms as u64));
                        patience = left_ms.map_or(PATIENCE, |left| left.min(PATIENCE));
                        continue;
                    }
                    Ok(()) => {}
                    Err(why) => *state = LoopState::Failed(why),
                }
            }
            return match std::mem::replace(&mut *state, LoopState::Empty) {
                LoopState::Running(host) => host.end(),
                LoopState::Failed(why) => Err(why),
                LoopState::Empty => Ok(()),
            };
        }
    }
}

impl InlineCycle for ReplicationLoop {
    /// The latest flush may have taken [`FLUSH_MAX`].
    fn try_run_inline(&self, hand_over: &mut dyn FnMut()) -> bool {
        let Some(mut state) = self.state.try_lock() else { return false };
        let LoopState::Running(host) = &mut *state else { return false };
        if host.flush_took > FLUSH_MAX {
            return false;
        }
        hand_over();
        match host.cycle() {
            // Another cycle is due soon, and the caller will not run it: wake the replication
            // thread.
            Ok(()) if host.is_holding() || host.looks_often() => {}
            Ok(()) => return true,
            Err(why) => *state = LoopState::Failed(why),
        }
        drop(state);
        self.shared.inbox.wake();
        true
    }
}

impl Host<Option<SharedLinks>> {
    /// Whether a group checks its containers so often that the loop must not sleep as usual.
    fn looks_often(&self) -> bool {
        self.awake.iter().any(|at| self.slots[*at].group.looks_often())
    }

    /// Milliseconds until the next cycle must run; `None` if nothing is due.
    fn patience_ms(&mut self) -> Option<i64> {
        let now = super::now(&self.shared);
        let of_groups = self.awake.iter().filter_map(|at| self.slots[*at].group.patience_ms(now));
        of_groups.chain(self.liveness_patience_ms(now.ms)).min()
    }

    /// Reads the sockets of other members that are ready, according to a poll that began at
    /// `polled_ms`, and handles their frames. `frames` is empty, and a buffer for these.
    fn hear(
        &mut self,
        events: &Events,
        polled_ms: i64,
        frames: &mut Vec<(Sender, Bytes)>,
    ) -> Result<(), Fatal> {
        self.peers_polled(polled_ms);
        let Some(links) = &self.transport else { return Ok(()) };
        let mut links = links.lock();
        for event in events {
            if links.owns(event.token()) {
                links.ready(event, &mut |sender, frame| frames.push((sender, frame)));
            }
        }
        links.tick(self.shared.clock.elapsed_ms());
        let news: Vec<_> = links.news().collect();
        drop(links);
        for (sender, frame) in frames.drain(..) {
            self.receive(sender, frame)?;
        }
        for news in news {
            match news {
                LinkNews::Up { peer, .. } => self.link_up(peer),
                LinkNews::Down { peer } => self.link_down(peer),
                LinkNews::Refused { .. } => {}
            }
        }
        Ok(())
    }
}

//! What a group does as time passes: ticks of the engine, reports, leader tasks, and stopping.

use crate::group::{Action, Group, Now};
use crate::shared::Counted;
use state::members::ServerId;

/// Length of an engine's tick, in ms.
pub const TICK_MS: i64 = 10;

/// Most ticks delivered at once after the process was descheduled. It received nothing meanwhile,
/// so those ticks must not count as leader silence.
const TICKS_AT_ONCE_MAX: i64 = 3;

/// How often a member does non-urgent work, in ms.
const CARE_MS: i64 = 400;

/// A stopping leader works on what the configuration files want for at most this long, in ms.
const FINISH_MS: i64 = 1_000;

/// How often a server without data announces that, in ms.
const ANNOUNCE_MS: i64 = 100;

/// When each timer is next due.
#[derive(Default)]
pub(crate) struct Timers {
    tick_due_ms: i64,
    care_due_ms: i64,
    /// When to begin to stop, if the members do not match the files before.
    finish_by_ms: Option<i64>,
    /// When to stop, if a successor has not taken over before.
    stop_by_ms: Option<i64>,
}

impl Timers {
    /// Ticks count from now on.
    pub(crate) fn restart(&mut self, now_ms: i64) {
        self.tick_due_ms = now_ms + TICK_MS;
    }

    /// Whether the member was told to stop.
    pub(crate) fn is_stopping(&self) -> bool {
        self.finish_by_ms.is_some() || self.stop_by_ms.is_some()
    }
}

impl Group {
    /// Handles the passing of time.
    pub(crate) fn pass_time(&mut self) {
        if self.is_single() {
            self.serve();
            self.forget_learners();
            if self.replica.waiting_reconfigs().next().is_some() {
                self.tend_members();
            }
            return;
        }
        let now_ms = self.now.ms;
        if self.is_newcomer() {
            if self.is_root() && now_ms >= self.timers.care_due_ms {
                self.timers.care_due_ms = now_ms + ANNOUNCE_MS;
                self.keep_directory();
                self.announce();
            }
            self.timers.tick_due_ms = now_ms + TICK_MS;
            return;
        }
        let missed = (now_ms - self.timers.tick_due_ms).div_euclid(TICK_MS) + 1;
        if missed > 0 {
            (0..missed.min(TICKS_AT_ONCE_MAX)).for_each(|_| self.replica.tick());
            self.timers.tick_due_ms += missed * TICK_MS;
            self.rest(missed.min(TICKS_AT_ONCE_MAX) as u32);
            self.keep_directory();
            if self.replica.leads() && (self.is_reconfiguring() || self.files.has_news()) {
                self.tend_members();
            }
        }
        self.report_touched(now_ms);
        if now_ms >= self.timers.care_due_ms {
            self.timers.care_due_ms = now_ms + CARE_MS;
            self.care();
        }
        self.watch();
    }

    /// Does the non-urgent work.
    fn care(&mut self) {
        self.act(Action::FetchOn);
        self.act(Action::LookForRoom);
        self.tell_file();
        if self.is_root() && self.is_forgotten() {
            self.announce();
        }
        if self.replica.leads() {
            self.tend_members();
        }
        // While there is no leader, servers that know of no member may need to be told.
        if self.replica.leads() || self.replica.role().leader.is_none() {
            self.tell_absent();
        }
    }

    /// Watches this disk and the leader, and stops when due.
    fn watch(&mut self) {
        if self.is_root() {
            self.watch_flush_latency(self.now.ms);
        }
        self.watch_leader();
        self.consider_stop(self.now.ms);
    }

    /// The server is told to stop. A leader first takes the votes that the files take: the others
    /// may need that to form a majority without it.
    pub(crate) fn begin_stop(&mut self) {
        if self.replica.leads() && self.files.has_news() {
            self.timers.finish_by_ms = Some(self.now.ms + FINISH_MS);
        } else {
            self.hand_over_to_stop();
        }
    }

    /// A leader transfers leadership, so that the others need not wait for its silence to notice
    /// that it has gone.
    fn hand_over_to_stop(&mut self) {
        let candidates = self.successors().into_iter();
        let successor = candidates.max_by_key(|follower| (follower.match_index, follower.member));
        let handed_over = successor
            .filter(|_| self.replica.leads())
            .is_some_and(|successor| self.replica.transfer_to(successor.member).is_ok());
        if handed_over {
            let patience_ms = i64::from(self.settings.election_ticks) * TICK_MS;
            self.timers.stop_by_ms = Some(self.now.ms + patience_ms);
        } else {
            self.stop = true;
        }
    }

    /// Stops once another member leads, or when none does in time.
    fn consider_stop(&mut self, now_ms: i64) {
        if let Some(by_ms) = self.timers.finish_by_ms
            && !(self.replica.leads() && self.files.has_news() && now_ms < by_ms)
        {
            self.timers.finish_by_ms = None;
            self.hand_over_to_stop();
        }
        let Some(by_ms) = self.timers.stop_by_ms else { return };
        let role = self.replica.role();
        let succeeded = role.leader.is_some_and(|leader| leader != self.replica.member());
        self.stop |= succeeded || now_ms >= by_ms;
    }

    /// Milliseconds until time has to pass again.
    pub fn patience_ms(&self, now: Now) -> Option<i64> {
        if self.is_single() {
            return self.leader_tasks.patience_ms(now, &self.shared);
        }
        let left_ms = self.timers.tick_due_ms - now.ms;
        let left_ms = if self.is_holding() { left_ms.min(1) } else { left_ms };
        Some(left_ms.max(0))
    }

    /// Whether this server is standalone by its configuration.
    pub fn is_single(&self) -> bool {
        self.settings.ensemble.is_none()
    }

    /// A server has closed its connection. If it led, its process has most likely ended, and there
    /// is no point in waiting out the silence: ticks are simulated until an election is due.
    /// Members that still hear the leader refuse to elect another.
    pub(crate) fn link_down(&mut self, server: ServerId) {
        let now_ms = self.now.ms;
        self.peers.lose(server, now_ms);
        self.files.lose(server);
        self.reported.lose(server);
        if self.leader() == Some(server) {
            self.count_silence();
        }
    }

    /// Simulates the ticks of a leader's silence until an election is due.
    pub(crate) fn count_silence(&mut self) {
        for _ in 0..self.settings.election_ticks {
            self.replica.tick();
        }
    }

    /// The connection to a server is open (again).
    pub(crate) fn link_up(&mut self, server: ServerId) {
        self.replica.reconnected(server);
        if self.replica.leads() {
            self.shared.observer.count(Counted::FollowerConnected, 1);
        }
        if self.is_root() {
            self.tell_servers(server);
        }
        if self.replica.role().leader.map(crate::server_of) == Some(server) {
            // The last report may have been lost with the connection.
            self.shared.sessions.told(i64::MIN);
            self.tell_file();
        }
    }
}

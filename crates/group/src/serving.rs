//! Whether clients are served, and how a leadership begins.

use std::sync::atomic::Ordering::Relaxed;

use consensus::entry::MemberId;
use state::command::{Command, INITIALIZE};

use crate::group::{Action, Group};

/// What decides whether clients are served.
#[derive(Default)]
pub(crate) struct Serving {
    /// Clients are served once this read ticket is reached; issued when a leader is first heard
    /// from.
    serve_from: Option<u64>,
    led_before: bool,
    /// Clients have been served since the start.
    has_served: bool,
    /// The leader and term last reported to the operator.
    told: (Option<MemberId>, u64),
}

impl Group {
    /// Clients are served once this member has seen everything committed before it first heard from
    /// a leader, and until it has had none for too long: the others may then be electing one that
    /// it cannot hear.
    pub(crate) fn watch_leader(&mut self) {
        let leader = self.replica.role().leader;
        // A member without a vote never stands for election, so its engine keeps the last leader
        // forever.
        let leaderless_ms = self.peers.leaderless_ms(leader, self.replica.member(), self.now.ms);
        let is_led = leaderless_ms <= self.settings.leaderless_ms_max();
        self.watch_milestones(is_led && leader.is_some());
        if self.log_is_full {
            // What is committed meanwhile does not arrive here.
        } else if is_led && leader.is_some() {
            let ticket = match self.serving.serve_from {
                Some(ticket) => ticket,
                None => {
                    self.tell_file();
                    *self.serving.serve_from.insert(self.replica.issue_ticket())
                }
            };
            let is_current = self.replica.leads() || self.replica.has_reached(ticket);
            // A removed member continues for the clients it serves, and does not begin again.
            if is_current && (self.serving.has_served || !self.reconfig.is_removed()) {
                self.serve();
            }
        } else if !is_led {
            self.stop_serving("there is no leader");
        }
    }

    pub(crate) fn serve(&mut self) {
        self.serving.has_served = true;
        if !self.shared.flags.serving.swap(true, Relaxed) {
            tracing::info!("clients are served");
            if self.shared.flags.read_only.swap(false, Relaxed) {
                self.act(Action::CloseConnections);
            }
        }
    }

    /// Closes all client connections; the clients find another server, or come back. No client is
    /// served before this member has seen everything committed until then.
    pub(crate) fn stop_serving(&mut self, why: &str) {
        self.serving.serve_from = None;
        let served = self.shared.flags.serving.swap(false, Relaxed);
        if served {
            tracing::warn!("{why}: clients are not served");
            self.act(Action::CloseConnections);
        }
        if self.settings.read_only_mode && !self.shared.flags.read_only.swap(true, Relaxed) {
            tracing::warn!("cut off from the others: clients that are content with reading are served");
        }
    }

    /// Everything in flight as the former member is over; its clients would wait for it in vain.
    pub(crate) fn stop_following(&mut self) {
        self.serving.serve_from = None;
        self.shared.flags.serving.store(false, Relaxed);
        self.act(Action::CloseConnections);
    }

    /// Reports the leader to the operator.
    fn tell_leader(&mut self) {
        let role = self.replica.role();
        if self.is_single()
            || std::mem::replace(&mut self.serving.told, (role.leader, role.term)).0 == role.leader
        {
            return;
        }
        match role.leader {
            Some(leader) if leader == self.replica.member() => {
                tracing::info!("this server leads (term {})", role.term);
            }
            Some(leader) => {
                tracing::info!("server.{} leads (term {})", crate::server_of(leader), role.term);
            }
            None => tracing::warn!("nobody leads (term {})", role.term),
        }
    }

    /// What a leader must do when it begins; returns whether it has just begun.
    pub(crate) fn begin_leading(&mut self) -> bool {
        self.tell_leader();
        let leads = self.replica.leads();
        if leads == self.serving.led_before {
            return false;
        }
        self.serving.led_before = leads;
        self.join_requests.clear();
        self.reported.begin(self.now.ms);
        self.reconfig.clear(self.now.ms);
        if !leads {
            // The sessions that this leadership was about to end may live on under the next one.
            self.shared.sessions.spare();
            return false;
        }
        // A new leader does not know when clients were heard from: each session has its whole
        // timeout from now on.
        for session in self.shared.machine.read().sessions() {
            self.shared.sessions.renew(session.id, session.timeout_ms, self.now.ms);
        }
        true
    }

    /// A new cluster gets the secret that its session passwords are derived from.
    pub(crate) fn initialize(&mut self, secret: &[u8]) {
        let command = Command { session: 0, cxid: 0, opcode: INITIALIZE, identities: &[], body: secret };
        self.replica.submit_own(self.now.wall_ms, &command);
    }
}

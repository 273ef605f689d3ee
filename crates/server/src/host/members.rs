//! The group of several: what other members say, time, and whether clients are served.

use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use consensus::engine::StepError;
use consensus::entry::MemberId;
use group::message::{Claimed, GroupMessage, PeerMessage, ServerMessage};

use super::{Driver, Fatal, GROUP};
use crate::config::ServerId;
use crate::mailbox::{Delivery, Mailbox, Note};
use crate::peers::{Sender, Transport};
use crate::shared::thread_of;

/// Length of an engine's tick.
pub(crate) const TICK_MS: i64 = 10;

/// Ticks made up for at most after the process could not run: it has heard nothing meanwhile, and must not take that for silence.
const TICKS_AT_ONCE_MAX: i64 = 3;

/// How often a member looks after what has time.
const CARE_MS: i64 = 400;

/// A leader that is to stop works for so long on what the files want.
const FINISH_MS: i64 = 1_000;

/// How often a server without data says so.
const ANNOUNCE_MS: i64 = 100;

/// LogRoom made in the log for an engine message besides its entries.
const MESSAGE_SLACK_BYTES: usize = 4 << 10;

/// What a member of a group of several keeps of the others.
#[derive(Default)]
pub(super) struct Company {
    tick_due_ms: i64,
    care_due_ms: i64,
    /// When there was a leader last, in ms of the server's clock.
    led_ms: i64,
    /// Clients are served once this moment of the replica is past; asked for when a leader is first heard of.
    serve_from: Option<u64>,
    led_before: bool,
    /// Clients have been served since the start.
    has_served: bool,
    /// The leader and term last told to the operator.
    told: (Option<MemberId>, u64),
    /// When to begin to stop, if the members are not as the files want them before.
    finish_by_ms: Option<i64>,
    /// When to stop, if a successor has not taken over before.
    stop_by_ms: Option<i64>,
    frame: Vec<u8>,
}

impl<T: Transport> Driver<T> {
    /// Takes in a frame of that sender.
    ///
    /// # Errors
    /// If this member has lost what others count on, and must not go on.
    pub(crate) fn receive(&mut self, sender: Sender, frame: Bytes) -> Result<(), Fatal> {
        let from = sender.server;
        let length = frame.len();
        let message = match PeerMessage::read(frame) {
            Ok(PeerMessage::Group(group, _)) if group != GROUP => {
                tracing::warn!("server.{from}: a message for group {group}, which is not here");
                self.transport.hang_up(sender);
                return Ok(());
            }
            Ok(message) => message,
            Err(e) => {
                tracing::warn!("server.{from}: {e}");
                self.transport.hang_up(sender);
                return Ok(());
            }
        };
        if !sender.is_proven && !self.may_come_from_anybody(&message) {
            if !message.is_of_joining() {
                tracing::warn!("somebody who does not prove to be a member speaks as server.{from}");
                self.transport.hang_up(sender);
            }
            return Ok(());
        }
        let is_known = self.reconfig.directory().contains_key(&from);
        match message {
            PeerMessage::Server(message) => self.on_server_message(from, is_known, message),
            // A group message is meant for a member that was here before.
            PeerMessage::Group(..) if !is_known || self.is_newcomer() => Ok(()),
            PeerMessage::Group(_, message) => self.on_group_message(from, message, length),
        }
    }

    fn on_server_message(
        &mut self,
        from: ServerId,
        is_known: bool,
        message: ServerMessage,
    ) -> Result<(), Fatal> {
        match message {
            ServerMessage::Newcomer { nonce, heard } => return self.on_newcomer(from, nonce, heard),
            ServerMessage::Forgotten { nonce, member } => self.on_forgotten(from, nonce, member),
            ServerMessage::Servers { version, text, .. } => self.on_servers(version, &text),
            // A server that is not known can say nothing else.
            _ if !is_known => {}
            ServerMessage::Founders { key, founders } => return self.on_founders(founders, key),
            ServerMessage::Welcome { nonce, member, cluster, key } => {
                return self.on_welcome(nonce, member, cluster, key);
            }
            _ if self.is_newcomer() => {}
            ServerMessage::Alive => self.on_alive(from),
            ServerMessage::File(roles) => {
                let now_ms = self.shared.clock.elapsed_ms();
                self.files.told(from, roles.into_iter().collect(), now_ms);
            }
            ServerMessage::FlushLatency { mean_us } => {
                self.flush_latency.reported(from, mean_us, self.shared.clock.elapsed_ms());
            }
        }
        Ok(())
    }

    fn on_group_message(
        &mut self,
        from: ServerId,
        message: GroupMessage,
        length: usize,
    ) -> Result<(), Fatal> {
        match message {
            GroupMessage::Engine { from: member, bytes } => return self.step(from, member, bytes, length),
            GroupMessage::Claim => self.on_claim(from),
            GroupMessage::Touched(touched) => self.on_touched(from, touched),
            GroupMessage::LeaderTime { term, ms } => self.on_leader_time(from, term, ms),
            GroupMessage::Fetch { snapshot, offset } => self.on_fetch(from, snapshot, offset),
            GroupMessage::Chunk { snapshot, length, offset, bytes } => {
                self.on_chunk(from, snapshot, length, offset, &bytes);
            }
            GroupMessage::Damaged(snapshot) => self.on_damaged(from, snapshot),
            GroupMessage::Missing(claimed) => self.on_missing(from, claimed),
            GroupMessage::Upheld(claimed) => return self.on_upheld(from, claimed),
            message => {
                let now_ms = self.shared.clock.wall_ms();
                self.replica.receive(now_ms, &self.shared.machine.read(), from, message);
            }
        }
        Ok(())
    }

    /// Whether a message is believed though its sender has not proven that it is a member. A server
    /// without data cannot tell; it believes a server that knows the name of its disk, which it has
    /// told to the servers at the addresses it knows.
    fn may_come_from_anybody(&self, message: &PeerMessage) -> bool {
        let PeerMessage::Server(message) = message else { return false };
        match message {
            ServerMessage::Newcomer { .. } => true,
            // They name the disk they are meant for, which is compared where they are taken in.
            ServerMessage::Founders { .. } | ServerMessage::Welcome { .. } => self.is_newcomer(),
            ServerMessage::Servers { nonce, .. } => self.is_newcomer() && *nonce == self.identity.nonce,
            _ => false,
        }
    }

    fn step(&mut self, from: ServerId, member: MemberId, bytes: Bytes, length: usize) -> Result<(), Fatal> {
        if group::server_of(member) != from {
            tracing::warn!("server.{from} speaks as member {}", member.0);
            return Ok(());
        }
        self.join_requests.heard(member, self.shared.clock.elapsed_ms());
        // An engine cannot be told to leave entries out, so what the log has no room for does not reach it: for the others the message
        // is lost, and will come again.
        if !self.make_room(length + MESSAGE_SLACK_BYTES)? {
            return Ok(());
        }
        match self.replica.step(member, bytes) {
            Ok(()) => {
                if self.replica.role().leader == Some(member) {
                    self.bootstrap.spoken_to_ms = self.shared.clock.elapsed_ms();
                }
                Ok(())
            }
            Err(StepError::LostLog { index, term }) => {
                self.suspect_loss(Claimed { leader: member, term, index });
                Ok(())
            }
            Err(e) => {
                tracing::warn!("server.{from}: {e}");
                if let StepError::Malformed(_) | StepError::Version(_) | StepError::OtherEngine = e {
                    self.transport.hang_up(Sender { server: from, is_proven: true });
                }
                Ok(())
            }
        }
    }

    /// A server's disk stands still, but it lives.
    fn on_alive(&mut self, from: ServerId) {
        if let Some(member) = self.join_requests.last_heard(from) {
            self.join_requests.heard(member, self.shared.clock.elapsed_ms());
            self.replica.heard_from(member);
        }
    }

    /// The way to a server is open (again).
    pub(crate) fn reached(&mut self, server: ServerId) {
        self.replica.reconnected(server);
        if self.replica.leads() {
            self.shared.counts.quorum.diffs.fetch_add(1, Relaxed);
        }
        self.tell_servers(server);
        if self.replica.role().leader.map(group::server_of) == Some(server) {
            // What it was told last may have been lost with the connection.
            self.shared.sessions.told(i64::MIN);
            self.tell_file();
        }
    }

    /// A server has closed its connection. If it led, its process has most likely ended, and there is no point in waiting out the
    /// silence: ticks are made up until an election is due. Members that still hear the leader refuse to elect another.
    pub(crate) fn lost_sight(&mut self, server: ServerId) {
        let now_ms = self.shared.clock.elapsed_ms();
        self.status.lose(server, now_ms);
        self.join_requests.lose(server, now_ms);
        self.files.lose(server);
        self.reported.lose(server);
        let role = self.replica.role();
        if role.leader.is_some_and(|leader| group::server_of(leader) == server) {
            for _ in 0..self.election_ticks {
                self.replica.tick();
            }
        }
    }

    /// Lets the time go by for everybody concerned.
    pub(super) fn pass_time(&mut self) -> Result<(), Fatal> {
        if self.is_single() {
            self.serve();
            self.forget_learners();
            if self.replica.waiting_reconfigs().next().is_some() {
                self.tend_members();
            }
            return Ok(());
        }
        let now_ms = self.shared.clock.elapsed_ms();
        if self.is_newcomer() {
            if now_ms >= self.company.care_due_ms {
                self.company.care_due_ms = now_ms + ANNOUNCE_MS;
                self.keep_directory();
                self.announce();
            }
            self.company.tick_due_ms = now_ms + TICK_MS;
            return Ok(());
        }
        let missed = (now_ms - self.company.tick_due_ms).div_euclid(TICK_MS) + 1;
        if missed > 0 {
            (0..missed.min(TICKS_AT_ONCE_MAX)).for_each(|_| self.replica.tick());
            self.company.tick_due_ms += missed * TICK_MS;
            self.keep_directory();
            if self.replica.leads() && (self.is_reconfiguring() || self.files.has_news()) {
                self.tend_members();
            }
        }
        self.report_touched(now_ms);
        if now_ms >= self.company.care_due_ms {
            self.company.care_due_ms = now_ms + CARE_MS;
            self.fetch_on();
            self.tell_file();
            self.look_for_room()?;
            if self.is_forgotten() {
                self.announce();
            }
            if self.replica.leads() {
                self.tend_members();
            }
            // Without a leader it may be for those who know nobody that there is none.
            if self.replica.leads() || self.replica.role().leader.is_none() {
                self.tell_absent();
            }
        }
        self.mind_pace(now_ms);
        self.watch_leader(now_ms);
        self.consider_stop(now_ms);
        Ok(())
    }

    /// The server is to stop. A leader first takes the votes that the files take: the others may
    /// need that to do without it.
    pub(super) fn begin_stop(&mut self) {
        if self.replica.leads() && self.files.has_news() {
            self.company.finish_by_ms = Some(self.shared.clock.elapsed_ms() + FINISH_MS);
        } else {
            self.hand_over_to_stop();
        }
    }

    /// A leader hands over, so that the others need no silence to notice that it has gone.
    fn hand_over_to_stop(&mut self) {
        let candidates = self.successors().into_iter();
        let successor = candidates.max_by_key(|follower| (follower.match_index, follower.member));
        let handed_over = successor
            .filter(|_| self.replica.leads())
            .is_some_and(|successor| self.replica.transfer_to(successor.member).is_ok());
        if handed_over {
            let patience_ms = i64::from(self.election_ticks) * TICK_MS;
            self.company.stop_by_ms = Some(self.shared.clock.elapsed_ms() + patience_ms);
        } else {
            self.stop = true;
        }
    }

    /// Stops once somebody else leads, or nobody does in time.
    fn consider_stop(&mut self, now_ms: i64) {
        if let Some(by_ms) = self.company.finish_by_ms
            && !(self.replica.leads() && self.files.has_news() && now_ms < by_ms)
        {
            self.company.finish_by_ms = None;
            self.hand_over_to_stop();
        }
        let Some(by_ms) = self.company.stop_by_ms else { return };
        let role = self.replica.role();
        let succeeded = role.leader.is_some_and(|leader| leader != self.replica.member());
        self.stop |= succeeded || now_ms >= by_ms;
    }

    /// Milliseconds until time has to pass again.
    pub(crate) fn patience_ms(&self) -> Option<i64> {
        if self.is_single() {
            return self.leader_tasks.patience_ms(&self.shared);
        }
        let left_ms = self.company.tick_due_ms - self.shared.clock.elapsed_ms();
        let left_ms = if self.is_holding() { left_ms.min(1) } else { left_ms };
        Some(left_ms.max(0))
    }

    /// Whether this server is alone by its configuration.
    pub(super) fn is_single(&self) -> bool {
        self.shared.config.ensemble.is_none()
    }

    /// Clients are served from when this member has seen everything agreed before it heard of its first leader, until it has had none
    /// for too long: then others may be electing one that it cannot hear of.
    fn watch_leader(&mut self, now_ms: i64) {
        let leader = self.replica.role().leader;
        // A member without a vote never stands for election, so its engine takes the last leader for the leader for ever.
        let heard_ms = leader.and_then(|leader| match leader == self.replica.member() {
            true => Some(now_ms),
            false => self.join_requests.heard_ms(leader),
        });
        self.company.led_ms = self.company.led_ms.max(heard_ms.unwrap_or(0));
        let is_led = now_ms - self.company.led_ms <= self.leaderless_ms_max;
        self.watch_milestones(is_led && leader.is_some());
        if self.log_room.is_wanting() {
            // What is agreed meanwhile does not get here.
        } else if is_led && leader.is_some() {
            let moment = match self.company.serve_from {
                Some(moment) => moment,
                None => {
                    self.tell_file();
                    *self.company.serve_from.insert(self.replica.ask_moment())
                }
            };
            let is_current = self.replica.leads() || self.replica.has_reached(moment);
            // One that was removed goes on for those it serves, and does not begin again.
            if is_current && (self.company.has_served || !self.reconfig.is_removed()) {
                self.serve();
            }
        } else if !is_led {
            self.stop_serving("there is no leader");
        }
    }

    /// Says that this thread goes on. If it has stood still for so long that clients were sent away, much may have happened meanwhile.
    pub(super) fn beat(&mut self) {
        self.shared.cycles.fetch_add(1, Relaxed);
        if self.shared.stalled.load(Relaxed) {
            self.stop_serving("the disk stood still");
            self.shared.stalled.store(false, Relaxed);
        }
    }

    fn serve(&mut self) {
        self.company.has_served = true;
        if !self.shared.serving.swap(true, Relaxed) {
            tracing::info!("clients are served");
            if self.shared.read_only.swap(false, Relaxed) {
                self.drop_connections();
            }
        }
    }

    /// Closes all connections of clients; they find another server, or come back. Nobody is served before this member has seen everything
    /// agreed until then.
    pub(super) fn stop_serving(&mut self, why: &str) {
        self.company.serve_from = None;
        let served = self.shared.serving.swap(false, Relaxed);
        if served {
            tracing::warn!("{why}: clients are not served");
            self.drop_connections();
        }
        if self.shared.config.requests.read_only_mode && !self.shared.read_only.swap(true, Relaxed) {
            tracing::warn!("cut off from the others: clients that are content with reading are served");
        }
    }

    /// What was under way as the member it has been is over, and its clients can wait for it in vain.
    pub(super) fn leave_company(&mut self) {
        self.company.serve_from = None;
        self.shared.serving.store(false, Relaxed);
        self.drop_connections();
    }

    /// Closes all connections of clients.
    pub(super) fn drop_connections(&mut self) {
        self.post_closing();
        self.wake_connection_threads();
    }

    /// Tells all connections of clients to close. The machine may be held, so their threads are not
    /// woken.
    pub(super) fn post_closing(&mut self) {
        let mut deliveries: Vec<Delivery> =
            self.shared.mailboxes.iter().map(|_| Delivery::default()).collect();
        let tokens = self.shared.connections.tokens();
        self.replica.lose_all();
        for token in tokens {
            deliveries[thread_of(token)].note(token, Note::Drop);
        }
        for (delivery, mailbox) in deliveries.iter_mut().zip(&self.shared.mailboxes) {
            if !delivery.is_empty() {
                mailbox.post(delivery);
            }
        }
    }

    /// Wakes the connection threads that have something to take.
    pub(super) fn wake_connection_threads(&self) {
        self.shared.mailboxes.iter().filter(|mailbox| mailbox.is_full()).for_each(Mailbox::wake);
    }

    /// Tells the operator who leads.
    fn tell_leader(&mut self) {
        let role = self.replica.role();
        if self.is_single()
            || std::mem::replace(&mut self.company.told, (role.leader, role.term)).0 == role.leader
        {
            return;
        }
        match role.leader {
            Some(leader) if leader == self.replica.member() => {
                tracing::info!("this server leads (term {})", role.term);
            }
            Some(leader) => {
                tracing::info!("server.{} leads (term {})", group::server_of(leader), role.term);
            }
            None => tracing::warn!("nobody leads (term {})", role.term),
        }
    }

    /// What a leader has to do when it begins.
    pub(super) fn begin_leading(&mut self) -> Result<(), Fatal> {
        self.tell_leader();
        let leads = self.replica.leads();
        if leads == self.company.led_before {
            return Ok(());
        }
        self.company.led_before = leads;
        self.join_requests.clear();
        self.reported.begin(self.shared.clock.elapsed_ms());
        self.reconfig.clear(self.shared.clock.elapsed_ms());
        if !leads {
            // The sessions this leadership was about to end may live on under the next one.
            self.shared.sessions.spare();
            return Ok(());
        }
        // Who was heard of by whom is not known: everybody has his whole timeout from now on.
        let now_ms = self.shared.clock.elapsed_ms();
        for session in self.shared.machine.read().sessions() {
            self.shared.sessions.renew(session.id, session.timeout_ms, now_ms);
        }
        self.initialize()?;
        self.establish_members()
    }

    /// Sends what the replica has to say to others.
    pub(super) fn send_outgoing(&mut self) {
        let messages: Vec<_> = self.replica.take_outgoing().collect();
        for (to, message) in messages {
            self.send_group(to, message);
        }
    }

    /// Sends one message of the group; it may be lost.
    pub(super) fn send_group(&mut self, to: ServerId, message: GroupMessage) {
        self.send(to, PeerMessage::Group(GROUP, message));
    }

    /// Sends one message; it may be lost.
    pub(super) fn send(&mut self, to: ServerId, message: impl Into<PeerMessage>) {
        let message = message.into();
        self.company.frame.clear();
        message.put(&mut self.company.frame);
        if message.is_of_joining() {
            self.transport.send_unproven(to, &self.company.frame);
        } else {
            self.transport.send(to, &self.company.frame);
        }
    }
}

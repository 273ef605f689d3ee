//! What other servers say.

use crate::message::{Claimed, GroupMessage, PeerMessage, ServerMessage};
use bytes::Bytes;
use consensus::engine::StepError;
use consensus::entry::MemberId;

use crate::group::Group;
use state::members::ServerId;

impl Group {
    /// Whether a message is taken in: of one that has not proven that it is a member only what may
    /// come from anybody.
    pub fn admits(&self, is_proven: bool, message: &PeerMessage) -> bool {
        is_proven || self.may_come_from_anybody(message)
    }

    /// Whether messages of the group are heard from that server. They are meant for a member that
    /// was here before.
    pub fn hears(&self, from: ServerId) -> bool {
        self.reconfig.directory().contains_key(&from) && !self.is_newcomer()
    }

    /// Another server says something about itself. `is_vouched_for`: the server at its address has
    /// proven that it is a member, or that its disk has the name that it tells.
    pub(crate) fn on_server_message(&mut self, from: ServerId, is_vouched_for: bool, message: ServerMessage) {
        let is_known = self.reconfig.directory().contains_key(&from);
        match message {
            ServerMessage::Newcomer { nonce, heard } => {
                self.on_newcomer(from, nonce, heard, is_vouched_for);
            }
            ServerMessage::Forgotten { nonce, member } => self.on_forgotten(from, nonce, member),
            ServerMessage::Servers { version, text, .. } => self.on_servers(version, &text),
            // A server that is not known can say nothing else.
            _ if !is_known => {}
            ServerMessage::Founders { key, founders } => self.on_founders(founders, key),
            ServerMessage::Welcome { nonce, member, cluster, key } => {
                self.on_welcome(nonce, member, cluster, key);
            }
            _ if self.is_newcomer() => {}
            ServerMessage::Alive => self.on_alive(from),
            ServerMessage::File(roles) => self.files.told(from, roles.into_iter().collect(), self.now.ms),
            ServerMessage::FlushLatency { mean_us } => {
                self.flush_latency.reported(from, mean_us, self.now.ms);
            }
        }
    }

    /// Another member says something, other than what concerns its engine or snapshots.
    pub(crate) fn on_group_message(&mut self, from: ServerId, message: GroupMessage) {
        match message {
            GroupMessage::Claim => self.on_claim(from),
            GroupMessage::Touched(touched) => self.on_touched(from, touched),
            GroupMessage::LeaderTime { term, ms } => self.on_leader_time(from, term, ms),
            GroupMessage::Missing(claimed) => self.on_missing(from, claimed),
            GroupMessage::Upheld(claimed) => self.on_upheld(from, claimed),
            message => {
                let machine = self.shared.machine.read();
                self.replica.receive(self.now.wall_ms, &machine, from, message);
            }
        }
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

    /// Whether the engine hears of a message that this server sends as that member.
    pub(crate) fn speaks_as(&mut self, from: ServerId, member: MemberId) -> bool {
        if crate::server_of(member) != from {
            tracing::warn!("server.{from} speaks as member {}", member.0);
            return false;
        }
        self.join_requests.heard(member, self.now.ms);
        true
    }

    /// Takes in what the engine of another member sent. The log has room for it.
    pub(crate) fn step(&mut self, from: ServerId, member: MemberId, bytes: Bytes) {
        match self.replica.step(member, bytes) {
            Ok(()) => {
                if self.replica.role().leader == Some(member) {
                    self.bootstrap.spoken_to_ms = self.now.ms;
                }
            }
            Err(StepError::LostLog { index, term }) => {
                self.suspect_loss(Claimed { leader: member, term, index });
            }
            Err(e) => {
                tracing::warn!("server.{from}: {e}");
                if let StepError::Malformed(_) | StepError::Version(_) | StepError::OtherEngine = e {
                    self.hang_up(from);
                }
            }
        }
    }

    /// A server's disk stands still, but it lives.
    fn on_alive(&mut self, from: ServerId) {
        if let Some(member) = self.join_requests.last_heard(from) {
            self.join_requests.heard(member, self.now.ms);
            self.replica.heard_from(member);
        }
    }
}

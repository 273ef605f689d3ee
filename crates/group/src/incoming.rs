//! Messages of other servers.

use crate::message::{Claimed, GroupMessage, PeerMessage, ServerMessage};
use bytes::Bytes;
use consensus::engine::StepError;
use consensus::entry::MemberId;

use crate::group::Group;
use state::members::ServerId;

impl Group {
    /// Whether a message is accepted: from a server that has not proven its membership, only what
    /// any server may send.
    pub fn admits(&self, is_proven: bool, message: &PeerMessage) -> bool {
        is_proven || self.may_come_from_anybody(message)
    }

    /// Whether the group's messages from that server are processed. Those to a newcomer are meant
    /// for a member that was here before.
    pub fn hears(&self, from: ServerId) -> bool {
        self.reconfig.directory().contains_key(&from) && !self.is_newcomer()
    }

    /// Another server sent a message about itself. `is_vouched_for`: the server at its address has
    /// proven that it is a member, or that its disk has the nonce it states.
    pub(crate) fn on_server_message(&mut self, from: ServerId, is_vouched_for: bool, message: ServerMessage) {
        let is_known = self.reconfig.directory().contains_key(&from);
        match message {
            ServerMessage::Newcomer { nonce, heard } => {
                self.on_newcomer(from, nonce, heard, is_vouched_for);
            }
            ServerMessage::Forgotten { nonce, member } => self.on_forgotten(from, nonce, member),
            ServerMessage::Servers { version, text, .. } => self.on_servers(version, &text),
            // An unknown server can say nothing else.
            _ if !is_known => {}
            ServerMessage::Founders { key, founders } => self.on_founders(founders, key),
            ServerMessage::Welcome { nonce, member, cluster, key } => {
                self.on_welcome(nonce, member, cluster, key);
            }
            _ if self.is_newcomer() => {}
            ServerMessage::Alive => self.on_alive(from),
            // The host tells each group its part.
            ServerMessage::QuietGroups(_) => {}
            ServerMessage::File(roles) => self.files.told(from, roles.into_iter().collect(), self.now.ms),
            ServerMessage::FlushLatency { mean_us } => {
                self.flush_latency.reported(from, mean_us, self.now.ms);
            }
        }
    }

    /// Another member sent a message that concerns neither its engine nor snapshots.
    pub(crate) fn on_group_message(&mut self, from: ServerId, message: GroupMessage) {
        match message {
            GroupMessage::Claim => self.on_claim(from),
            // It woke the group already.
            GroupMessage::Wake => {}
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

    /// Whether a message is believed though its sender has not proven its membership. A server
    /// without data cannot check; it believes a server that knows the nonce of its disk, which it
    /// has told to the servers at the addresses it knows.
    fn may_come_from_anybody(&self, message: &PeerMessage) -> bool {
        let PeerMessage::Server(message) = message else { return false };
        match message {
            ServerMessage::Newcomer { .. } => true,
            // They state the nonce of the disk they are meant for, which is compared where they are
            // handled.
            ServerMessage::Founders { .. } | ServerMessage::Welcome { .. } => self.is_newcomer(),
            ServerMessage::Servers { nonce, .. } => self.is_newcomer() && *nonce == self.identity.nonce,
            _ => false,
        }
    }

    /// A member was heard from.
    pub(crate) fn hear(&mut self, member: MemberId) {
        self.peers.heard(member, self.now.ms);
        self.join_requests.arrived(member);
    }

    /// Whether the engine receives a message that this server sends as that member.
    pub(crate) fn speaks_as(&mut self, from: ServerId, member: MemberId) -> bool {
        if crate::server_of(member) != from {
            tracing::warn!("server.{from} speaks as member {}", member.0);
            return false;
        }
        self.hear(member);
        true
    }

    /// Passes the engine a message of another member's engine. The log has room for it.
    pub(crate) fn step(&mut self, from: ServerId, member: MemberId, bytes: Bytes) {
        match self.replica.step(member, bytes) {
            Ok(()) => {
                if self.replica.role().leader == Some(member) {
                    self.peers.addressed(self.now.ms);
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

    /// A server's disk stalls, but the server is alive.
    pub(crate) fn on_alive(&mut self, from: ServerId) {
        if let Some(member) = self.peers.last_of(from) {
            self.hear(member);
            self.replica.heard_from(member);
        }
    }
}

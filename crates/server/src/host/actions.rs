//! Carrying out the actions of the group.

use group::event::Event;
use group::group::{Action, Begin};
use group::message::PeerMessage;

use super::{Fatal, Host, identity, recovery};
use crate::config::ServerId;
use crate::peers::{Sender, Transport};

impl<T: Transport> Host<T> {
    /// Carries out the group's actions until there are no more.
    ///
    /// # Errors
    /// The disk failed, the system has no random bytes, or this member has lost entries that others
    /// count on.
    pub(super) fn act(&mut self) -> Result<(), Fatal> {
        loop {
            let actions = self.group.take_actions();
            if actions.is_empty() {
                return Ok(());
            }
            for action in actions {
                match action {
                    Action::Found(founders) => {
                        let key = identity::new_key(self.snapshots.disk().as_ref());
                        self.tell(Event::Founding(founders, key));
                    }
                    Action::Begin(begin) => self.begin(*begin)?,
                    Action::EndForLostLog => return Err(Fatal::LostLog),
                    Action::DrawSecret => {
                        let secret = self.snapshots.files().secret()?;
                        self.tell(Event::Secret(&secret));
                    }
                    Action::Propose => self.propose()?,
                    Action::LookForRoom => self.look_for_room()?,
                    Action::Send(to, message) => self.send(to, &message),
                    Action::HangUp(server) => self.transport.hang_up(Sender { server, is_proven: true }),
                    Action::SetPeers(peers) => self.transport.set_peers(&peers),
                    Action::CloseConnections => self.close_connections(),
                    Action::AskToLook => self.shared.ask_to_look(),
                    Action::FetchOn => self.fetch_on(),
                    Action::Publish(status) => *self.shared.member_status.lock() = Some(*status),
                }
            }
        }
    }

    fn send(&mut self, to: ServerId, message: &PeerMessage) {
        self.frame.clear();
        message.put(&mut self.frame);
        if message.is_of_joining() {
            self.transport.send_unproven(to, &self.frame);
        } else {
            self.transport.send(to, &self.frame);
        }
    }

    /// Becomes a member. The new identity is durable before this server sends anything as that
    /// member.
    pub(super) fn begin(&mut self, begin: Begin) -> Result<(), Fatal> {
        let Begin { identity: member, start, rejoins } = begin;
        let identity = self.identity.with_member(&member);
        let disk = self.snapshots.disk();
        identity
            .save(disk.as_ref(), &self.shared.config.storage.data_dir)
            .map_err(|e| Fatal::Identity(Box::new(e)))?;
        let seed = disk.entropy();
        if rejoins {
            self.snapshots.begin_anew();
            (self.fetching, self.fetched) = (None, None);
        }
        let new = recovery::replica(&self.shared.config, &identity, self.shared.features, start, seed);
        if let Some(key) = &identity.key {
            self.transport.set_cluster(identity.cluster, key);
        }
        self.identity = identity;
        let old = self.group.begun(member, new);
        self.shared.inbox.answered(old.unanswered());
        Ok(())
    }
}

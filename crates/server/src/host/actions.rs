//! Carrying out the actions of the group.

use std::sync::Arc;

use consensus::membership::Membership;
use group::event::Event;
use group::group::{Action, Begin};
use group::message::PeerMessage;

use super::{Fatal, Host, identity, recovery};
use crate::config::ServerId;
use crate::transport::{Sender, Transport};

impl<T: Transport> Host<T> {
    /// Carries out the group's actions until there are no more.
    ///
    /// # Errors
    /// The disk failed, the system has no random bytes, or this member has lost entries that others
    /// count on.
    pub(super) fn act(&mut self) -> Result<(), Fatal> {
        let mut n = 0;
        while let Some(at) = self.awake.get(n).copied() {
            let actions = self.slots[at].group.take_actions();
            if actions.is_empty() {
                n += 1;
                continue;
            }
            for action in actions {
                self.carry_out(at, action)?;
            }
            // One group's action can give another one something to do.
            n = 0;
        }
        Ok(())
    }

    fn carry_out(&mut self, at: usize, action: Action) -> Result<(), Fatal> {
        match action {
            Action::Found(founders) => {
                let key = identity::new_key(self.slots[0].snapshots.disk().as_ref());
                self.tell(at, Event::Founding(founders, key));
            }
            Action::Begin(begin) => self.begin(*begin)?,
            Action::EndForLostLog => return Err(Fatal::LostLog),
            Action::DrawSecret => {
                let secret = self.slots[at].snapshots.files().secret()?;
                self.tell(at, Event::Secret(&secret));
            }
            Action::Propose => self.propose(at)?,
            Action::LookForRoom => self.look_for_room()?,
            Action::Send(to, message) => self.send(to, &message),
            Action::HangUp(server) => self.transport.hang_up(Sender { server, is_proven: true }),
            Action::SetPeers(peers) => self.transport.set_peers(&peers),
            Action::SetMembers(membership) => self.set_members(&membership),
            Action::CloseConnections => self.close_connections(at),
            Action::AskToLook => self.shared.ask_to_look(),
            Action::FetchOn => self.slots[at].fetch_on(),
            Action::Publish(status) => *self.slots[at].namespace().member_status.lock() = Some(*status),
        }
        Ok(())
    }

    /// The other groups follow the root group's members.
    fn set_members(&mut self, membership: &Membership) {
        let servers = self.root().directory().clone();
        for at in 1..self.slots.len() {
            self.tell(at, Event::RootMembers { servers: &servers, membership });
        }
    }

    pub(super) fn send(&mut self, to: ServerId, message: &PeerMessage) {
        self.frame.clear();
        let end = message.put_head(&mut self.frame);
        if message.is_of_joining() {
            self.transport.send_unproven(to, &self.frame);
        } else if end.is_empty() {
            self.transport.send(to, &self.frame);
        } else {
            let parts: Vec<&[u8]> =
                std::iter::once(self.frame.as_slice()).chain(end.iter().map(|part| &part[..])).collect();
            self.transport.send_parts(to, &parts);
        }
    }

    /// Becomes a member. The new identity is durable before this server sends anything as that
    /// member.
    pub(super) fn begin(&mut self, begin: Begin) -> Result<(), Fatal> {
        // The other groups begin with the root group, or none does: the leader resends its welcome.
        let mut others = Vec::new();
        for slot in &mut self.slots[1..] {
            let Some(start) = slot.group.start_with_root(&begin) else { return Ok(()) };
            others.push(start);
        }
        let Begin { identity: member, start, rejoins } = begin;
        let identity = self.identity.with_member(&member);
        let disk = Arc::clone(self.slots[0].snapshots.disk());
        identity
            .save(disk.as_ref(), &self.shared.config.storage.data_dir)
            .map_err(|e| Fatal::Identity(Box::new(e)))?;
        if let Some(key) = &identity.key {
            self.transport.set_cluster(identity.cluster, key);
        }
        self.identity = identity;
        for (at, start) in std::iter::once(start).chain(others).enumerate() {
            let new = recovery::replica(
                &self.shared.config,
                &self.identity,
                self.slots[at].group.id(),
                self.shared.features,
                start,
                disk.entropy(),
            );
            self.wake(at);
            let slot = &mut self.slots[at];
            if rejoins {
                slot.snapshots.begin_anew();
                (slot.fetching, slot.fetched) = (None, None);
            }
            let old = slot.group.begun(member.clone(), new);
            self.shared.inbox.answered(old.unanswered());
        }
        Ok(())
    }
}

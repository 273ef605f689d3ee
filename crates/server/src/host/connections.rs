//! Closing the connections of clients.

use super::Host;
use super::slot::Slot;
use crate::mailbox::{Delivery, Mailbox, Note};
use crate::token::thread_of;
use crate::transport::Transport;

impl<T: Transport> Host<T> {
    /// Closes all connections of a group's clients; the clients connect to another server, or again
    /// to this one.
    pub(super) fn close_connections(&mut self, at: usize) {
        self.slots[at].post_closing();
        self.wake_connection_threads();
    }

    /// Wakes the connection threads whose mailboxes have notes.
    pub(super) fn wake_connection_threads(&self) {
        self.shared.mailboxes.iter().filter(|mailbox| mailbox.is_full()).for_each(Mailbox::wake);
    }
}

impl Slot {
    /// Posts a note to all connections of the group's clients that closes them. The machine may be
    /// held, so the connection threads are not woken.
    pub(super) fn post_closing(&mut self) {
        let mut deliveries: Vec<Delivery> =
            self.shared.mailboxes.iter().map(|_| Delivery::default()).collect();
        let tokens = self.shared.connections.tokens_of(self.group.id());
        self.group.replica.lose_all();
        for token in tokens {
            deliveries[thread_of(token)].note(token, Note::Drop);
        }
        for (delivery, mailbox) in deliveries.iter_mut().zip(&self.shared.mailboxes) {
            if !delivery.is_empty() {
                mailbox.post(delivery);
            }
        }
    }
}

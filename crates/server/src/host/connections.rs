//! Closing the connections of clients.

use super::Host;
use crate::mailbox::{Delivery, Mailbox, Note};
use crate::peers::Transport;
use crate::shared::thread_of;

impl<T: Transport> Host<T> {
    /// Closes all client connections; the clients connect to another server, or again to this one.
    pub(super) fn close_connections(&mut self) {
        self.post_closing();
        self.wake_connection_threads();
    }

    /// Posts a note to all client connections that closes them. The machine may be held, so the
    /// connection threads are not woken.
    pub(super) fn post_closing(&mut self) {
        let mut deliveries: Vec<Delivery> =
            self.shared.mailboxes.iter().map(|_| Delivery::default()).collect();
        let tokens = self.shared.connections.tokens();
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

    /// Wakes the connection threads whose mailboxes have notes.
    pub(super) fn wake_connection_threads(&self) {
        self.shared.mailboxes.iter().filter(|mailbox| mailbox.is_full()).for_each(Mailbox::wake);
    }
}

//! What the program that embeds the server says to it from outside of any request.

use group::{RequestId, Token};
use parking_lot::RwLockReadGuard;
use state::change::{Change, ChangeKind};
use state::machine::Machine;
use state::watch::WatcherId;

use crate::handler::Answer;
use crate::mailbox::{Delivery, Mailbox, Note};
use crate::shared::Shared;
use crate::token::thread_of;

impl Shared {
    /// Gives the program's answer to a question to the connection thread that asked.
    pub fn answer(&self, id: RequestId, answer: Answer) {
        if let Some(handler) = &self.handler {
            handler.answer(&self.mailboxes, id, answer);
        }
    }

    /// Fires the watches for a change of data outside the built-in tree, of any client that set
    /// them. `path` must be valid.
    pub fn announce(&self, kind: ChangeKind, path: &str) {
        let namespace = self.root();
        let mut deliveries: Vec<Delivery> = self.mailboxes.iter().map(|_| Delivery::default()).collect();
        let machine: RwLockReadGuard<'_, Machine> = namespace.machine.read();
        let mut watches = namespace.watches.lock();
        if let Some(handler) = &self.handler {
            handler.outside_changes.lock().record(kind, path);
        }
        let mut open_acl = Vec::new();
        wire::acl::encode_list(&wire::acl::open_acl(), &mut open_acl);
        let zxid = machine.last_zxid();
        let change = Change { kind, path, zxid, acl: &open_acl, parent_acl: &open_acl, grants: None };
        watches.change(&change, &mut |watcher: WatcherId, event| {
            let token = Token(watcher.0);
            let note = |len| Note::Event { len };
            deliveries[thread_of(token)].frame(token, note, |out| out.extend_from_slice(&event.frame));
        });
        drop(watches);
        for (delivery, mailbox) in deliveries.iter_mut().zip(&self.mailboxes) {
            if !delivery.is_empty() {
                mailbox.post(delivery);
            }
        }
        drop(machine);
        self.mailboxes.iter().filter(|mailbox| mailbox.is_full()).for_each(Mailbox::wake);
    }
}

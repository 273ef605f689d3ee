//! Links on which several threads send.

use std::sync::Arc;

use group::message::PeerKey;
use parking_lot::{Mutex, MutexGuard};

use super::Links;
use crate::config::{ServerId, Servers};
use crate::transport::{Sender, Transport};

/// All links of this server, for any thread that sends frames. Each frame is queued whole, so
/// frames of several threads do not mix.
#[derive(Clone, Debug)]
pub struct SharedLinks(Arc<Mutex<Links>>);

impl SharedLinks {
    /// Shares the links between threads.
    pub fn new(links: Links) -> SharedLinks {
        SharedLinks(Arc::new(Mutex::new(links)))
    }

    /// Locks the links for this thread.
    pub fn lock(&self) -> MutexGuard<'_, Links> {
        self.0.lock()
    }
}

impl Transport for SharedLinks {
    fn send(&mut self, to: ServerId, frame: &[u8]) {
        self.lock().send(to, frame);
    }

    fn flush(&mut self) {
        self.lock().flush();
    }

    fn send_unproven(&mut self, to: ServerId, frame: &[u8]) {
        self.lock().send_unproven(to, frame);
    }

    fn set_cluster(&mut self, cluster: u64, key: &PeerKey) {
        self.lock().set_cluster(cluster, key);
    }

    fn vouches(&self, server: ServerId, disk: u64) -> bool {
        self.lock().vouches(server, disk)
    }

    fn hang_up(&mut self, sender: Sender) {
        self.lock().hang_up(sender);
    }

    fn set_peers(&mut self, peers: &Servers) {
        Transport::set_peers(&mut *self.lock(), peers);
    }

    fn send_parts(&mut self, to: ServerId, parts: &[&[u8]]) {
        self.lock().send_parts(to, parts);
    }
}

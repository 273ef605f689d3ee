//! New certificates for a running server: at a signal, or when the files change
//! (`client.certReload`). The AdminServer has a command for it too.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::spawn;
use crate::shared::Shared;

/// How often the files are looked at. They must have stayed the same for this long before they are
/// read, so that none is read while it is being written.
const INTERVAL: Duration = Duration::from_secs(1);

/// The certificates of a running server.
pub struct Certificates(pub(super) Arc<Shared>);

impl Certificates {
    /// Reads key store, trust store and revocation lists again, for new connections, and logs the
    /// outcome. If a file cannot be used, the old ones stay in use. Connections that are open stay
    /// open.
    pub fn reload(&self) {
        if let Some(acceptor) = &self.0.tls {
            // The outcome is in the log.
            let _ = acceptor.reload();
        }
    }
}

/// Starts the thread that looks for changed files. It ends with the server.
pub(super) fn watch_certificates(shared: &Arc<Shared>) -> io::Result<JoinHandle<io::Result<()>>> {
    let certificates = Certificates(Arc::clone(shared));
    spawn("certificates", move || {
        let shared = &certificates.0;
        while !shared.is_stopping() {
            if shared.tls.as_ref().is_some_and(|acceptor| acceptor.has_news()) {
                certificates.reload();
            }
            std::thread::park_timeout(INTERVAL);
        }
        Ok(())
    })
}

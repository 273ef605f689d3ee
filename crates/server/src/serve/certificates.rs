//! New certificates for a running server: at a signal, or when the files change
//! (`client.certReload`, `sslQuorumReloadCertFiles`; for Prometheus always). The AdminServer has a
//! command for it too.

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
        // The outcome is in the log.
        for acceptor in self.0.acceptors() {
            let _ = acceptor.reload();
        }
        if let Some(tls) = &self.0.peer_tls {
            let _ = tls.reload();
        }
    }
}

/// Starts the thread that looks for changed files; `None` if nobody wants that. It ends with the
/// server.
pub(super) fn watch_certificates(shared: &Arc<Shared>) -> Option<io::Result<JoinHandle<io::Result<()>>>> {
    let config = &shared.config;
    let of_clients = shared.tls.clone().filter(|_| config.tls.as_ref().is_some_and(|tls| tls.reloads));
    let of_admin = shared.admin_tls.clone();
    let of_admin = of_admin.filter(|_| config.admin_tls.as_ref().is_some_and(|tls| tls.reloads));
    let of_servers = shared.peer_tls.clone().filter(|tls| tls.reloads());
    // ZooKeeper has no switch for those of Prometheus.
    let of_metrics = shared.metrics_tls.clone();
    let acceptors: Vec<_> = of_clients.into_iter().chain(of_admin).chain(of_metrics).collect();
    if acceptors.is_empty() && of_servers.is_none() {
        return None;
    }
    let shared = Arc::clone(shared);
    Some(spawn("certificates", move || {
        while !shared.is_stopping() {
            // The outcome is in the log.
            for acceptor in acceptors.iter().filter(|acceptor| acceptor.has_news()) {
                let _ = acceptor.reload();
            }
            if let Some(tls) = of_servers.as_ref().filter(|tls| tls.has_news()) {
                let _ = tls.reload();
            }
            std::thread::park_timeout(INTERVAL);
        }
        Ok(())
    }))
}

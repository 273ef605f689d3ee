//! What the TLS connections of clients have in common: the certificates in use, which can be
//! replaced while the server runs, and the number of handshakes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::SystemTime;

use parking_lot::{Mutex, RwLock};
use tls::rustls::ServerConfig;
use tls::{ServerSettings, SettingsError};

/// How connections of clients that speak TLS are accepted.
#[derive(Debug)]
pub(crate) struct Acceptor {
    settings: ServerSettings,
    /// Whether a client's certificate must be for its address.
    checks_hosts: bool,
    handshakes_max: usize,
    handshakes: Arc<AtomicUsize>,
    current: RwLock<Arc<ServerConfig>>,
    /// The files as they were when they were last looked at, and whether they have been used so.
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    stamps: Vec<Option<Stamp>>,
    is_used: bool,
}

/// What changes with a file: when it was written, its length, and which file it is. Kubernetes
/// replaces a link and writes no file.
type Stamp = (SystemTime, u64, u64);

/// A handshake that has begun and is not complete.
pub(super) struct Outstanding(Arc<AtomicUsize>);

impl Drop for Outstanding {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Acceptor {
    /// Reads the files. `handshakes_max` is the limit of handshakes at a time.
    ///
    /// # Errors
    /// One of the files cannot be used.
    pub(crate) fn new(
        settings: ServerSettings,
        checks_hosts: bool,
        handshakes_max: Option<u32>,
    ) -> Result<Acceptor, SettingsError> {
        let seen = Seen { stamps: stamps(&settings), is_used: true };
        Ok(Acceptor {
            current: RwLock::new(settings.build()?),
            settings,
            checks_hosts,
            handshakes_max: handshakes_max.map_or(usize::MAX, |most| most as usize),
            handshakes: Arc::default(),
            seen: Mutex::new(seen),
        })
    }

    /// Reads the files again. New connections use them; sessions that began with the old ones
    /// cannot be resumed, so that every client proves itself to the new ones. Logs the outcome.
    ///
    /// # Errors
    /// One of the files cannot be used. The old ones stay in use.
    pub(crate) fn reload(&self) -> Result<(), SettingsError> {
        let mut seen = self.seen.lock();
        *seen = Seen { stamps: stamps(&self.settings), is_used: true };
        match self.settings.build() {
            Ok(new) => {
                *self.current.write() = new;
                tracing::info!("the certificates of TLS were read again; new connections use them");
                Ok(())
            }
            Err(e) => {
                tracing::error!("the new certificates of TLS cannot be used, the old ones stay in use: {e}");
                Err(e)
            }
        }
    }

    /// Whether the files have changed since they were read, and not since the last call: a file
    /// that is being written is left alone until it is whole.
    pub(crate) fn has_news(&self) -> bool {
        let mut seen = self.seen.lock();
        let stamps = stamps(&self.settings);
        if stamps == seen.stamps {
            return !seen.is_used;
        }
        *seen = Seen { stamps, is_used: false };
        false
    }

    /// What a new connection uses.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.read())
    }

    pub(super) fn checks_hosts(&self) -> bool {
        self.checks_hosts
    }

    /// Counts a handshake; `None` at the limit.
    pub(super) fn begin_handshake(&self) -> Option<Outstanding> {
        let outstanding = Outstanding(Arc::clone(&self.handshakes));
        let before = self.handshakes.fetch_add(1, Relaxed);
        (before < self.handshakes_max).then_some(outstanding)
    }

    /// Handshakes that have begun and are not complete.
    pub(crate) fn handshakes(&self) -> usize {
        self.handshakes.load(Relaxed)
    }
}

fn stamps(settings: &ServerSettings) -> Vec<Option<Stamp>> {
    settings.files().paths().into_iter().map(stamp).collect()
}

fn stamp(path: &std::path::Path) -> Option<Stamp> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
}

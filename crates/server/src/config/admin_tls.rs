//! TLS of the AdminServer.

use tls::{ClientAuth, ServerSettings};

use super::fields::Loader;
use super::quorum_tls::{KEYS, QuorumStores};

/// TLS of the AdminServer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminTls {
    /// `admin.forceHttps`: a connection without TLS is closed; otherwise it is served too.
    pub is_forced: bool,
    /// The stores of `ssl.quorum.*`, as in ZooKeeper, and `admin.needClientAuth`.
    pub settings: ServerSettings,
    /// `sslQuorumReloadCertFiles`: changed files are used without being asked.
    pub reloads: bool,
}

/// What the keys ask for.
#[derive(Clone, Copy)]
pub(super) struct Wish {
    is_forced: bool,
    client_auth: ClientAuth,
}

impl Loader<'_> {
    /// Whether the AdminServer speaks TLS. All keys are read, so that those without effect are
    /// reported.
    pub(super) fn admin_tls_wish(&mut self) -> Option<Wish> {
        let s = &mut *self.settings;
        let is_forced = s.flag_property("admin.forceHttps", false);
        let is_unified = s.flag_property("admin.portUnification", false);
        let needs_certificate = s.flag_property("admin.needClientAuth", false);
        let is_off = s.text("admin.enableServer").is_some_and(|text| text == "false");
        let idle = [
            ("admin.forceHttps", is_forced && is_off),
            ("admin.portUnification", is_unified && is_off),
            ("admin.needClientAuth", needs_certificate && is_off),
        ];
        for (key, _) in idle.into_iter().filter(|(_, is_idle)| *is_idle) {
            s.note(key, "has no effect: the AdminServer is off");
        }
        if is_off {
            return None;
        }
        if needs_certificate && !is_forced {
            let text = "a connection without TLS needs no certificate; admin.forceHttps=true refuses it";
            s.note("admin.needClientAuth", text);
        }
        let client_auth = if needs_certificate { ClientAuth::Need } else { ClientAuth::None };
        (is_forced || is_unified).then_some(Wish { is_forced, client_auth })
    }

    /// `None` without a wish, and without a store that it needs, which is an error.
    pub(super) fn admin_tls(&mut self, wish: Option<Wish>, stores: &QuorumStores) -> Option<AdminTls> {
        let Wish { is_forced, client_auth } = wish?;
        if stores.key_store.is_none() {
            let allowed = "is not set; admin.forceHttps and admin.portUnification need a key store";
            self.refuse_once(KEYS.key_store.location, allowed);
        }
        if stores.trust_store.is_none() && client_auth == ClientAuth::Need {
            let allowed = "is not set; admin.needClientAuth needs a trust store";
            self.refuse_once(KEYS.trust_store.location, allowed);
        }
        let settings = stores.settings(client_auth)?;
        Some(AdminTls { is_forced, settings, reloads: stores.reloads })
    }

    /// TLS between servers may lack the same store.
    fn refuse_once(&mut self, key: &'static str, allowed: &str) {
        if !self.settings.problems.iter().any(|problem| problem.key == key) {
            self.settings.refuse(key, allowed);
        }
    }
}

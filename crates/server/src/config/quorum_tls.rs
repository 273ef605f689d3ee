//! TLS between servers.

use tls::{CipherSuites, ClientAuth, Protocols, ServerSettings, StoreFile};

use super::admin_tls::AdminTls;
use super::fields::Loader;
use super::tls::{StoreKeys, TlsKeys};

/// TLS between servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumTls {
    /// `sslQuorum`: this server speaks TLS on the connections that it dials.
    pub is_dialled: bool,
    /// `portUnification`: servers that connect may speak TLS or not; otherwise they must.
    pub is_unified: bool,
    /// Keys, certificates and rules, on both sides. There is a trust store.
    pub settings: ServerSettings,
    /// `ssl.quorum.hostnameVerification`: the certificate of a server that is dialled must be for a
    /// host of its `server.N`.
    pub checks_dialled: bool,
    /// `ssl.quorum.clientHostnameVerification`: so must that of a member that connects.
    pub checks_dialling: bool,
    /// `sslQuorumReloadCertFiles`: changed files are used without being asked.
    pub reloads: bool,
}

pub(super) const KEYS: TlsKeys = TlsKeys {
    key_store: StoreKeys {
        location: "ssl.quorum.keyStore.location",
        password: "ssl.quorum.keyStore.password",
        password_path: "ssl.quorum.keyStore.passwordPath",
        kind: "ssl.quorum.keyStore.type",
    },
    trust_store: StoreKeys {
        location: "ssl.quorum.trustStore.location",
        password: "ssl.quorum.trustStore.password",
        password_path: "ssl.quorum.trustStore.passwordPath",
        kind: "ssl.quorum.trustStore.type",
    },
    client_auth: "ssl.quorum.clientAuth",
    protocol: Some("ssl.quorum.protocol"),
    enabled_protocols: "ssl.quorum.enabledProtocols",
    cipher_suites: "ssl.quorum.ciphersuites",
};

/// What TLS between servers and that of the AdminServer have in common.
pub(super) struct QuorumStores {
    pub(super) key_store: Option<StoreFile>,
    pub(super) trust_store: Option<StoreFile>,
    protocols: Protocols,
    cipher_suites: CipherSuites,
    pub(super) reloads: bool,
}

impl QuorumStores {
    /// `None` without a key store.
    pub(super) fn settings(&self, client_auth: ClientAuth) -> Option<ServerSettings> {
        Some(ServerSettings {
            key_store: self.key_store.clone()?,
            trust_store: self.trust_store.clone(),
            client_auth,
            crl_file: None,
            strict: false,
            protocols: self.protocols,
            cipher_suites: self.cipher_suites.clone(),
        })
    }
}

impl Loader<'_> {
    /// TLS between servers and that of the AdminServer, which have their stores in common. All keys
    /// are read, so that mistakes in them are reported.
    pub(super) fn quorum_and_admin_tls(
        &mut self,
        is_ensemble: bool,
    ) -> (Option<QuorumTls>, Option<AdminTls>) {
        let stores = QuorumStores {
            reloads: self.settings.flag("sslQuorumReloadCertFiles", false),
            key_store: self.store(&KEYS.key_store),
            trust_store: self.store(&KEYS.trust_store),
            protocols: self.protocols(&KEYS),
            cipher_suites: self.cipher_suites(&KEYS),
        };
        let wish = self.admin_tls_wish();
        let quorum = self.quorum_tls(is_ensemble, &stores, wish.is_some());
        let admin = self.admin_tls(wish, &stores);
        if quorum.is_some() || admin.is_some() {
            self.check_stores(&KEYS, stores.key_store.as_ref(), stores.trust_store.as_ref());
        }
        (quorum, admin)
    }

    /// The keys count for nothing if they ask for no TLS or there is one server. `has_other_use`:
    /// the AdminServer uses the stores.
    fn quorum_tls(
        &mut self,
        is_ensemble: bool,
        stores: &QuorumStores,
        has_other_use: bool,
    ) -> Option<QuorumTls> {
        let s = &mut *self.settings;
        let (is_dialled, is_unified) = (s.flag("sslQuorum", false), s.flag("portUnification", false));
        let checks_dialled = s.flag_property("ssl.quorum.hostnameVerification", true);
        let checks_dialling = s.flag_property("ssl.quorum.clientHostnameVerification", true);
        let client_auth = self.client_auth(KEYS.client_auth);
        if !is_ensemble || !(is_dialled || is_unified) {
            let why =
                if is_ensemble { "sslQuorum and portUnification are off" } else { "there is one server" };
            self.settings.warn_that_quorum_tls_is_off(why, has_other_use);
            return None;
        }
        for (key, store) in [(&KEYS.key_store, &stores.key_store), (&KEYS.trust_store, &stores.trust_store)] {
            if store.is_none() {
                let allowed = "is not set; sslQuorum and portUnification need a key store and a trust store";
                self.settings.refuse(key.location, allowed);
            }
        }
        if client_auth != ClientAuth::Need {
            let text = "servers that connect need no certificate: only ostler.quorumSecretFile keeps out those that are not yours";
            self.settings.note("ssl.quorum.clientAuth", text);
        }
        let settings = stores.settings(client_auth)?;
        let (checks_dialling, reloads) = (checks_dialling && checks_dialled, stores.reloads);
        Some(QuorumTls { is_dialled, is_unified, settings, checks_dialled, checks_dialling, reloads })
    }
}

//! TLS between servers.

use tls::{ClientAuth, ServerSettings};

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

const KEYS: TlsKeys = TlsKeys {
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
    protocol: "ssl.quorum.protocol",
    enabled_protocols: "ssl.quorum.enabledProtocols",
    cipher_suites: "ssl.quorum.ciphersuites",
};

impl Loader<'_> {
    /// All keys are read, so that mistakes in them are reported, and count for nothing if they ask
    /// for no TLS or there is one server.
    pub(super) fn quorum_tls(&mut self, is_ensemble: bool) -> Option<QuorumTls> {
        let s = &mut *self.settings;
        let (is_dialled, is_unified) = (s.flag("sslQuorum", false), s.flag("portUnification", false));
        let checks_dialled = s.flag_property("ssl.quorum.hostnameVerification", true);
        let checks_dialling = s.flag_property("ssl.quorum.clientHostnameVerification", true);
        let reloads = s.flag("sslQuorumReloadCertFiles", false);
        let (key_store, trust_store) = (self.store(&KEYS.key_store), self.store(&KEYS.trust_store));
        let client_auth = self.client_auth(KEYS.client_auth);
        let (protocols, cipher_suites) = (self.protocols(&KEYS), self.cipher_suites(&KEYS));
        if !is_ensemble || !(is_dialled || is_unified) {
            let why =
                if is_ensemble { "sslQuorum and portUnification are off" } else { "there is one server" };
            self.settings.warn_that_quorum_tls_is_off(why);
            return None;
        }
        for (key, store) in [(&KEYS.key_store, &key_store), (&KEYS.trust_store, &trust_store)] {
            if store.is_none() {
                let allowed = "is not set; sslQuorum and portUnification need a key store and a trust store";
                self.settings.refuse(key.location, allowed);
            }
        }
        self.check_stores(&KEYS, key_store.as_ref(), trust_store.as_ref());
        if client_auth != ClientAuth::Need {
            let text = "servers that connect need no certificate: only ostler.quorumSecretFile keeps out those that are not yours";
            self.settings.note("ssl.quorum.clientAuth", text);
        }
        let settings = ServerSettings {
            key_store: key_store?,
            trust_store,
            client_auth,
            crl_file: None,
            strict: false,
            protocols,
            cipher_suites,
        };
        let checks_dialling = checks_dialling && checks_dialled;
        Some(QuorumTls { is_dialled, is_unified, settings, checks_dialled, checks_dialling, reloads })
    }
}

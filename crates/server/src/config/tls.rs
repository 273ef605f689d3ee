//! TLS for clients.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use tls::{CipherSuites, ClientAuth, Protocols, Secret, ServerSettings, StoreFile, UnknownName};

use super::fields::Loader;

/// TLS for clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// `secureClientPort`; `None`: TLS is spoken on the client port only.
    pub port: Option<SecurePort>,
    /// `client.portUnification`: clients on the client port may speak TLS too.
    pub is_unified: bool,
    /// There is no client port for clients without TLS.
    pub is_only: bool,
    /// Keys, certificates and rules.
    pub settings: ServerSettings,
    /// `ssl.clientHostnameVerification`: a client's certificate must be for its address.
    pub checks_hosts: bool,
    /// `client.certReload`: changed files are used without being asked.
    pub reloads: bool,
    /// `netty.server.outstandingHandshake.limit`: handshakes at a time; `None` = no limit.
    pub handshakes_max: Option<u32>,
}

/// The port where clients speak TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecurePort {
    /// `secureClientPortAddress`, as [`super::Listen::address`].
    pub address: IpAddr,
    /// `secureClientPort`; 0 = a free one chosen by the system.
    pub port: u16,
}

/// The keys of one store.
pub(super) struct StoreKeys {
    pub(super) location: &'static str,
    pub(super) password: &'static str,
    pub(super) password_path: &'static str,
    pub(super) kind: &'static str,
}

/// The keys that TLS for clients and TLS between servers both have.
pub(super) struct TlsKeys {
    pub(super) key_store: StoreKeys,
    pub(super) trust_store: StoreKeys,
    pub(super) client_auth: &'static str,
    /// `None`: there is no such key.
    pub(super) protocol: Option<&'static str>,
    pub(super) enabled_protocols: &'static str,
    pub(super) cipher_suites: &'static str,
}

const KEYS: TlsKeys = TlsKeys {
    key_store: StoreKeys {
        location: "ssl.keyStore.location",
        password: "ssl.keyStore.password",
        password_path: "ssl.keyStore.passwordPath",
        kind: "ssl.keyStore.type",
    },
    trust_store: StoreKeys {
        location: "ssl.trustStore.location",
        password: "ssl.trustStore.password",
        password_path: "ssl.trustStore.passwordPath",
        kind: "ssl.trustStore.type",
    },
    client_auth: "ssl.clientAuth",
    protocol: Some("ssl.protocol"),
    enabled_protocols: "ssl.enabledProtocols",
    cipher_suites: "ssl.ciphersuites",
};
/// Class of the provider that `ssl.authProvider` may name.
const X509_PROVIDER: &str = "org.apache.zookeeper.server.auth.X509AuthenticationProvider";

impl Loader<'_> {
    /// `is_only`: there is no client port without TLS. All keys are read, so that mistakes in them
    /// are reported, and count for nothing without a port.
    pub(super) fn tls(&mut self, is_only: bool) -> Option<Tls> {
        let wants_unified = self.settings.flag_property("client.portUnification", false);
        let port = self.secure_port();
        let key_store = self.store(&KEYS.key_store);
        let trust_store = self.store(&KEYS.trust_store);
        let client_auth = self.client_auth(KEYS.client_auth);
        let (protocols, cipher_suites) = (self.protocols(&KEYS), self.cipher_suites(&KEYS));
        let crl_file = self.crl_file();
        let s = &mut *self.settings;
        let strict = s.flag("ostler.ssl.strict", false);
        let checks_servers = s.flag_property("ssl.hostnameVerification", true);
        let checks_hosts = s.flag_property("ssl.clientHostnameVerification", false) && checks_servers;
        let reloads = s.flag_property("client.certReload", false);
        let handshakes = s.integer_property("netty.server.outstandingHandshake.limit");
        let handshakes_max = handshakes.and_then(|limit| u32::try_from(limit).ok());
        let provider = s.text("ssl.authProvider");
        if port.is_none() && !self.is_port_unified() {
            self.settings.warn_that_tls_is_off();
            return None;
        }
        self.check_auth_provider(provider);
        self.check_stores(&KEYS, key_store.as_ref(), trust_store.as_ref());
        let Some(key_store) = key_store else {
            self.settings.refuse("ssl.keyStore.location", "is not set; secureClientPort needs a key store");
            return None;
        };
        if trust_store.is_none() && client_auth != ClientAuth::None {
            let allowed = "is not set; it must be the trusted certificates, unless ssl.clientAuth is none";
            self.settings.refuse("ssl.trustStore.location", allowed);
        }
        Some(Tls {
            port,
            is_unified: wants_unified && !is_only,
            is_only,
            settings: ServerSettings {
                key_store,
                trust_store,
                client_auth,
                crl_file,
                strict,
                protocols,
                cipher_suites,
            },
            checks_hosts,
            reloads,
            handshakes_max,
        })
    }

    fn secure_port(&mut self) -> Option<SecurePort> {
        let port = self.settings.decimal("secureClientPort", 0..=u16::MAX.into(), "0 = any free port");
        let host = self.settings.text("secureClientPortAddress").filter(|host| !host.is_empty());
        let address = match host {
            Some(host) => self.address("secureClientPortAddress", &host),
            None if self.from_file => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            None => IpAddr::V4(Ipv4Addr::LOCALHOST),
        };
        if port.is_none() && self.settings.is_set("secureClientPortAddress") {
            self.settings.refuse("secureClientPortAddress", "secureClientPort is not set");
        }
        port.map(|port| SecurePort { address, port: port as u16 })
    }

    /// The content of a file says what it is, so its type is only checked.
    pub(super) fn store(&mut self, keys: &StoreKeys) -> Option<StoreFile> {
        let s = &mut *self.settings;
        let location = s.text(keys.location).filter(|path| !path.is_empty());
        let password = Secret::new(s.text(keys.password).unwrap_or_default());
        let password_path = s.text(keys.password_path).filter(|path| !path.is_empty()).map(PathBuf::from);
        let kinds = [("JKS", ()), ("PEM", ()), ("PKCS12", ())];
        if s.text(keys.kind).is_some_and(|kind| !kind.is_empty()) {
            s.choice(keys.kind, &kinds);
        }
        location.map(|path| StoreFile { path: path.into(), password, password_path })
    }

    /// A trust store holds no secret, but its password may be that of others.
    pub(super) fn check_stores(
        &mut self,
        keys: &TlsKeys,
        key: Option<&StoreFile>,
        trust: Option<&StoreFile>,
    ) {
        if let Some(store) = key {
            self.check_key_file(keys.key_store.location, &store.path);
        }
        for (keys, store) in [(&keys.key_store, key), (&keys.trust_store, trust)] {
            if let Some(path) = store.and_then(|store| store.password_path.as_deref()) {
                self.check_key_file(keys.password_path, path);
            }
        }
    }

    /// ZooKeeper's default is `need`.
    pub(super) fn client_auth(&mut self, key: &'static str) -> ClientAuth {
        let choices = [("none", ClientAuth::None), ("want", ClientAuth::Want), ("need", ClientAuth::Need)];
        match self.settings.text(key) {
            Some(text) if !text.is_empty() => self.settings.choice(key, &choices),
            _ => None,
        }
        .unwrap_or(ClientAuth::Need)
    }

    pub(super) fn protocols(&mut self, keys: &TlsKeys) -> Protocols {
        let context = keys.protocol.and_then(|key| Some((key, self.settings.text(key)?)));
        let context = context.filter(|(_, name)| !name.is_empty());
        let listed = self.settings.text(keys.enabled_protocols).filter(|names| !names.is_empty());
        let (key, protocols) = match (listed, context) {
            (Some(names), _) => (keys.enabled_protocols, Protocols::listed(&names)),
            (None, Some((key, name))) => (key, Protocols::of_context(&name)),
            (None, None) => return Protocols::default(),
        };
        protocols.unwrap_or_else(|unknown| {
            self.settings.refuse(key, listing(&unknown));
            Protocols::default()
        })
    }

    pub(super) fn cipher_suites(&mut self, keys: &TlsKeys) -> CipherSuites {
        let key = keys.cipher_suites;
        let names = self.settings.text(key).filter(|names| !names.is_empty());
        let suites = names.map_or(Ok(CipherSuites::default()), |names| CipherSuites::listed(&names));
        suites.unwrap_or_else(|unknown| {
            self.settings.refuse(key, listing(&unknown));
            CipherSuites::default()
        })
    }

    /// Java fetches the lists from the places that certificates name; here they are in a file.
    fn crl_file(&mut self) -> Option<PathBuf> {
        let is_on = self.settings.flag_property("ssl.crl", false);
        let file = self.settings.text("ostler.ssl.crlFile").filter(|path| !path.is_empty());
        match (is_on, file) {
            (true, None) => {
                let allowed = "needs ostler.ssl.crlFile, a file with the revocation lists of all authorities: they are not fetched";
                self.settings.refuse("ssl.crl", allowed);
                None
            }
            (false, Some(_)) => {
                self.settings.note("ostler.ssl.crlFile", "has no effect without ssl.crl=true");
                None
            }
            (_, file) => file.map(PathBuf::from),
        }
    }

    /// ZooKeeper judges clients by a provider of its name, whose class may be others'.
    fn check_auth_provider(&mut self, name: Option<String>) {
        let Some(name) = name.filter(|name| name != "x509") else { return };
        let providers = self.settings.with_prefix("authProvider.");
        if !providers.iter().any(|(number, setting)| *number == name && setting.value == X509_PROVIDER) {
            let allowed = format!("must be x509, or authProvider.{name} must be {X509_PROVIDER}");
            self.settings.refuse("ssl.authProvider", allowed);
        }
    }
}

fn listing(unknown: &UnknownName) -> String {
    let UnknownName { name, known } = unknown;
    format!("{name} does not exist here; there are {}", known.join(", "))
}

//! The port for Prometheus, as ZooKeeper's PrometheusMetricsProvider has it.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

#[cfg(feature = "net")]
use tls::{CipherSuites, ClientAuth, Protocols, ServerSettings, StoreFile};

use super::fields::Loader;
#[cfg(feature = "net")]
use super::tls::{StoreKeys, TlsKeys};
use super::{java, limits};

/// The ports for Prometheus alone. There is one at least.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metrics {
    /// `metricsProvider.httpHost` and `metricsProvider.httpPort`; `None`: HTTPS only.
    pub address: Option<SocketAddr>,
    /// HTTPS; `None` without `metricsProvider.httpsPort`.
    #[cfg(feature = "net")]
    pub tls: Option<MetricsTls>,
}

/// HTTPS for Prometheus.
#[cfg(feature = "net")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsTls {
    /// `metricsProvider.httpHost` and `metricsProvider.httpsPort`. If it is the address without
    /// TLS, too, the first byte of a connection tells.
    pub address: SocketAddr,
    /// The stores of `metricsProvider.ssl.*`.
    pub settings: ServerSettings,
}

#[cfg(feature = "net")]
pub(super) const KEYS: TlsKeys = TlsKeys {
    key_store: StoreKeys {
        location: "metricsProvider.ssl.keyStore.location",
        password: "metricsProvider.ssl.keyStore.password",
        password_path: "metricsProvider.ssl.keyStore.passwordPath",
        kind: "metricsProvider.ssl.keyStore.type",
    },
    trust_store: StoreKeys {
        location: "metricsProvider.ssl.trustStore.location",
        password: "metricsProvider.ssl.trustStore.password",
        password_path: "metricsProvider.ssl.trustStore.passwordPath",
        kind: "metricsProvider.ssl.trustStore.type",
    },
    client_auth: "metricsProvider.ssl.need.client.auth",
    protocol: None,
    enabled_protocols: "metricsProvider.ssl.enabledProtocols",
    cipher_suites: "metricsProvider.ssl.ciphersuites",
};
#[cfg(feature = "net")]
const WANTS_CERTIFICATE: &str = "metricsProvider.ssl.want.client.auth";
/// What the keys of the stores say.
#[cfg(feature = "net")]
struct Stores {
    key_store: Option<StoreFile>,
    trust_store: Option<StoreFile>,
    protocols: Protocols,
    cipher_suites: CipherSuites,
    client_auth: ClientAuth,
}

const HTTP_PORT: &str = "metricsProvider.httpPort";
const HTTPS_PORT: &str = "metricsProvider.httpsPort";

impl Loader<'_> {
    /// The keys apply to the Prometheus provider only.
    pub(super) fn metrics(&mut self) -> Option<Metrics> {
        let class = self.settings.text("metricsProvider.className").unwrap_or_default();
        let host = self.settings.text("metricsProvider.httpHost").filter(|host| !host.is_empty());
        let (http, https) = (self.settings.text(HTTP_PORT), self.settings.text(HTTPS_PORT));
        let https = https.map(|port| java::parse_int(&port).unwrap_or(i32::MAX)).filter(|port| *port != -1);
        #[cfg(feature = "net")]
        let stores = self.metrics_stores();
        match class.rsplit('.').next().unwrap_or_default() {
            "PrometheusMetricsProvider" => {}
            "" | "DefaultMetricsProvider" | "NullMetricsProvider" => {
                if https.is_some() {
                    let text = "has no effect: it is a setting of the Prometheus provider";
                    self.settings.note(HTTPS_PORT, text);
                }
                return None;
            }
            _ => {
                let allowed = "must be org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider or ….DefaultMetricsProvider";
                self.settings.refuse("metricsProvider.className", allowed);
                return None;
            }
        }
        let ip = match host {
            Some(host) => self.address("metricsProvider.httpHost", &host),
            None => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let http = match http {
            None => https.is_none().then(|| limits::METRICS_PORT.into()),
            Some(port) => Some(java::parse_int(&port).unwrap_or(i32::MAX)),
        };
        // ZooKeeper's word for none is -1, where the other port is set.
        let http = http.filter(|port| *port != -1 || https.is_none());
        let address = http.map(|port| SocketAddr::new(ip, self.port(HTTP_PORT, port)));
        #[cfg(feature = "net")]
        if https.is_none() && stores.key_store.is_some() {
            let text = "has no effect without metricsProvider.httpsPort";
            self.settings.note(KEYS.key_store.location, text);
        }
        #[cfg(feature = "net")]
        let secure = https.map(|port| SocketAddr::new(ip, self.port(HTTPS_PORT, port)));
        Some(Metrics {
            address,
            #[cfg(feature = "net")]
            tls: secure.and_then(|address| Some(MetricsTls { address, settings: self.metrics_tls(stores)? })),
        })
    }

    /// What the keys of TLS say. All are read, so that mistakes in them are reported.
    #[cfg(feature = "net")]
    fn metrics_stores(&mut self) -> Stores {
        let needs_certificate = self.settings.flag_property(KEYS.client_auth, true);
        let wants_certificate = self.settings.flag_property(WANTS_CERTIFICATE, true);
        Stores {
            key_store: self.store(&KEYS.key_store),
            trust_store: self.store(&KEYS.trust_store),
            protocols: self.protocols(&KEYS),
            cipher_suites: self.cipher_suites(&KEYS),
            client_auth: match (needs_certificate, wants_certificate) {
                (true, _) => ClientAuth::Need,
                (false, true) => ClientAuth::Want,
                (false, false) => ClientAuth::None,
            },
        }
    }

    /// `None` without a store that is needed, which is an error.
    #[cfg(feature = "net")]
    fn metrics_tls(&mut self, stores: Stores) -> Option<ServerSettings> {
        let Stores { key_store, trust_store, protocols, cipher_suites, client_auth } = stores;
        self.check_stores(&KEYS, key_store.as_ref(), trust_store.as_ref());
        if key_store.is_none() {
            let allowed = "is not set; metricsProvider.httpsPort needs a key store";
            self.settings.refuse(KEYS.key_store.location, allowed);
        }
        if trust_store.is_none() && client_auth == ClientAuth::Need {
            let allowed = "is not set; it must be the trusted certificates, unless \
                           metricsProvider.ssl.need.client.auth is false";
            self.settings.refuse(KEYS.trust_store.location, allowed);
        }
        // Without trusted certificates there is no use in asking for one.
        let client_auth = if trust_store.is_none() { ClientAuth::None } else { client_auth };
        let (crl_file, strict) = (None, false);
        let key_store = key_store?;
        Some(ServerSettings {
            key_store,
            trust_store,
            client_auth,
            crl_file,
            strict,
            protocols,
            cipher_suites,
        })
    }
}

//! The ports for Prometheus.

use ::tls::{ClientAuth, Protocols, Secret};

use super::*;

const STORES: &str = "metricsProvider.className=PrometheusMetricsProvider\nmetricsProvider.httpsPort=7443\n\
    metricsProvider.ssl.keyStore.location=/k\nmetricsProvider.ssl.trustStore.location=/t\n";

type Check = fn(&MetricsTls) -> bool;

/// Lines added to [`STORES`], and what they lead to.
const CASES: &[(&str, Check)] = &[
    ("metricsProvider.httpsPort=7443", |c| c.address.to_string() == "[::]:7443"),
    ("metricsProvider.ssl.keyStore.location=/k", |c| c.settings.key_store.path == Path::new("/k")),
    ("metricsProvider.ssl.keyStore.password=p", |c| c.settings.key_store.password == Secret::new("p")),
    ("metricsProvider.ssl.keyStore.passwordPath=/p", |c| {
        c.settings.key_store.password_path.as_deref() == Some(Path::new("/p"))
    }),
    ("metricsProvider.ssl.keyStore.type=jks", |_| true),
    ("metricsProvider.ssl.trustStore.location=/t", |c| {
        c.settings.trust_store.as_ref().is_some_and(|store| store.path == Path::new("/t"))
    }),
    ("metricsProvider.ssl.trustStore.password=p", |c| {
        c.settings.trust_store.as_ref().is_some_and(|store| store.password == Secret::new("p"))
    }),
    ("metricsProvider.ssl.trustStore.passwordPath=/p", |c| {
        let path = c.settings.trust_store.as_ref().and_then(|store| store.password_path.as_deref());
        path == Some(Path::new("/p"))
    }),
    ("metricsProvider.ssl.trustStore.type=PKCS12", |_| true),
    // As in ZooKeeper, where clients need certificates unless both are off.
    ("metricsProvider.ssl.want.client.auth=false", |c| c.settings.client_auth == ClientAuth::Need),
    ("metricsProvider.ssl.need.client.auth=false", |c| c.settings.client_auth == ClientAuth::Want),
    ("metricsProvider.ssl.need.client.auth=false\nmetricsProvider.ssl.want.client.auth=false", |c| {
        c.settings.client_auth == ClientAuth::None
    }),
    ("metricsProvider.ssl.enabledProtocols=TLSv1.3", |c| {
        c.settings.protocols == Protocols::listed("TLSv1.3").unwrap()
    }),
    ("metricsProvider.ssl.ciphersuites=TLS_AES_128_GCM_SHA256", |c| {
        c.settings.cipher_suites == ::tls::CipherSuites::listed("TLS_AES_128_GCM_SHA256").unwrap()
    }),
];

/// Whether a test here covers the key.
pub(super) fn has_case(key: &str) -> bool {
    CASES.iter().flat_map(|(lines, _)| lines.lines()).any(|line| line.starts_with(key))
}

/// Where `/metrics` is without TLS.
pub(super) fn address(config: &Config) -> String {
    let address = config.metrics.as_ref().and_then(|metrics| metrics.address);
    address.map(|address| address.to_string()).unwrap_or_default()
}

#[test]
fn every_key_of_https_for_prometheus_reaches_its_field() {
    for (lines, check) in CASES {
        let metrics = config(&format!("{STORES}{lines}")).metrics.unwrap();
        assert!(check(metrics.tls.as_ref().unwrap()), "{lines}: {metrics:?}");
    }
}

/// In ZooKeeper 3.10 neither port has a default; that of 3.9 is kept where there is no HTTPS.
#[test]
fn there_is_a_port_without_tls_where_it_is_wanted() {
    for (lines, plain) in [
        ("", ""),
        ("metricsProvider.httpPort=-1", ""),
        ("metricsProvider.httpPort=7001", "[::]:7001"),
        ("metricsProvider.httpPort=7443\nmetricsProvider.httpHost=127.0.0.1", "127.0.0.1:7443"),
        ("metricsProvider.httpsPort=-1", "[::]:7000"),
    ] {
        let config = config(&format!("{STORES}{lines}"));
        assert_eq!(address(&config), plain, "{lines}");
        assert_eq!(config.metrics.unwrap().tls.is_none(), lines == "metricsProvider.httpsPort=-1", "{lines}");
    }
}

#[test]
fn https_for_prometheus_needs_its_stores() {
    let on = "metricsProvider.className=PrometheusMetricsProvider\nmetricsProvider.httpsPort=7443\n";
    for (lines, key) in [
        ("metricsProvider.ssl.trustStore.location=/t", "metricsProvider.ssl.keyStore.location"),
        ("metricsProvider.ssl.keyStore.location=/k", "metricsProvider.ssl.trustStore.location"),
    ] {
        let problems = problems(&format!("{on}{lines}"));
        assert_eq!(problems.len(), 1, "{lines}: {problems:?}");
        assert_eq!(problems[0].key, key, "{lines}");
    }
    let alone = "metricsProvider.ssl.keyStore.location=/k\nmetricsProvider.ssl.need.client.auth=false\n";
    let tls = config(&format!("{on}{alone}")).metrics.unwrap().tls.unwrap();
    assert_eq!((tls.settings.trust_store, tls.settings.client_auth), (None, ClientAuth::None));
    for (lines, expected) in [
        ("metricsProvider.httpsPort=70000", "must be a port from 0 to 65535"),
        ("metricsProvider.httpsPort=x", "must be a port from 0 to 65535"),
        ("metricsProvider.ssl.keyStore.type=BCFKS", "must be JKS or PEM or PKCS12"),
        ("metricsProvider.ssl.ciphersuites=TLS_RSA_WITH_AES_128_CBC_SHA", "does not exist here"),
    ] {
        let problems = problems(&format!("{STORES}{lines}"));
        assert!(problems.iter().any(|problem| problem.allowed.contains(expected)), "{lines}: {problems:?}");
    }
}

#[test]
fn settings_of_https_that_is_off_are_warnings() {
    let shown =
        |lines: &str| -> Vec<String> { loaded(lines).warnings.iter().map(ToString::to_string).collect() };
    let store =
        "metricsProvider.className=PrometheusMetricsProvider\nmetricsProvider.ssl.keyStore.location=/k";
    let expected = "metricsProvider.ssl.keyStore.location: has no effect without metricsProvider.httpsPort";
    assert!(shown(store).iter().any(|line| line == expected), "{:?}", shown(store));
    let config = config(&format!("{STORES}metricsProvider.ssl.keyStore.password=very secret"));
    assert!(config.settings.iter().all(|(_, value)| value != "very secret"), "{:?}", config.settings);
}

//! TLS for clients.

use ::tls::{CipherSuites, ClientAuth, Protocols, Secret};

use super::*;

const STORES: &str = "secureClientPort=2281\nssl.keyStore.location=/k\nssl.trustStore.location=/t\n";

const SUPER_USER: &str = "X509AuthenticationProvider.superUser";
const TIMEOUT: &str = "ssl.handshakeDetectionTimeoutMillis";

type Check = fn(&Tls) -> bool;

/// Lines added to [`STORES`], and what they lead to.
const CASES: &[(&str, Check)] = &[
    ("secureClientPortAddress=10.1.2.3", |c| c.port.unwrap().address.to_string() == "10.1.2.3"),
    ("client.portUnification=true", |c| c.is_unified),
    ("ssl.keyStore.password=p", |c| c.settings.key_store.password == Secret::new("p")),
    ("ssl.keyStore.passwordPath=/p", |c| {
        c.settings.key_store.password_path.as_deref() == Some(Path::new("/p"))
    }),
    ("ssl.keyStore.type=JKS", |c| c.settings.key_store.path == Path::new("/k")),
    ("ssl.trustStore.password=p", |c| c.settings.trust_store.as_ref().unwrap().password == Secret::new("p")),
    ("ssl.trustStore.passwordPath=/p", |c| {
        c.settings.trust_store.as_ref().unwrap().password_path.as_deref() == Some(Path::new("/p"))
    }),
    ("ssl.trustStore.type=pem", |c| c.settings.trust_store.is_some()),
    ("ssl.clientAuth=WANT", |c| c.settings.client_auth == ClientAuth::Want),
    ("ssl.clientAuth=none", |c| c.settings.client_auth == ClientAuth::None),
    ("ssl.clientHostnameVerification=true", |c| c.checks_hosts),
    ("ssl.clientHostnameVerification=true\nssl.hostnameVerification=false", |c| !c.checks_hosts),
    ("ssl.protocol=TLSv1.2", |c| c.settings.protocols == Protocols::listed("TLSv1.2").unwrap()),
    ("ssl.protocol=TLSv1.2\nssl.enabledProtocols=TLSv1.3", |c| {
        c.settings.protocols == Protocols::listed("TLSv1.3").unwrap()
    }),
    ("ssl.ciphersuites=TLS_AES_256_GCM_SHA384", |c| {
        c.settings.cipher_suites == CipherSuites::listed("TLS_AES_256_GCM_SHA384").unwrap()
    }),
    ("ssl.crl=true\nostler.ssl.crlFile=/c", |c| c.settings.crl_file.as_deref() == Some(Path::new("/c"))),
    ("ostler.ssl.strict=true", |c| c.settings.strict),
    ("client.certReload=true", |c| c.reloads),
    ("netty.server.outstandingHandshake.limit=250", |c| c.handshakes_max == Some(250)),
    ("ssl.authProvider=x509", |c| c.port.is_some()),
];

/// Whether a test here covers the key.
pub(super) fn has_case(key: &str) -> bool {
    let lines = CASES.iter().flat_map(|(lines, _)| lines.lines()).chain(STORES.lines());
    lines.chain([SUPER_USER, TIMEOUT]).any(|line| line.starts_with(key))
}

fn tls(lines: &str) -> Tls {
    config(&format!("{STORES}{lines}")).tls.unwrap()
}

#[test]
fn tls_is_configured_as_in_zookeeper() {
    let Tls { port, is_unified, is_only, settings, checks_hosts, reloads, handshakes_max } = tls("");
    assert_eq!(port, Some(SecurePort { address: "::".parse().unwrap(), port: 2281 }));
    assert_eq!(
        (is_unified, is_only, checks_hosts, reloads, handshakes_max),
        (false, false, false, false, None)
    );
    assert_eq!(settings.key_store.path, Path::new("/k"));
    assert_eq!(settings.trust_store.unwrap().path, Path::new("/t"));
    assert_eq!((settings.client_auth, settings.crl_file, settings.strict), (ClientAuth::Need, None, false));
    assert_eq!((settings.protocols, settings.cipher_suites), (Protocols::default(), CipherSuites::default()));
    let config = config(STORES);
    assert!(config.requests.schemes.x509 && config.requests.x509_super.is_none());
    assert_eq!(config.connection.tls_handshake_timeout_ms, 5_000);
}

#[test]
fn every_key_of_tls_reaches_its_field() {
    for (lines, check) in CASES {
        let tls = tls(lines);
        assert!(check(&tls), "{lines}: {tls:?}");
    }
    let dn = config(&format!("{STORES}{SUPER_USER}=CN=a,O=b\n"));
    assert_eq!(dn.requests.x509_super.as_deref(), Some("CN=a,O=b"));
    let slow = config(&format!("{STORES}{TIMEOUT}=700\n"));
    assert_eq!(slow.connection.tls_handshake_timeout_ms, 700);
    let named = config("authProvider.x509=org.apache.zookeeper.server.auth.X509AuthenticationProvider\n");
    assert!(named.requests.schemes.x509 && named.tls.is_none());
}
#[test]
fn a_server_may_be_reached_by_tls_only_or_on_one_port() {
    let only = load_text(&format!("dataDir=/d\n{STORES}client.portUnification=true\n"), &[], &[]).unwrap();
    let tls = only.config.tls.unwrap();
    assert_eq!((tls.is_only, tls.is_unified, only.warnings), (true, false, vec![]));
    let one = config("client.portUnification=true\nssl.keyStore.location=/k\nssl.clientAuth=none\n");
    let tls = one.tls.unwrap();
    assert_eq!((tls.is_only, tls.is_unified, tls.port), (false, true, None));
    let off = loaded("client.portUnification=true\nssl.trustStore.location=/t\n");
    assert_eq!(off.config.tls, None);
    let warnings: Vec<String> = off.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "zoo.cfg line 4: ssl.trustStore.location has no effect: TLS is off",
            "zoo.cfg line 3: client.portUnification has no effect: TLS is off",
        ]
    );
    assert_eq!(
        config("ssl.keyStore.location=/k\nssl.ocsp=true\n").tls,
        None,
        "keys of TLS alone are harmless"
    );
}

#[test]
fn what_tls_cannot_do_is_refused_by_name() {
    for (lines, key, expected) in [
        ("secureClientPort=2281", "ssl.keyStore.location", "is not set"),
        (
            "secureClientPort=2281\nssl.keyStore.location=/k",
            "ssl.trustStore.location",
            "unless ssl.clientAuth",
        ),
        ("secureClientPortAddress=10.1.2.3", "secureClientPortAddress", "secureClientPort is not set"),
        (&format!("{STORES}ssl.ocsp=true"), "ssl.ocsp", "OCSP is not supported"),
        (&format!("{STORES}ssl.crl=true"), "ssl.crl", "ostler.ssl.crlFile"),
        (&format!("{STORES}ssl.context.supplier.class=a.B"), "ssl.context.supplier.class", "Java classes"),
        (&format!("{STORES}ssl.keyStore.type=BCFKS"), "ssl.keyStore.type", "must be JKS or PEM or PKCS12"),
        (&format!("{STORES}ssl.clientAuth=maybe"), "ssl.clientAuth", "must be none or want or need"),
        (
            &format!("{STORES}ssl.enabledProtocols=TLSv1.1"),
            "ssl.enabledProtocols",
            "there are TLSv1.2, TLSv1.3",
        ),
        (
            &format!("{STORES}ssl.ciphersuites=TLS_RSA_WITH_AES_128_CBC_SHA"),
            "ssl.ciphersuites",
            "TLS_RSA_WITH_AES_128_CBC_SHA does not exist here; there are TLS_AES_256_GCM_SHA384, ",
        ),
        (&format!("{STORES}ssl.authProvider=mine"), "ssl.authProvider", "authProvider.mine must be"),
    ] {
        let problems = problems(lines);
        assert_eq!(problems.len(), 1, "{lines}: {problems:?}");
        assert_eq!(problems[0].key, key, "{lines}");
        assert!(problems[0].to_string().contains(expected), "{lines}: {}", problems[0]);
    }
}

#[test]
fn passwords_of_stores_are_shown_nowhere() {
    let loaded = loaded(&format!("{STORES}ssl.keyStore.password=hunter2\nssl.trustStore.password=hunter2\n"));
    assert!(!format!("{loaded:?}").contains("hunter2"), "{loaded:?}");
}

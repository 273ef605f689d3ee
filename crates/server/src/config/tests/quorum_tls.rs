//! TLS between servers.

use ::tls::{CipherSuites, ClientAuth, Protocols, Secret};

use super::*;

const MEMBERS: &str = "initLimit=10\nsyncLimit=5\nserver.1=a:2888:3888\nserver.2=b:2888:3888\n";
const STORES: &str = "sslQuorum=true\nssl.quorum.keyStore.location=/k\nssl.quorum.trustStore.location=/t\n";

type Check = fn(&QuorumTls) -> bool;

/// Lines added to [`STORES`], and what they lead to.
const CASES: &[(&str, Check)] = &[
    ("portUnification=true", |c| c.is_dialled && c.is_unified),
    ("portUnification=true\nsslQuorum=false", |c| !c.is_dialled && c.is_unified),
    ("sslQuorumReloadCertFiles=true", |c| c.reloads),
    ("ssl.quorum.keyStore.password=p", |c| c.settings.key_store.password == Secret::new("p")),
    ("ssl.quorum.keyStore.passwordPath=/p", |c| {
        c.settings.key_store.password_path.as_deref() == Some(Path::new("/p"))
    }),
    ("ssl.quorum.keyStore.type=JKS", |c| c.settings.key_store.path == Path::new("/k")),
    ("ssl.quorum.trustStore.password=p", |c| {
        c.settings.trust_store.as_ref().unwrap().password == Secret::new("p")
    }),
    ("ssl.quorum.trustStore.passwordPath=/p", |c| {
        c.settings.trust_store.as_ref().unwrap().password_path.as_deref() == Some(Path::new("/p"))
    }),
    ("ssl.quorum.trustStore.type=pem", |c| c.settings.trust_store.is_some()),
    ("ssl.quorum.clientAuth=WANT", |c| c.settings.client_auth == ClientAuth::Want),
    ("ssl.quorum.clientAuth=none", |c| c.settings.client_auth == ClientAuth::None),
    ("ssl.quorum.hostnameVerification=false", |c| !c.checks_dialled && !c.checks_dialling),
    ("ssl.quorum.clientHostnameVerification=false", |c| c.checks_dialled && !c.checks_dialling),
    ("ssl.quorum.protocol=TLSv1.2", |c| c.settings.protocols == Protocols::listed("TLSv1.2").unwrap()),
    ("ssl.quorum.protocol=TLSv1.2\nssl.quorum.enabledProtocols=TLSv1.3", |c| {
        c.settings.protocols == Protocols::listed("TLSv1.3").unwrap()
    }),
    ("ssl.quorum.ciphersuites=TLS_AES_256_GCM_SHA384", |c| {
        c.settings.cipher_suites == CipherSuites::listed("TLS_AES_256_GCM_SHA384").unwrap()
    }),
];

/// Whether a test here covers the key.
pub(super) fn has_case(key: &str) -> bool {
    let lines = CASES.iter().flat_map(|(lines, _)| lines.lines()).chain(STORES.lines());
    lines.into_iter().any(|line| line.starts_with(key))
}

fn load(lines: &str) -> Result<Loaded, ConfigError> {
    load_text(&format!("dataDir=/d\nclientPort=2181\n{lines}"), &[("/d/myid", "1")], &[])
}

fn tls(lines: &str) -> Option<QuorumTls> {
    load(&format!("{MEMBERS}{lines}")).unwrap().config.quorum_tls
}

fn warnings(lines: &str) -> Vec<String> {
    load(lines).unwrap().warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn tls_between_servers_is_configured_as_in_zookeeper() {
    let tls = tls(STORES).unwrap();
    assert_eq!((tls.is_dialled, tls.is_unified, tls.reloads), (true, false, false));
    assert_eq!((tls.checks_dialled, tls.checks_dialling), (true, true));
    assert_eq!(tls.settings.key_store.path, Path::new("/k"));
    assert_eq!(tls.settings.trust_store.unwrap().path, Path::new("/t"));
    assert_eq!((tls.settings.client_auth, tls.settings.crl_file), (ClientAuth::Need, None));
    assert_eq!(tls.settings.protocols, Protocols::default());
    assert_eq!(tls.settings.cipher_suites, CipherSuites::default());
}

#[test]
fn every_key_of_tls_between_servers_reaches_its_field() {
    for (lines, check) in CASES {
        let tls = tls(&format!("{STORES}{lines}\n")).unwrap();
        assert!(check(&tls), "{lines}: {tls:?}");
    }
}

/// As in ZooKeeper, keys of TLS alone ask for none; and one server talks to no other.
#[test]
fn tls_between_servers_is_off_unless_it_is_asked_for() {
    let stores = "ssl.quorum.keyStore.location=/k\nssl.quorum.trustStore.location=/t\nssl.quorum.ocsp=true\n";
    let shown = warnings(&format!("{MEMBERS}sslQuorum=false\nportUnification=no\n{stores}"));
    let off = "has no effect: sslQuorum and portUnification are off";
    assert!(
        shown.iter().any(|line| line.contains(&format!("ssl.quorum.keyStore.location {off}"))),
        "{shown:?}"
    );
    assert_eq!(tls(stores), None);
    let shown = warnings(STORES);
    let alone = "sslQuorum has no effect: there is one server";
    assert!(shown.iter().any(|line| line.contains(alone)), "{shown:?}");
    assert_eq!(load(STORES).unwrap().config.quorum_tls, None);
}

#[test]
fn certificates_that_are_not_asked_for_are_a_warning() {
    let shown = warnings(&format!("{MEMBERS}{STORES}ssl.quorum.clientAuth=want\n"));
    assert!(shown.iter().any(|line| line.starts_with("ssl.quorum.clientAuth: servers that")), "{shown:?}");
}

#[test]
fn what_tls_between_servers_cannot_do_is_refused_by_name() {
    for (lines, key, expected) in [
        ("sslQuorum=true\nssl.quorum.trustStore.location=/t", "ssl.quorum.keyStore.location", "is not set"),
        (
            "portUnification=true\nssl.quorum.keyStore.location=/k",
            "ssl.quorum.trustStore.location",
            "is not set",
        ),
        ("sslQuorum=maybe", "sslQuorum", "must be true or false"),
        (&format!("{STORES}ssl.quorum.ocsp=true"), "ssl.quorum.ocsp", "is not supported"),
        (&format!("{STORES}ssl.quorum.crl=true"), "ssl.quorum.crl", "is not supported"),
        (
            &format!("{STORES}ssl.quorum.context.supplier.class=a.B"),
            "ssl.quorum.context.supplier.class",
            "Java classes",
        ),
        (
            &format!("{STORES}ssl.quorum.keyStore.type=BCFKS"),
            "ssl.quorum.keyStore.type",
            "must be JKS or PEM",
        ),
        (&format!("{STORES}ssl.quorum.clientAuth=maybe"), "ssl.quorum.clientAuth", "must be none or want"),
        (
            &format!("{STORES}ssl.quorum.enabledProtocols=TLSv1.1"),
            "ssl.quorum.enabledProtocols",
            "there are TLSv1.2, TLSv1.3",
        ),
        (
            &format!("{STORES}ssl.quorum.ciphersuites=TLS_RSA_WITH_AES_128_CBC_SHA"),
            "ssl.quorum.ciphersuites",
            "TLS_RSA_WITH_AES_128_CBC_SHA does not exist here",
        ),
    ] {
        let problems = problems_of(load(&format!("{MEMBERS}{lines}\n")));
        assert_eq!(problems.len(), 1, "{lines}: {problems:?}");
        assert_eq!(problems[0].key, key, "{lines}");
        assert!(problems[0].to_string().contains(expected), "{lines}: {}", problems[0]);
    }
}

#[test]
fn passwords_of_stores_between_servers_are_shown_nowhere() {
    let passwords = "ssl.quorum.keyStore.password=hunter2\nssl.quorum.trustStore.password=hunter2\n";
    let loaded = load(&format!("{MEMBERS}{STORES}{passwords}"));
    assert!(!format!("{loaded:?}").contains("hunter2"), "{loaded:?}");
}

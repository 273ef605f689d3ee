//! TLS of the AdminServer.

use ::tls::{ClientAuth, Protocols, Secret};

use super::*;

const STORES: &str = "ssl.quorum.keyStore.location=/k\nssl.quorum.trustStore.location=/t\n";

type Check = fn(&AdminTls) -> bool;

/// Lines added to [`STORES`], and what they lead to.
const CASES: &[(&str, Check)] = &[
    ("admin.portUnification=true", |c| !c.is_forced && c.settings.client_auth == ClientAuth::None),
    ("admin.forceHttps=TRUE", |c| c.is_forced),
    ("admin.portUnification=true\nadmin.forceHttps=true", |c| c.is_forced),
    ("admin.forceHttps=true\nadmin.needClientAuth=true", |c| c.settings.client_auth == ClientAuth::Need),
    // It is about servers that connect to this one.
    ("admin.forceHttps=true\nssl.quorum.clientAuth=need", |c| c.settings.client_auth == ClientAuth::None),
    ("admin.forceHttps=true\nsslQuorumReloadCertFiles=true", |c| c.reloads),
    ("admin.forceHttps=true\nssl.quorum.keyStore.password=p", |c| {
        c.settings.key_store.password == Secret::new("p")
    }),
    ("admin.forceHttps=true\nssl.quorum.enabledProtocols=TLSv1.3", |c| {
        c.settings.protocols == Protocols::listed("TLSv1.3").unwrap()
    }),
];

/// Whether a test here covers the key.
pub(super) fn has_case(key: &str) -> bool {
    CASES.iter().flat_map(|(lines, _)| lines.lines()).any(|line| line.starts_with(key))
}

fn load(lines: &str) -> Result<Loaded, ConfigError> {
    load_text(&format!("dataDir=/d\nclientPort=2181\n{lines}"), &[], &[])
}

fn warnings(lines: &str) -> Vec<String> {
    load(lines).unwrap().warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn every_key_of_tls_of_the_admin_server_reaches_its_field() {
    for (lines, check) in CASES {
        let tls = load(&format!("{STORES}{lines}\n")).unwrap().config.admin_tls.unwrap();
        assert!(check(&tls), "{lines}: {tls:?}");
        assert_eq!(tls.settings.key_store.path, Path::new("/k"));
        assert_eq!(tls.settings.trust_store.unwrap().path, Path::new("/t"));
    }
}

#[test]
fn tls_of_the_admin_server_is_off_unless_it_is_asked_for() {
    for lines in [
        "admin.forceHttps=false\nadmin.portUnification=yes\n",
        "admin.needClientAuth=true\n",
        "admin.enableServer=false\nadmin.forceHttps=true\nadmin.needClientAuth=true\n",
    ] {
        assert_eq!(load(lines).unwrap().config.admin_tls, None, "{lines}");
    }
    let idle = warnings("admin.enableServer=false\nadmin.forceHttps=true\nadmin.needClientAuth=true\n");
    for key in ["admin.forceHttps", "admin.needClientAuth"] {
        let off = format!("{key}: has no effect: the AdminServer is off");
        assert!(idle.iter().any(|line| line.contains(&off)), "{idle:?}");
    }
}

/// The keys are those of TLS between servers, of which there may be none.
#[test]
fn stores_that_only_the_admin_server_uses_are_no_warnings() {
    let shown = warnings(&format!(
        "{STORES}admin.forceHttps=true\nsslQuorumReloadCertFiles=true\nssl.quorum.hostnameVerification=true\n"
    ));
    let quorum: Vec<_> = shown.iter().filter(|line| line.contains("uorum")).collect();
    assert_eq!(quorum.len(), 1, "{shown:?}");
    assert!(quorum[0].contains("ssl.quorum.hostnameVerification has no effect: there is one server"));
}

#[test]
fn a_certificate_that_plaintext_makes_needless_is_a_warning() {
    let shown = warnings(&format!("{STORES}admin.portUnification=true\nadmin.needClientAuth=true\n"));
    let expected = "admin.needClientAuth: a connection without TLS needs no certificate";
    assert!(shown.iter().any(|line| line.starts_with(expected)), "{shown:?}");
    let shown = warnings(&format!("{STORES}admin.forceHttps=true\nadmin.needClientAuth=true\n"));
    assert!(!shown.iter().any(|line| line.contains("needClientAuth")), "{shown:?}");
}

#[test]
fn tls_of_the_admin_server_needs_its_stores() {
    let both = "initLimit=10\nsyncLimit=5\nserver.1=a:2888:3888\nserver.2=b:2888:3888\nsslQuorum=true\n";
    for (lines, key) in [
        ("admin.forceHttps=true\n", "ssl.quorum.keyStore.location"),
        (
            "admin.forceHttps=true\nadmin.needClientAuth=true\nssl.quorum.keyStore.location=/k\n",
            "ssl.quorum.trustStore.location",
        ),
        (
            &format!("admin.portUnification=true\nssl.quorum.trustStore.location=/t\n{both}"),
            "ssl.quorum.keyStore.location",
        ),
    ] {
        let problems = problems_of(load_text(
            &format!("dataDir=/d\nclientPort=2181\n{lines}"),
            &[("/d/myid", "1")],
            &[],
        ));
        assert_eq!(problems.len(), 1, "{lines}: {problems:?}");
        assert_eq!(problems[0].key, key, "{lines}");
    }
    let alone = "admin.forceHttps=true\nssl.quorum.keyStore.location=/k\n";
    assert_eq!(load(alone).unwrap().config.admin_tls.unwrap().settings.trust_store, None);
}

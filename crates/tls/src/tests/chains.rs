//! Which chains are trusted, compared with Java's own answer.

use rustls::CertificateError;
use rustls::crypto::ring;

use super::{Workshop, have, now, source};
use crate::certificate::AlternativeName;
use crate::is_valid_for;
use crate::revocation::RevocationList;
use crate::settings::revocation_lists;
use crate::trust::{Party, TrustStore};

const CA: &str = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n";
const NO_PATH: &str = "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=keyCertSign\n";
const CLIENT: &str = "extendedKeyUsage=clientAuth\nkeyUsage=digitalSignature\n";

/// The certificates, the trusted ones and the chain by their names.
fn make(workshop: &Workshop) {
    let certificate = |name: &str, issuer: Option<&str>, extensions: &str| {
        workshop.certificate(name, &format!("/O=Ostler/CN={name}"), issuer, extensions);
    };
    certificate("root", None, CA);
    certificate("other", None, CA);
    certificate("root1", None, "");
    certificate("nosign", None, "basicConstraints=CA:TRUE\nkeyUsage=cRLSign\n");
    certificate("middle", Some("root"), CA);
    certificate("last", Some("middle"), NO_PATH);
    certificate("toofar", Some("last"), CA);
    certificate("noca", Some("root"), "basicConstraints=CA:FALSE\n");
    certificate("middle1", Some("root"), "");
    certificate("named", Some("root"), &format!("{CA}nameConstraints=critical,permitted;DNS:example.org\n"));
    for (name, issuer) in [
        ("plain", "root"),
        ("deep", "last"),
        ("deeper", "toofar"),
        ("undernoca", "noca"),
        ("under1", "middle1"),
        ("underroot1", "root1"),
        ("undernosign", "nosign"),
        ("undernamed", "named"),
    ] {
        certificate(name, Some(issuer), CLIENT);
    }
    certificate("v1", Some("root"), "");
    certificate("bare", Some("root"), "subjectAltName=DNS:bare.example.org\n");
    certificate("serveronly", Some("root"), "extendedKeyUsage=serverAuth\n");
    certificate("anyuse", Some("root"), "extendedKeyUsage=anyExtendedKeyUsage\n");
    certificate("encrypts", Some("root"), "keyUsage=keyEncipherment\n");
    certificate("unknown", Some("root"), "1.2.3.4=critical,DER:0500\n");
    certificate("harmless", Some("root"), "1.2.3.4=DER:0500\n");
    certificate("own", None, "");
    certificate("ownca", None, CA);
}

/// Trusted certificates, the chain, and whether it is trusted, in Java too.
const CHAINS: &[(&[&str], &[&str], bool)] = &[
    (&["root"], &["plain"], true),
    (&["other", "root"], &["plain", "root"], true),
    (&["other"], &["plain"], false),
    (&["other"], &["plain", "root"], false),
    (&["root"], &["v1"], true),
    (&["root"], &["bare"], true),
    (&["root"], &["serveronly"], false),
    (&["root"], &["anyuse"], true),
    (&["root"], &["encrypts"], false),
    (&["root"], &["unknown"], false),
    (&["root"], &["harmless"], true),
    (&["own"], &["own"], true),
    (&["ownca"], &["ownca"], true),
    (&["root"], &["own"], false),
    (&["serveronly"], &["serveronly"], true),
    (&["root"], &["deep", "last", "middle"], true),
    (&["root"], &["deep", "middle", "last"], true),
    (&["root"], &["deep", "last"], false),
    (&["middle"], &["deep", "last"], true),
    (&["root"], &["deeper", "toofar", "last", "middle"], false),
    (&["root"], &["undernoca", "noca"], false),
    (&["noca"], &["undernoca"], false),
    (&["root"], &["under1", "middle1"], false),
    (&["middle1"], &["under1"], true),
    (&["root1"], &["underroot1"], true),
    (&["nosign"], &["undernosign"], false),
    // Java evaluates name constraints, with this outcome; here their chains are always refused.
    (&["root"], &["undernamed", "named"], false),
];

fn store(workshop: &Workshop, trusted: &[&str], revoked: Option<Vec<RevocationList>>) -> TrustStore {
    let algorithms = ring::default_provider().signature_verification_algorithms.all;
    TrustStore { trusted: workshop.certificates(trusted), revoked, algorithms }
}

#[test]
fn chains_are_judged_as_java_judges_them() {
    if !have(&["openssl", "java"]) {
        return;
    }
    let workshop = Workshop::new();
    make(&workshop);
    let mut arguments =
        vec!["-XX:TieredStopAtLevel=1".to_owned(), source("Judge.java").display().to_string()];
    for (number, (trusted, chain, expected)) in CHAINS.iter().enumerate() {
        let verdict =
            store(&workshop, trusted, None).verify(&workshop.certificates(chain), now(), Party::Client);
        assert_eq!(verdict.is_ok(), *expected, "{trusted:?} {chain:?}: {verdict:?}");
        for (kind, names) in [("trusted", trusted), ("chain", chain)] {
            let files: Vec<String> = names.iter().map(|name| format!("{name}.pem")).collect();
            let files: Vec<&str> = files.iter().map(String::as_str).collect();
            arguments.push(workshop.join(&files, &format!("{number}.{kind}")).display().to_string());
        }
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let judged = workshop.run("java", &arguments);
    assert_eq!(judged.lines().count(), CHAINS.len());
    for (line, (trusted, chain, expected)) in judged.lines().zip(CHAINS) {
        let name = workshop.certificates(chain)[0].subject_name().to_owned();
        assert_eq!(line, format!("{expected} {name}"), "{trusted:?} {chain:?}");
    }
}

#[test]
fn names_are_written_as_java_writes_them() {
    if !have(&["openssl", "java"]) {
        return;
    }
    let workshop = Workshop::new();
    let subjects = [
        (
            "/C=DE/ST=Hamburg/L=St. Pauli/O=Ostler, Inc./OU=a+OU=b/CN=client",
            "CN=client,OU=a+OU=b,O=Ostler\\, Inc.,L=St. Pauli,ST=Hamburg,C=DE",
        ),
        (
            "/DC=org/DC=example/UID=jo/CN=#x <y>;\\\"z\\\"=1",
            "CN=\\#x \\<y\\>\\;\\\"z\\\"\\=1,UID=jo,DC=example,DC=org",
        ),
        ("/CN=M\u{fc}ller", "CN=M\u{fc}ller"),
        ("/CN=a/emailAddress=a@example.org", "1.2.840.113549.1.9.1=#160d61406578616d706c652e6f7267,CN=a"),
        ("/CN= a ", "CN=\\ a\\ "),
        ("/title=Dr/serialNumber=7/CN=b", "CN=b,2.5.4.5=#130137,2.5.4.12=#0c024472"),
    ];
    let mut arguments = vec![source("Judge.java").display().to_string()];
    for (number, (subject, expected)) in subjects.iter().enumerate() {
        let name = format!("subject{number}");
        workshop.certificate(&name, subject, None, "");
        assert_eq!(workshop.certificates(&[&name])[0].subject_name(), *expected);
        let file = workshop.path(&format!("{name}.pem")).display().to_string();
        arguments.extend([file.clone(), file]);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let judged = workshop
        .run("java", &[&["-Dstdout.encoding=UTF-8", "-Dfile.encoding=UTF-8"], &arguments[..]].concat());
    let expected: Vec<String> = subjects.iter().map(|(_, expected)| format!("true {expected}")).collect();
    assert_eq!(judged.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn a_certificate_is_trusted_only_while_it_is_valid() {
    if !have(&["openssl"]) {
        return;
    }
    let workshop = Workshop::new();
    workshop.certificate("root", "/CN=root", None, CA);
    workshop.certificate("middle", "/CN=middle", Some("root"), CA);
    workshop.certificate("plain", "/CN=plain", Some("middle"), CLIENT);
    let chain = workshop.certificates(&["plain", "middle"]);
    const DAY: i64 = 24 * 60 * 60;
    for trusted in ["root", "plain"] {
        let store = store(&workshop, &[trusted], None);
        assert_eq!(store.verify(&chain, now(), Party::Client), Ok(()));
        assert_eq!(
            store.verify(&chain, now() - DAY, Party::Client),
            Err(CertificateError::NotValidYet),
            "{trusted}"
        );
        assert_eq!(
            store.verify(&chain, now() + 31 * DAY, Party::Client),
            Err(CertificateError::Expired),
            "{trusted}"
        );
    }
}

#[test]
fn a_revoked_certificate_and_one_without_a_list_are_refused() {
    if !have(&["openssl"]) {
        return;
    }
    let workshop = Workshop::new();
    for name in ["root", "other"] {
        workshop.certificate(name, &format!("/CN={name}"), None, CA);
    }
    for (name, issuer) in [("good", "root"), ("bad", "root"), ("elsewhere", "other")] {
        workshop.certificate(name, &format!("/CN={name}"), Some(issuer), CLIENT);
    }
    workshop.write("index.txt", "");
    workshop.write("number", "01\n");
    workshop.write(
        "ca.cnf",
        "[ca]\ndefault_ca=a\n[a]\ndatabase=index.txt\ncrlnumber=number\ndefault_md=sha256\n\
         certificate=root.pem\nprivate_key=root.key\ndefault_crl_days=2\n",
    );
    workshop.run("openssl", &["ca", "-config", "ca.cnf", "-revoke", "bad.pem"]);
    workshop.run("openssl", &["ca", "-config", "ca.cnf", "-gencrl", "-out", "root.crl"]);
    let path = workshop.path("root.crl");
    let lists = revocation_lists(&path, &workshop.read("root.crl")).unwrap();
    workshop.run("openssl", &["crl", "-in", "root.crl", "-outform", "DER", "-out", "root.der"]);
    assert_eq!(revocation_lists(&path, &workshop.read("root.der")).unwrap().len(), 1);
    let store = store(&workshop, &["root", "other"], Some(lists));
    let verdict = |name: &str, now| store.verify(&workshop.certificates(&[name]), now, Party::Client);
    assert_eq!(verdict("good", now()), Ok(()));
    assert_eq!(verdict("bad", now()), Err(CertificateError::Revoked));
    assert_eq!(verdict("elsewhere", now()), Err(CertificateError::UnknownRevocationStatus));
    assert_eq!(verdict("good", now() + 3 * 24 * 60 * 60), Err(CertificateError::ExpiredRevocationList));
}

#[test]
fn a_certificate_is_that_of_the_hosts_it_names() {
    if !have(&["openssl"]) {
        return;
    }
    let workshop = Workshop::new();
    workshop.certificate("common", "/O=zoo9/CN=zoo1", None, "");
    workshop.certificate("address", "/CN=10.1.2.3", None, "");
    workshop.certificate("named", "/CN=zoo1", None, "subjectAltName=DNS:zoo2,IP:10.1.2.3,IP:2001:db8::1\n");
    workshop.certificate("mailed", "/CN=zoo1", None, "subjectAltName=email:a@example.org\n");
    for (name, host, expected) in [
        ("common", "zoo1", true),
        ("common", "zoo9", false),
        ("address", "10.1.2.3", true),
        ("named", "zoo1", false),
        ("named", "zoo2", true),
        ("named", "10.1.2.3", true),
        ("named", "2001:db8:0::1", true),
        ("named", "10.1.2.4", false),
        ("mailed", "zoo1", true),
    ] {
        assert_eq!(is_valid_for(&workshop.certificates(&[name])[0], host), expected, "{name} {host}");
    }
    let named = &workshop.certificates(&["named"])[0];
    let mail = &workshop.certificates(&["mailed"])[0];
    assert_eq!(named.alternative_names()[0], AlternativeName::Dns("zoo2".into()));
    assert_eq!(mail.alternative_names(), [AlternativeName::Other]);
}

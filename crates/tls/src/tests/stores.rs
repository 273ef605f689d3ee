//! Stores that keytool and OpenSSL write.

use super::{PASSWORD, Workshop, have};
use crate::Secret;
use crate::store::{self, Entry, Format, StoreError};

fn keytool(workshop: &Workshop, arguments: &[&str]) {
    let passwords = ["-storepass", PASSWORD, "-keypass", PASSWORD, "-noprompt"];
    workshop.run("keytool", &[arguments, &passwords].concat());
}

/// A key with a certificate of version 3, and a trust store with that certificate.
fn keytool_pair(workshop: &Workshop, kind: &str, options: &[&str]) {
    let (keys, trust) = (format!("{kind}.keys.jks"), format!("{kind}.trust.jks"));
    let of_key =
        ["-genkeypair", "-alias", "me", "-keyalg", "EC", "-dname", "CN=me, O=Ostler", "-keystore", &keys];
    keytool(workshop, &[options, &of_key, &["-storetype", kind]].concat());
    let out = format!("{kind}.pem");
    keytool(workshop, &["-exportcert", "-rfc", "-alias", "me", "-keystore", &keys, "-file", &out]);
    let into = ["-importcert", "-alias", "you", "-file", &out, "-keystore", &trust, "-storetype", kind];
    keytool(workshop, &[options, &into].concat());
}

fn assert_pair(workshop: &Workshop, kind: &str, format: Format) {
    let keys = workshop.read(&format!("{kind}.keys.jks"));
    let trust = workshop.read(&format!("{kind}.trust.jks"));
    assert_eq!((Format::of(&keys), Format::of(&trust)), (Some(format), Some(format)));
    let expected = store::trusted(&workshop.read(&format!("{kind}.pem")), &Secret::default()).unwrap();
    let entry = Entry::read(&keys, &Secret::new(PASSWORD)).unwrap();
    assert_eq!(entry.chain, expected);
    assert_eq!(store::trusted(&trust, &Secret::new(PASSWORD)).unwrap(), expected);
    assert_eq!(Entry::read(&keys, &Secret::new("wrong")).unwrap_err(), StoreError::Password);
    assert_eq!(Entry::read(&trust, &Secret::new(PASSWORD)).unwrap_err(), StoreError::NoKey);
}

#[test]
fn stores_of_keytool_are_told_by_their_content() {
    if !have(&["keytool"]) {
        return;
    }
    let workshop = Workshop::new();
    keytool_pair(&workshop, "JKS", &[]);
    assert_pair(&workshop, "JKS", Format::Jks);
    keytool_pair(&workshop, "PKCS12", &[]);
    assert_pair(&workshop, "PKCS12", Format::Pkcs12);
    let legacy = Workshop::new();
    keytool_pair(&legacy, "PKCS12", &["-J-Dkeystore.pkcs12.legacy"]);
    assert_pair(&legacy, "PKCS12", Format::Pkcs12);
    let key = ["-genseckey", "-alias", "s", "-keyalg", "AES", "-keysize", "128", "-keystore", "ceks"];
    keytool(&workshop, &[&key[..], &["-storetype", "JCEKS"]].concat());
    assert_eq!(Entry::read(&workshop.read("ceks"), &Secret::new(PASSWORD)).unwrap_err(), StoreError::Jceks);
}

#[test]
fn stores_of_openssl_are_read() {
    if !have(&["openssl"]) {
        return;
    }
    let workshop = Workshop::new();
    workshop.certificate("root", "/CN=root", None, "basicConstraints=CA:TRUE\n");
    workshop.certificate("me", "/CN=me", Some("root"), "");
    let chain =
        store::trusted(&[workshop.read("me.pem"), workshop.read("root.pem")].concat(), &Secret::default());
    let (chain, pass) = (chain.unwrap(), format!("pass:{PASSWORD}"));
    let export = ["pkcs12", "-export", "-passout", &pass, "-out"];
    let key = ["-inkey", "me.key", "-in", "me.pem", "-certfile", "root.pem"];
    workshop.run("openssl", &[&export[..], &["new.p12"], &key].concat());
    workshop.run("openssl", &[&export[..], &["old.p12", "-legacy"], &key].concat());
    workshop.run("openssl", &[&export[..], &["trust.p12", "-nokeys", "-in", "root.pem"]].concat());
    let des = ["-v2", "aes-256-cbc"];
    let encrypt = ["pkcs8", "-topk8", "-in", "me.key", "-passout", &pass, "-out", "sealed.key"];
    workshop.run("openssl", &[&encrypt[..], &des].concat());
    workshop.join(&["me.key", "me.pem", "root.pem"], "plain.pem");
    workshop.join(&["me.pem", "root.pem", "sealed.key"], "sealed.pem");
    let password = Secret::new(PASSWORD);
    for name in ["new.p12", "old.p12", "plain.pem", "sealed.pem"] {
        let entry = Entry::read(&workshop.read(name), &password).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(entry.chain, chain, "{name}");
    }
    assert_eq!(store::trusted(&workshop.read("trust.p12"), &password).unwrap(), chain[1..]);
    for name in ["new.p12", "old.p12", "sealed.pem"] {
        let refused = Entry::read(&workshop.read(name), &Secret::new("wrong")).unwrap_err();
        assert_eq!(refused, StoreError::Password, "{name}");
    }
    workshop
        .run("openssl", &["ec", "-in", "me.key", "-aes128", "-passout", &pass, "-out", "traditional.pem"]);
    let refused = Entry::read(&workshop.read("traditional.pem"), &password).unwrap_err();
    assert!(refused.to_string().contains("openssl pkcs8 -topk8"), "{refused}");
}

#[test]
fn what_is_no_store_is_refused() {
    let password = Secret::new(PASSWORD);
    let refused = |bytes: &[u8]| store::trusted(bytes, &password).unwrap_err();
    assert_eq!(refused(b""), StoreError::Format);
    assert_eq!(refused(b"hello"), StoreError::Format);
    assert!(matches!(refused(&[0x30, 0x80, 1]), StoreError::Content(_)));
    assert!(matches!(refused(&[0xfe, 0xed, 0xfe, 0xed, 0]), StoreError::Content(_)));
    assert_eq!(refused(b"-----BEGIN NOTHING-----\n-----END NOTHING-----\n"), StoreError::NoCertificate);
    assert!(matches!(refused(b"-----BEGIN CERTIFICATE-----\n"), StoreError::Content(_)));
}

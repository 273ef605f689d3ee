//! Handshakes in memory, with rustls as the client.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, HandshakeKind, ServerConfig,
    ServerConnection, SignatureScheme,
};

use super::{Workshop, have};
use crate::store::Entry;
use crate::{
    CipherSuites, ClientAuth, ClientSettings, Protocols, Secret, ServerSettings, SettingsError, StoreFile,
};

/// Trusts every server.
#[derive(Debug)]
struct Trusting;

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

fn client_config(entry: Option<Entry>, protocols: Protocols) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_protocol_versions(&protocols.versions()).unwrap();
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(Trusting));
    Arc::new(match entry {
        Some(Entry { key, chain }) => {
            let key = ring::default_provider().key_provider.load_private_key(key).unwrap();
            let resolver = SingleCertAndKey::from(CertifiedKey::new(chain, key));
            builder.with_client_cert_resolver(Arc::new(resolver))
        }
        None => builder.with_no_client_auth(),
    })
}

/// Shakes hands; answers how, and how many certificates the client proved.
fn shake(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>) -> Result<(HandshakeKind, usize), Error> {
    let mut client = ClientConnection::new(Arc::clone(client), "zoo1".try_into().unwrap()).unwrap();
    let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
    let mut wire = Vec::new();
    while client.wants_write() || server.wants_write() {
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        give(&mut wire, |bytes| server.read_tls(bytes));
        server.process_new_packets()?;
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        give(&mut wire, |bytes| client.read_tls(bytes));
        client.process_new_packets()?;
    }
    Ok((server.handshake_kind().unwrap(), server.peer_certificates().map_or(0, <[_]>::len)))
}

fn give(wire: &mut Vec<u8>, mut take: impl FnMut(&mut dyn io::Read) -> io::Result<usize>) {
    let mut rest = &wire[..];
    while !rest.is_empty() {
        take(&mut rest).unwrap();
    }
    wire.clear();
}

fn file(path: PathBuf) -> StoreFile {
    StoreFile { path, password: Secret::default(), password_path: None }
}

/// A server, a client of version 1 and one of version 3, and one that is not trusted.
fn workshop() -> Workshop {
    let workshop = Workshop::new();
    workshop.certificate("root", "/CN=root", None, "basicConstraints=CA:TRUE\n");
    for (name, extensions) in [("server", ""), ("v1", ""), ("v3", "extendedKeyUsage=clientAuth\n")] {
        workshop.certificate(name, &format!("/CN={name}"), Some("root"), extensions);
    }
    workshop.certificate("stranger", "/CN=stranger", None, "");
    for name in ["server", "v1", "v3", "stranger"] {
        workshop.join(&[&format!("{name}.key"), &format!("{name}.pem")], &format!("{name}.both.pem"));
    }
    workshop
}

fn settings(workshop: &Workshop, client_auth: ClientAuth) -> ServerSettings {
    ServerSettings {
        key_store: file(workshop.path("server.both.pem")),
        trust_store: Some(file(workshop.path("root.pem"))),
        client_auth,
        crl_file: None,
        strict: false,
        protocols: Protocols::default(),
        cipher_suites: CipherSuites::default(),
    }
}

fn entry(workshop: &Workshop, name: &str) -> Option<Entry> {
    Some(Entry::read(&workshop.read(&format!("{name}.both.pem")), &Secret::default()).unwrap())
}

#[test]
fn clients_prove_themselves_as_asked() {
    if !have(&["openssl"]) {
        return;
    }
    let workshop = workshop();
    for (client_auth, name, is_strict, expected) in [
        (ClientAuth::Need, Some("v3"), false, Some(1)),
        (ClientAuth::Need, Some("v1"), false, Some(1)),
        (ClientAuth::Need, Some("v3"), true, Some(1)),
        (ClientAuth::Need, Some("v1"), true, None),
        (ClientAuth::Need, Some("stranger"), false, None),
        (ClientAuth::Need, None, false, None),
        (ClientAuth::Want, Some("v3"), false, Some(1)),
        (ClientAuth::Want, None, false, Some(0)),
        (ClientAuth::Want, None, true, Some(0)),
        (ClientAuth::Want, Some("stranger"), false, None),
        (ClientAuth::None, Some("v3"), false, Some(0)),
    ] {
        let settings = ServerSettings { strict: is_strict, ..settings(&workshop, client_auth) };
        let server = settings.build().unwrap();
        for protocols in ["TLSv1.2", "TLSv1.3"] {
            let protocols = Protocols::listed(protocols).unwrap();
            let client = client_config(name.and_then(|name| entry(&workshop, name)), protocols);
            let shaken = shake(&client, &server);
            let proven = shaken.as_ref().ok().map(|(_, certificates)| *certificates);
            assert_eq!(proven, expected, "{client_auth:?} {name:?} {is_strict} {protocols:?}: {shaken:?}");
        }
    }
}

/// What makes a client refuse a server; Java's clients of ZooKeeper decide the same.
#[test]
fn servers_are_judged_by_their_certificate_and_their_name() {
    if !have(&["openssl"]) {
        return;
    }
    let workshop = workshop();
    for (name, subject, extensions) in [
        ("named", "/CN=zoo1", ""),
        ("listed", "/CN=other", "subjectAltName=DNS:zoo1,IP:127.0.0.1\n"),
        ("elsewhere", "/CN=zoo1", "subjectAltName=DNS:zoo2\n"),
        ("for-clients", "/CN=zoo1", "extendedKeyUsage=clientAuth\n"),
    ] {
        workshop.certificate(name, subject, Some("root"), extensions);
        workshop.join(&[&format!("{name}.key"), &format!("{name}.pem")], &format!("{name}.both.pem"));
    }
    for (name, trusted, checks_host, expected) in [
        ("named", "root", true, true),
        ("listed", "root", true, true),
        ("listed", "listed", true, true),
        ("elsewhere", "root", true, false),
        ("elsewhere", "root", false, true),
        ("for-clients", "root", true, false),
        ("named", "stranger", true, false),
    ] {
        let key_store = file(workshop.path(&format!("{name}.both.pem")));
        let server = ServerSettings { key_store, ..settings(&workshop, ClientAuth::Need) }.build().unwrap();
        let client = ClientSettings {
            key_store: Some(file(workshop.path("v3.pem"))),
            private_key: Some(workshop.path("v3.key")),
            checks_host,
            ..ClientSettings::trusting(file(workshop.path(&format!("{trusted}.pem"))))
        };
        let shaken = shake(&client.build().unwrap(), &server);
        assert_eq!(shaken.is_ok(), expected, "{name}, {trusted} trusted, {checks_host}: {shaken:?}");
    }
}

#[test]
fn a_new_configuration_accepts_no_ticket_of_the_old() {
    if !have(&["openssl"]) {
        return;
    }
    let workshop = workshop();
    let settings = settings(&workshop, ClientAuth::Need);
    let old = settings.build().unwrap();
    for protocols in ["TLSv1.2", "TLSv1.3"] {
        let client = client_config(entry(&workshop, "v3"), Protocols::listed(protocols).unwrap());
        let mut kinds = Vec::new();
        for server in [&old, &old, &settings.build().unwrap()] {
            let (kind, certificates) = shake(&client, server).unwrap();
            assert_eq!(certificates, 1, "a resumed session keeps the client's certificate");
            kinds.push(kind);
        }
        assert_eq!(kinds[..2], [HandshakeKind::Full, HandshakeKind::Resumed], "{protocols}");
        assert_eq!(kinds[2], HandshakeKind::Full, "{protocols}");
    }
}

#[test]
fn files_that_do_not_fit_together_are_refused_by_name() {
    if !have(&["openssl"]) {
        return;
    }
    let workshop = workshop();
    workshop.join(&["v1.key", "server.pem"], "mixed.pem");
    workshop.write("password", "nothing\n");
    let good = settings(&workshop, ClientAuth::Need);
    let key_store = |name: &str| ServerSettings { key_store: file(workshop.path(name)), ..good.clone() };
    let refused = |settings: ServerSettings| settings.build().unwrap_err().to_string();
    assert!(
        refused(key_store("mixed.pem"))
            .ends_with("mixed.pem: its private key is not that of its certificate")
    );
    assert!(refused(key_store("root.pem")).ends_with("root.pem: it has no private key with a certificate"));
    assert!(refused(key_store("missing.pem")).contains("missing.pem: No such file"));
    let without = ServerSettings { trust_store: None, ..good.clone() };
    assert!(matches!(without.build(), Err(SettingsError::NoTrustStore)));
    let crl = ServerSettings { crl_file: Some(workshop.path("root.pem")), ..good.clone() };
    assert!(refused(crl).ends_with("it has no revocation list"));
    let mut elsewhere = good.clone();
    elsewhere.key_store.password_path = Some(workshop.path("password"));
    elsewhere.build().unwrap();
    let paths = elsewhere.files().paths();
    assert_eq!(
        paths,
        [&workshop.path("server.both.pem"), &workshop.path("password"), &workshop.path("root.pem")]
    );
}

//! Certificates and stores, made by OpenSSL and keytool for one test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tempfile::TempDir;

use crate::process::private_folder;

/// The password of all stores.
pub const PASSWORD: &str = "changeit";

/// How a store is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// Text.
    Pem,
    /// PKCS #12, by OpenSSL and keytool.
    Pkcs12,
    /// Java's own format.
    Jks,
}

impl Store {
    /// How the names of such files end, by which ZooKeeper tells them.
    pub fn ending(self) -> &'static str {
        match self {
            Store::Pem => "pem",
            Store::Pkcs12 => "p12",
            Store::Jks => "jks",
        }
    }
}

/// A folder with an authority, and certificates that it has signed.
#[derive(Debug)]
pub struct Certificates(TempDir);

impl Certificates {
    /// An authority, `ca.pem`.
    pub fn new() -> Certificates {
        let certificates = Certificates(private_folder());
        certificates.request("ca", "/O=Ostler/CN=authority");
        certificates.write("ca.ext", "basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign,cRLSign\n");
        let sign = "x509 -req -in ca.csr -signkey ca.key -days 30 -out ca.pem -extfile ca.ext";
        certificates.run("openssl", sign);
        certificates
    }

    /// A file in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("write a file");
    }

    fn run(&self, program: &str, arguments: &str) {
        self.run_with(program, arguments, &[]);
    }

    fn run_with(&self, program: &str, arguments: &str, last: &[&str]) {
        let mut command = Command::new(program);
        command.args(arguments.split(' ')).args(last).current_dir(self.0.path());
        let output = command.output().unwrap_or_else(|error| panic!("{program}: {error}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments}: {said}");
    }

    fn request(&self, name: &str, subject: &str) {
        let key = format!("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out {name}.key");
        self.run("openssl", &key);
        let request = format!("req -new -key {name}.key -out {name}.csr -subj");
        self.run_with("openssl", &request, &[subject]);
    }

    /// Makes `NAME.key`, `NAME.crt` and both in `NAME.pem`. Without extensions the certificate is
    /// of X.509 version 1.
    pub fn issue(&self, name: &str, subject: &str, extensions: &str) {
        self.request(name, subject);
        let mut sign = format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -out {name}.crt"
        );
        if !extensions.is_empty() {
            self.write("extensions", extensions);
            sign.push_str(" -extfile extensions");
        }
        self.run("openssl", &sign);
        let both = [&format!("{name}.key"), &format!("{name}.crt")]
            .map(|file| fs::read_to_string(self.path(file)).expect("a file"));
        self.write(&format!("{name}.pem"), &both.concat());
    }

    /// The certificate of a name, and its key, as a store.
    pub fn key_store(&self, name: &str, store: Store) -> PathBuf {
        let path = self.path(&format!("{name}.{}", store.ending()));
        if store == Store::Pem || path.exists() {
            return path;
        }
        let export = format!("pkcs12 -export -name me -inkey {name}.key -in {name}.crt -out {name}.p12");
        self.run("openssl", &format!("{export} -certfile ca.pem -passout pass:{PASSWORD}"));
        if store == Store::Jks {
            let from = format!("-srckeystore {name}.p12 -srcstoretype PKCS12 -srcstorepass {PASSWORD}");
            let into = format!("-destkeystore {name}.jks -deststoretype JKS -deststorepass {PASSWORD}");
            self.run("keytool", &format!("-importkeystore {from} {into} -noprompt"));
        }
        path
    }

    /// The certificate of the authority as a store.
    pub fn trust_store(&self, store: Store) -> PathBuf {
        let path = match store {
            Store::Pem => return self.path("ca.pem"),
            Store::Pkcs12 | Store::Jks => self.path(&format!("trust.{}", store.ending())),
        };
        if !path.exists() {
            let (kind, file) = (store.ending(), path.display());
            let kind = if kind == "p12" { "PKCS12" } else { "JKS" };
            let into = format!("-keystore {file} -storetype {kind} -storepass {PASSWORD}");
            self.run("keytool", &format!("-importcert -alias ca -file ca.pem {into} -noprompt"));
        }
        path
    }

    /// The client's side of TLS with the certificate of a name, for servers that the authority has
    /// signed.
    pub fn client(&self, name: &str) -> Arc<ClientConfig> {
        let mut trusted = RootCertStore::empty();
        let all = CertificateDer::pem_file_iter(self.path("ca.pem")).expect("ca.pem");
        trusted.add_parsable_certificates(all.map(|one| one.expect("a certificate")));
        let (own, key) = self.own(name);
        let config = ClientConfig::builder().with_root_certificates(trusted);
        Arc::new(config.with_client_auth_cert(own, key).expect("a key and its certificate"))
    }

    /// A server's side of TLS with the certificate of a name, for any client.
    pub fn server(&self, name: &str) -> Arc<ServerConfig> {
        let (own, key) = self.own(name);
        let config = ServerConfig::builder().with_no_client_auth();
        Arc::new(config.with_single_cert(own, key).expect("a key and its certificate"))
    }

    fn own(&self, name: &str) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let own = CertificateDer::from_pem_file(self.path(&format!("{name}.crt"))).expect("its certificate");
        let key = PrivateKeyDer::from_pem_file(self.path(&format!("{name}.key"))).expect("its key");
        (vec![own], key)
    }

    /// Settings of a server that speaks TLS on its client port, with stores of this kind. Netty
    /// makes them settings of ZooKeeper too.
    pub fn server_settings(&self, name: &str, store: Store) -> Vec<(String, String)> {
        let shown = |path: &Path| path.display().to_string();
        let password = if store == Store::Pem { "" } else { PASSWORD };
        [
            ("serverCnxnFactory", "org.apache.zookeeper.server.NettyServerCnxnFactory".to_owned()),
            ("client.portUnification", "true".to_owned()),
            ("authProvider.x509", "org.apache.zookeeper.server.auth.X509AuthenticationProvider".to_owned()),
            ("ssl.keyStore.location", shown(&self.key_store(name, store))),
            ("ssl.keyStore.password", password.to_owned()),
            ("ssl.trustStore.location", shown(&self.trust_store(store))),
            ("ssl.trustStore.password", password.to_owned()),
        ]
        .map(|(key, value)| (format!("zookeeper.{key}"), value))
        .to_vec()
    }
}

impl Default for Certificates {
    fn default() -> Certificates {
        Certificates::new()
    }
}

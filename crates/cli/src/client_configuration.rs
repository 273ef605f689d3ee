//! A client's configuration file, as ZooKeeper's (`zkCli.sh -client-configuration FILE`): the keys
//! of TLS in it. All others are settings of the Java client and count for nothing here.

use std::io;
use std::path::{Path, PathBuf};

use client::{CipherSuites, ClientSettings, Protocols, Secret, StoreFile, UnknownName};
use server::config::properties::{self, Entry};

/// What the keys of TLS begin with.
const TLS: &str = "zookeeper.ssl.";
const SECURE: &str = "zookeeper.client.secure";

/// Larger files are no configuration.
const BYTES_MAX: u64 = 1 << 20;

/// Keys of TLS that change nothing here, whatever they say: they are the server's, or about what
/// does not exist here.
const IDLE: [&str; 8] = [
    "allowReverseDnsLookup",
    "authProvider",
    "clientAuth",
    "clientHostnameVerification",
    "handshakeDetectionTimeoutMillis",
    "sslProvider",
    "tcnative.ocsp",
    "fips-mode",
];

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigurationError {
    /// It cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// It is no properties file.
    #[error("{}: {why}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, and in which line.
        why: String,
    },
    /// A key asks for what cannot be done.
    #[error("{}: {key} {why}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What is wrong. Never the value, which may be a password.
        why: String,
    },
}

/// What a file asks for.
#[derive(Debug)]
pub(crate) struct Configuration {
    /// TLS; `None` without `zookeeper.client.secure=true`.
    pub(crate) tls: Option<ClientSettings>,
    /// The file has keys of TLS all the same.
    pub(crate) has_idle_tls: bool,
}

/// Reads a file.
///
/// # Errors
/// It cannot be read, is malformed, or asks for what is not possible here.
pub(crate) fn read(path: &Path) -> Result<Configuration, ConfigurationError> {
    let failed = |source| ConfigurationError::Read { path: path.to_owned(), source };
    if std::fs::metadata(path).map_err(failed)?.len() > BYTES_MAX {
        return Err(failed(io::Error::other(format!("it has more than {BYTES_MAX} bytes"))));
    }
    let text = properties::decode(&std::fs::read(path).map_err(failed)?);
    let entries = properties::parse(&text)
        .map_err(|why| ConfigurationError::Malformed { path: path.to_owned(), why: why.to_string() })?;
    File { path, entries }.configuration()
}

struct File<'a> {
    path: &'a Path,
    entries: Vec<Entry>,
}

impl File<'_> {
    fn configuration(&self) -> Result<Configuration, ConfigurationError> {
        let is_secure = self.text(SECURE).is_some_and(|text| text.eq_ignore_ascii_case("true"));
        if !is_secure {
            let has_idle_tls = self.entries.iter().any(|entry| entry.key.starts_with(TLS));
            return Ok(Configuration { tls: None, has_idle_tls });
        }
        self.refuse_what_is_missing()?;
        let trust_store = self.store("trustStore")?.ok_or_else(|| {
            let why = "is not set; it must be the certificates by which servers are judged";
            self.refused("trustStore.location", why)
        })?;
        let tls = ClientSettings {
            key_store: self.store("keyStore")?,
            checks_host: self
                .tls_text("hostnameVerification")
                .is_none_or(|text| text.eq_ignore_ascii_case("true")),
            protocols: self.protocols()?,
            cipher_suites: self.listed("ciphersuites", CipherSuites::listed)?.unwrap_or_default(),
            ..ClientSettings::trusting(trust_store)
        };
        Ok(Configuration { tls: Some(tls), has_idle_tls: false })
    }

    /// The last value of a key; `None` if it is empty.
    fn text(&self, key: &str) -> Option<&str> {
        let entry = self.entries.iter().rev().find(|entry| entry.key == key)?;
        Some(&*entry.value).filter(|value| !value.is_empty())
    }

    fn tls_text(&self, key: &str) -> Option<&str> {
        self.text(&format!("{TLS}{key}"))
    }

    fn refused(&self, key: &str, why: impl Into<String>) -> ConfigurationError {
        ConfigurationError::Key { path: self.path.to_owned(), key: format!("{TLS}{key}"), why: why.into() }
    }

    /// No key of TLS is ignored that would have an effect in ZooKeeper's client.
    fn refuse_what_is_missing(&self) -> Result<(), ConfigurationError> {
        for key in ["crl", "ocsp"] {
            if self.tls_text(key).is_some_and(|text| text.eq_ignore_ascii_case("true")) {
                return Err(self.refused(key, "is not supported: revocation is not checked by clients"));
            }
        }
        if self.tls_text("context.supplier.class").is_some() {
            let why = "is not supported: Java classes cannot be loaded";
            return Err(self.refused("context.supplier.class", why));
        }
        for entry in &self.entries {
            let Some(key) = entry.key.strip_prefix(TLS) else { continue };
            if !is_known(key) {
                return Err(self.refused(key, "is not a key of ZooKeeper's client"));
            }
        }
        Ok(())
    }

    /// A key or trust store. Its content says what it is, so its type is only checked.
    fn store(&self, name: &str) -> Result<Option<StoreFile>, ConfigurationError> {
        let kind = format!("{name}.type");
        let is_known =
            |text: &str| ["JKS", "PEM", "PKCS12"].iter().any(|kind| kind.eq_ignore_ascii_case(text));
        if self.tls_text(&kind).is_some_and(|text| !is_known(text)) {
            return Err(self.refused(&kind, "must be JKS, PEM or PKCS12"));
        }
        let location = self.tls_text(&format!("{name}.location"));
        Ok(location.map(|path| StoreFile {
            path: path.into(),
            password: Secret::new(self.tls_text(&format!("{name}.password")).unwrap_or_default()),
            password_path: self.tls_text(&format!("{name}.passwordPath")).map(PathBuf::from),
        }))
    }

    fn protocols(&self) -> Result<Protocols, ConfigurationError> {
        if let Some(listed) = self.listed("enabledProtocols", Protocols::listed)? {
            return Ok(listed);
        }
        Ok(self.listed("protocol", Protocols::of_context)?.unwrap_or_default())
    }

    /// What the names that a key lists mean.
    fn listed<T>(
        &self,
        key: &str,
        read: fn(&str) -> Result<T, UnknownName>,
    ) -> Result<Option<T>, ConfigurationError> {
        let unknown = |UnknownName { name, known }: UnknownName| {
            self.refused(
                key,
                format!("has {name}, which does not exist here; there are {}", known.join(", ")),
            )
        };
        self.tls_text(key).map(read).transpose().map_err(unknown)
    }
}

/// Whether ZooKeeper's client has this key, or its server.
fn is_known(key: &str) -> bool {
    let of_store = |name: &str| {
        let rest = key.strip_prefix(name).unwrap_or_default();
        [".location", ".password", ".passwordPath", ".type"].contains(&rest)
    };
    let used = ["ciphersuites", "enabledProtocols", "hostnameVerification", "protocol"];
    let refused = ["context.supplier.class", "crl", "ocsp"];
    used.contains(&key)
        || refused.contains(&key)
        || IDLE.contains(&key)
        || key.starts_with("quorum.")
        || of_store("keyStore")
        || of_store("trustStore")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(text: &str) -> Result<Configuration, String> {
        let entries = properties::parse(text).unwrap();
        File { path: Path::new("client.properties"), entries }.configuration().map_err(|e| e.to_string())
    }

    fn secure(lines: &str) -> Result<ClientSettings, String> {
        let text = format!("{SECURE}=true\nzookeeper.ssl.trustStore.location=/t\n{lines}");
        configuration(&text).map(|configuration| configuration.tls.unwrap())
    }

    type Check = fn(&ClientSettings) -> bool;

    #[test]
    fn every_key_reaches_its_field() {
        let cases: &[(&str, Check)] = &[
            ("", |c| c.checks_host && c.key_store.is_none() && c.trust_store.path == Path::new("/t")),
            ("zookeeper.ssl.hostnameVerification=false", |c| !c.checks_host),
            ("zookeeper.ssl.trustStore.password=p", |c| c.trust_store.password == Secret::new("p")),
            ("zookeeper.ssl.trustStore.passwordPath=/p", |c| {
                c.trust_store.password_path.as_deref() == Some(Path::new("/p"))
            }),
            ("zookeeper.ssl.trustStore.type=jks", |_| true),
            ("zookeeper.ssl.keyStore.location=/k\nzookeeper.ssl.keyStore.password=p", |c| {
                let store = c.key_store.as_ref().unwrap();
                store.path == Path::new("/k") && store.password == Secret::new("p")
            }),
            ("zookeeper.ssl.keyStore.location=/k\nzookeeper.ssl.keyStore.passwordPath=/p", |c| {
                c.key_store.as_ref().unwrap().password_path.as_deref() == Some(Path::new("/p"))
            }),
            ("zookeeper.ssl.protocol=TLSv1.2", |c| c.protocols == Protocols::listed("TLSv1.2").unwrap()),
            ("zookeeper.ssl.protocol=TLSv1.2\nzookeeper.ssl.enabledProtocols=TLSv1.3", |c| {
                c.protocols == Protocols::listed("TLSv1.3").unwrap()
            }),
            ("zookeeper.ssl.ciphersuites=TLS_AES_256_GCM_SHA384", |c| {
                c.cipher_suites == CipherSuites::listed("TLS_AES_256_GCM_SHA384").unwrap()
            }),
            // What the Java client needs besides.
            ("zookeeper.clientCnxnSocket=org.apache.zookeeper.ClientCnxnSocketNetty", |_| true),
            ("zookeeper.ssl.quorum.ocsp=true\nzookeeper.ssl.ocsp=false\nzookeeper.ssl.crl=", |_| true),
        ];
        for (lines, check) in cases {
            let settings = secure(lines).unwrap();
            assert!(check(&settings), "{lines}: {settings:?}");
        }
    }

    #[test]
    fn a_file_asks_for_tls_by_one_key() {
        for (text, has_idle_tls) in [
            ("", false),
            ("zookeeper.client.secure=false\nzookeeper.ssl.trustStore.location=/t", true),
            ("zookeeper.ssl.ocsp=true", true),
            ("zookeeper.client.secure=yes", false),
        ] {
            let read = configuration(text).unwrap();
            assert_eq!((read.tls, read.has_idle_tls), (None, has_idle_tls), "{text}");
        }
        assert!(configuration("zookeeper.client.secure: TRUE\nzookeeper.ssl.trustStore.location /t").is_ok());
    }

    #[test]
    fn what_cannot_be_done_is_refused_by_name_and_without_its_value() {
        for (lines, expected) in [
            ("zookeeper.ssl.ocsp=true", "client.properties: zookeeper.ssl.ocsp is not supported"),
            ("zookeeper.ssl.crl=true", "zookeeper.ssl.crl is not supported"),
            ("zookeeper.ssl.context.supplier.class=a.B", "Java classes"),
            ("zookeeper.ssl.keyStore.type=BCFKS", "zookeeper.ssl.keyStore.type must be JKS"),
            ("zookeeper.ssl.enabledProtocols=TLSv1.1", "there are TLSv1.2, TLSv1.3"),
            ("zookeeper.ssl.trustStore.passwd=hunter2", "trustStore.passwd is not a key"),
        ] {
            let refused = secure(lines).unwrap_err();
            assert!(refused.contains(expected) && !refused.contains("hunter2"), "{refused}");
        }
        let refused = configuration("zookeeper.client.secure=true").unwrap_err();
        assert!(refused.contains("zookeeper.ssl.trustStore.location is not set"), "{refused}");
    }
}

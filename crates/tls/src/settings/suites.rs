//! Protocols and cipher suites by the names that Java gives them.

use rustls::crypto::{CryptoProvider, ring};
use rustls::{CipherSuite, SupportedProtocolVersion, version};

/// A name that means nothing here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownName {
    /// The name.
    pub name: String,
    /// The names that there are.
    pub known: Vec<String>,
}

/// The versions of the protocol that are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocols {
    tls12: bool,
    tls13: bool,
}

impl Default for Protocols {
    fn default() -> Protocols {
        Protocols { tls12: true, tls13: true }
    }
}

impl Protocols {
    /// The versions of a list of names separated by commas (`ssl.enabledProtocols`).
    ///
    /// # Errors
    /// One of them is not spoken here, or there is none.
    pub fn listed(names: &str) -> Result<Protocols, UnknownName> {
        let mut protocols = Protocols { tls12: false, tls13: false };
        for name in names.split(',').map(str::trim) {
            match name {
                "TLSv1.2" => protocols.tls12 = true,
                "TLSv1.3" => protocols.tls13 = true,
                _ => return Err(unknown(name, ["TLSv1.2", "TLSv1.3"])),
            }
        }
        Ok(protocols)
    }

    /// The versions that a context of this name speaks in ZooKeeper (`ssl.protocol`): 1.3 brings
    /// 1.2 with it.
    ///
    /// # Errors
    /// It is not spoken here.
    pub fn of_context(name: &str) -> Result<Protocols, UnknownName> {
        match name {
            "TLS" | "TLSv1.3" => Ok(Protocols::default()),
            "TLSv1.2" => Ok(Protocols { tls12: true, tls13: false }),
            _ => Err(unknown(name, ["TLS", "TLSv1.2", "TLSv1.3"])),
        }
    }

    pub(crate) fn versions(self) -> Vec<&'static SupportedProtocolVersion> {
        let all = [(self.tls13, &version::TLS13), (self.tls12, &version::TLS12)];
        all.into_iter().filter(|(spoken, _)| *spoken).map(|(_, version)| version).collect()
    }
}

/// The cipher suites that are used, in order of preference.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct CipherSuites {
    /// `None`: all.
    chosen: Option<Vec<CipherSuite>>,
}

impl CipherSuites {
    /// The suites of a list of names separated by commas (`ssl.ciphersuites`).
    ///
    /// # Errors
    /// One of them does not exist here.
    pub fn listed(names: &str) -> Result<CipherSuites, UnknownName> {
        let all = ring::default_provider().cipher_suites;
        let all: Vec<CipherSuite> = all.iter().map(|suite| suite.suite()).collect();
        let mut chosen = Vec::new();
        for name in names.split(',').map(str::trim) {
            let suite = all.iter().find(|suite| java_name(suite) == name);
            chosen.push(*suite.ok_or_else(|| unknown(name, all.iter().map(java_name)))?);
        }
        Ok(CipherSuites { chosen: Some(chosen) })
    }

    pub(super) fn provider(&self) -> CryptoProvider {
        let mut provider = ring::default_provider();
        if let Some(chosen) = &self.chosen {
            let rank = |suite: CipherSuite| chosen.iter().position(|chosen| *chosen == suite);
            provider.cipher_suites.retain(|suite| rank(suite.suite()).is_some());
            provider.cipher_suites.sort_by_key(|suite| rank(suite.suite()));
        }
        provider
    }
}

/// The name of a suite as the standard and Java have it.
fn java_name(suite: &CipherSuite) -> String {
    let name = format!("{suite:?}");
    match name.strip_prefix("TLS13_") {
        Some(rest) => format!("TLS_{rest}"),
        None => name,
    }
}

fn unknown<N: Into<String>>(name: &str, known: impl IntoIterator<Item = N>) -> UnknownName {
    UnknownName { name: name.to_owned(), known: known.into_iter().map(Into::into).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_have_the_names_of_java() {
        let of = |tls12, tls13| Ok(Protocols { tls12, tls13 });
        assert_eq!(Protocols::listed("TLSv1.2"), of(true, false));
        assert_eq!(Protocols::listed("TLSv1.3, TLSv1.2"), of(true, true));
        assert_eq!(Protocols::of_context("TLSv1.3"), of(true, true));
        assert_eq!(Protocols::of_context("TLSv1.2"), of(true, false));
        let refused = Protocols::listed("TLSv1.2,TLSv1.1").unwrap_err();
        assert_eq!(
            (refused.name.as_str(), refused.known),
            ("TLSv1.1", vec!["TLSv1.2".into(), "TLSv1.3".into()])
        );
        assert!(Protocols::listed("").is_err());
    }

    #[test]
    fn cipher_suites_have_the_names_of_java() {
        let names = "TLS_AES_256_GCM_SHA384,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256";
        let chosen = CipherSuites::listed(names).unwrap().chosen.unwrap();
        assert_eq!(chosen.iter().map(java_name).collect::<Vec<_>>().join(","), names);
        let refused = CipherSuites::listed("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA").unwrap_err();
        assert_eq!(refused.name, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA");
        assert_eq!(refused.known.len(), 9, "{refused:?}");
    }
}

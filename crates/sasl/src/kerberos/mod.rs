//! Names of Kerberos principals, and the identities that clients get from them.

mod rules;

pub use rules::{RuleError, Rules};

/// A name as ZooKeeper takes it apart: `service/host@REALM`, `user@REALM` or `user`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Principal<'a> {
    /// The first component.
    pub service: &'a str,
    /// The second component.
    pub host: Option<&'a str>,
    /// The realm.
    pub realm: Option<&'a str>,
}

impl<'a> Principal<'a> {
    /// The parts of a name; `None` if it has an `@` in the wrong place, or more than two
    /// components before it. Without an `@`, the whole is the first component.
    pub fn parse(name: &'a str) -> Option<Principal<'a>> {
        let Some((components, realm)) = name.split_once('@') else {
            return Some(Principal { service: name, host: None, realm: None });
        };
        let (service, host) = match components.split_once('/') {
            Some((service, host)) => (service, Some(host)),
            None => (components, None),
        };
        let is_plain = |part: &str| !part.contains(['/', '@']);
        (is_plain(realm) && host.is_none_or(is_plain)).then_some(Principal {
            service,
            host,
            realm: Some(realm),
        })
    }
}

/// How a client's identity in the scheme `sasl` follows from the name that it proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naming {
    /// `security.auth_to_local`: replaces the first component.
    pub rules: Rules,
    /// `kerberos.removeHostFromPrincipal`: the identity lacks the host.
    pub remove_host: bool,
    /// `kerberos.removeRealmFromPrincipal`: the identity lacks the realm.
    pub remove_realm: bool,
}

impl Naming {
    /// The identity of a client that proved this name; `None` if the name is malformed. A name to
    /// which no rule applies is its own identity, whatever other name the client asks for.
    pub fn identity(&self, name: &str) -> Option<String> {
        let principal = Principal::parse(name)?;
        let Some(mut identity) = self.rules.short_name(&principal) else { return Some(name.to_owned()) };
        if let Some(host) = principal.host.filter(|_| !self.remove_host) {
            identity = identity + "/" + host;
        }
        if let Some(realm) = principal.realm.filter(|_| !self.remove_realm) {
            identity = identity + "@" + realm;
        }
        Some(identity)
    }
}

#[cfg(test)]
mod tests;

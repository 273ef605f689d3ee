//! Grants: rules on paths, beyond ZooKeeper, that apply on top of ACLs.
//!
//! The rules are the text of one node, [`GRANTS_PATH`], a line per rule:
//!
//! ```text
//! # prefix  permissions  scheme:id
//! /app      cdrwa        sasl:app
//! /app      r            ip:10.0.0.0/8
//! /app/keys -            world:anyone
//! ```
//!
//! The longest prefix of a path that has a rule decides about the path: it permits what the rules
//! of that prefix give to the client's identities, and nothing else. The ACL has to permit it too.
//! A rule concerns the node at its prefix and everything below. Without a rule on a prefix of a
//! path, only the ACL counts; and `super` passes every rule.
//!
//! Rules are in force exactly while the node exists with [`GRANTS_ACL`], an ACL that no client can
//! give to a node: the machine gives it to the node when the super user creates it and the feature
//! `GRANTS` is on. A node with this path and another ACL is a node like any other. The decision is
//! `docs/decisions/0027-grants.md`.

mod text;

use std::collections::BTreeMap;
use std::ops::Bound;

use wire::acl::perms;
use wire::code::ErrorCode;

use crate::auth;
use crate::path_lengths::PathLengths;

pub use text::{BadGrants, BadLine, Grant};

/// The node whose data are the rules.
pub const GRANTS_PATH: &str = "/zookeeper/grants";

/// The ACL of that node while its rules are in force: all permissions for `super`. Who else may use
/// the node is decided by the rules on its path.
pub const GRANTS_ACL: &[u8] = b"\0\0\0\x01\0\0\0\x1f\0\0\0\x05super\0\0\0\0";

/// Maximum length of the text in bytes.
pub const TEXT_BYTES_MAX: usize = 1 << 16;

/// Maximum number of rules.
pub const GRANTS_MAX: usize = 1000;

/// The rules of a text, by prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grants {
    /// Invariant: [`GRANTS_PATH`] is among the prefixes. Without a rule in the text it gives
    /// nothing, so that a rule on a prefix above does not open the rules themselves.
    by_prefix: BTreeMap<Box<str>, Vec<Given>>,
    /// Invariant: the lengths of the prefixes.
    lengths: PathLengths,
}

/// What a rule gives, and to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Given {
    perms: i32,
    scheme: Box<str>,
    id: Box<str>,
}

impl Grants {
    /// The rules of a text.
    ///
    /// # Errors
    /// The first line that is not a rule, or a limit that is exceeded.
    pub fn parse(text: &[u8]) -> Result<Self, BadGrants> {
        let mut by_prefix = BTreeMap::<Box<str>, Vec<Given>>::new();
        by_prefix.insert(GRANTS_PATH.into(), Vec::new());
        text::each_rule(text, |grant| {
            let Grant { prefix, perms, scheme, id } = grant;
            let given = Given { perms, scheme: scheme.into(), id: id.into() };
            by_prefix.entry(prefix.into()).or_default().push(given);
        })?;
        let mut lengths = PathLengths::default();
        by_prefix.keys().for_each(|prefix| lengths.add(prefix));
        Ok(Self { by_prefix, lengths })
    }

    /// The prefix whose rules decide about a path: the longest one that is the path or an ancestor
    /// of it. `None` if there is no rule on the path.
    pub fn deciding(&self, path: &str) -> Option<&str> {
        self.rule_on(path).map(|(prefix, _)| prefix)
    }

    /// The sum of the permissions that a client with these encoded identities has on a path as far
    /// as the rules are concerned: all of them where there is no rule.
    pub fn permitted(&self, path: &str, identities: &[u8]) -> i32 {
        match self.rule_on(path) {
            Some(_) if auth::is_super(identities) => perms::ALL,
            Some((_, given)) => {
                given.iter().filter(|given| given.is_to(identities)).fold(0, |sum, given| sum | given.perms)
            }
            None => perms::ALL,
        }
    }

    /// The prefixes of rules that are strictly below a path.
    pub fn below(&self, path: &str) -> impl Iterator<Item = &str> {
        let top = path.trim_end_matches('/').to_owned() + "/";
        let start = (Bound::Excluded(top.as_str()), Bound::Unbounded);
        let after = self.by_prefix.range::<str, _>(start);
        after.map(|(prefix, _)| &**prefix).take_while(move |prefix| prefix.starts_with(&top))
    }

    fn rule_on(&self, path: &str) -> Option<(&str, &[Given])> {
        // "" is ZooKeeper's internal name of the root. Other paths without a slash have no node.
        let path = if path.is_empty() { "/" } else { path };
        if !path.starts_with('/') {
            return None;
        }
        let mut candidates = self.lengths.candidates(path);
        let found = candidates.find_map(|prefix| self.by_prefix.get_key_value(prefix));
        found.map(|(prefix, given)| (&**prefix, given.as_slice()))
    }
}

impl Given {
    fn is_to(&self, identities: &[u8]) -> bool {
        match &*self.scheme {
            auth::WORLD => true,
            auth::AUTH => auth::decode(identities).any(|(scheme, _)| is_proven(scheme)),
            scheme => auth::decode(identities)
                .any(|(known, id)| known == scheme && auth::matches(scheme, id, &self.id)),
        }
    }
}

/// Whether `auth:` in a rule means identities of this scheme. Any name and password are an identity
/// of `digest`, and an address is one of everybody behind it.
fn is_proven(scheme: &str) -> bool {
    matches!(scheme, auth::SASL | auth::X509)
}

/// Refuses a text that is not rules, so that none is ever stored.
pub(crate) fn check_text(data: Option<&[u8]>) -> Result<(), ErrorCode> {
    Grants::parse(data.unwrap_or_default()).map(drop).map_err(|_| ErrorCode::BadArguments)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Identities;

    fn grants(text: &str) -> Grants {
        Grants::parse(text.as_bytes()).expect("rules")
    }

    fn who(identities: &[(&str, &str)]) -> Identities {
        let mut all = Identities::from_ip("10.1.2.3");
        identities.iter().for_each(|(scheme, id)| all.add(scheme, id));
        all
    }

    #[test]
    fn the_longest_prefix_of_whole_names_decides() {
        let grants = grants("/a r world:anyone\n/a/b - world:anyone\n/a/b/c/d cd world:anyone\n");
        for (path, prefix, perms) in [
            ("/a", Some("/a"), perms::READ),
            ("/a/bb", Some("/a"), perms::READ),
            ("/a/b", Some("/a/b"), 0),
            ("/a/b/c", Some("/a/b"), 0),
            ("/a/b/c/d/e/f", Some("/a/b/c/d"), perms::CREATE | perms::DELETE),
            ("/aa", None, perms::ALL),
            ("/", None, perms::ALL),
            ("", None, perms::ALL),
            ("no path", None, perms::ALL),
        ] {
            assert_eq!(grants.deciding(path), prefix, "{path}");
            assert_eq!(grants.permitted(path, who(&[]).encoded()), perms, "{path}");
        }
    }

    #[test]
    fn a_rule_on_the_root_decides_about_every_other_path() {
        let grants = grants("/ r world:anyone");
        for path in ["", "/", "/a", "/a/b", "/zookeeper", "/zookeeper/config"] {
            assert_eq!(grants.permitted(path, who(&[]).encoded()), perms::READ, "{path}");
        }
    }

    #[test]
    fn rules_on_prefixes_above_do_not_open_the_rules() {
        let open = grants("/ cdrwa world:anyone\n/zookeeper cdrwa world:anyone");
        for path in [GRANTS_PATH, "/zookeeper/grants/x"] {
            assert_eq!(open.permitted(path, who(&[]).encoded()), 0, "{path}");
            assert_eq!(open.permitted(path, who(&[(auth::SUPER, "")]).encoded()), perms::ALL, "{path}");
        }
        let named = grants("/zookeeper/grants rw sasl:ops");
        assert_eq!(named.permitted(GRANTS_PATH, who(&[("sasl", "ops")]).encoded()), 3);
        assert_eq!(named.permitted(GRANTS_PATH, who(&[("sasl", "dev")]).encoded()), 0);
    }

    #[test]
    fn every_scheme_means_its_identities_and_rules_add_up() {
        let grants = grants(
            "/world r world:anyone
             /auth r auth:
             /ip r ip:10.0.0.0/8
             /far r ip:11.0.0.0/8
             /digest r digest:u:h
             /sasl r sasl:bob@REALM
             /x509 r x509:CN=a b,O=c
             /key r key:7
             /sum r world:anyone
             /sum w sasl:bob@REALM
             /sum a sasl:ann",
        );
        let all = [("digest", "u:h"), ("sasl", "bob@REALM"), ("x509", "CN=a b,O=c"), ("key", "7")];
        for path in ["/world", "/auth", "/ip", "/digest", "/sasl", "/x509", "/key"] {
            assert_eq!(grants.permitted(path, who(&all).encoded()), perms::READ, "{path}");
        }
        assert_eq!(grants.permitted("/far", who(&all).encoded()), 0);
        assert_eq!(grants.permitted("/sum", who(&all).encoded()), perms::READ | perms::WRITE);
        for path in ["/auth", "/digest", "/sasl", "/x509", "/key"] {
            assert_eq!(grants.permitted(path, who(&[("digest", "v:h")]).encoded()), 0, "{path}");
        }
        assert_eq!(grants.permitted("/auth", who(&[("x509", "CN=z")]).encoded()), perms::READ);
    }

    #[test]
    fn prefixes_below_a_path() {
        let grants = grants("/a - auth:\n/a/b - auth:\n/a/b/c - auth:\n/ab - auth:\n/ - auth:");
        let below = |path| grants.below(path).collect::<Vec<_>>();
        assert_eq!(below("/a"), ["/a/b", "/a/b/c"]);
        assert_eq!(below("/a/b/c"), [""; 0]);
        assert_eq!(below("/"), ["/a", "/a/b", "/a/b/c", "/ab", GRANTS_PATH]);
        assert_eq!(below(""), below("/"));
    }
}

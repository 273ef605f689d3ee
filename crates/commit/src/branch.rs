//! Resources, and the part of a transaction that happens in one of them.

use std::fmt;

use crate::id::NotOurs;

/// What can take part in transactions: a database, the znodes of an ensemble, a service. Recovery
/// asks every resource of the installation what is prepared in it, so a resource is registered
/// under its name, durably, before it takes part in anything.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceName(String);

/// A text is not the name of a resource.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not the name of a resource: 1 to {max} of a-z, 0-9, '.', '_', '-'",
    max = ResourceName::BYTES_MAX
)]
pub struct BadName(pub String);

impl ResourceName {
    /// Bytes of the longest name: together with a session it fits into the 64 bytes of a `bqual`.
    pub const BYTES_MAX: usize = 40;

    /// The resource of this name.
    ///
    /// # Errors
    /// If it is empty, has more than 40 bytes, or others than lower-case letters, digits, `.`, `_`
    /// and `-`.
    pub fn new(name: &str) -> Result<ResourceName, BadName> {
        let is_allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
        if (1..=ResourceName::BYTES_MAX).contains(&name.len()) && name.bytes().all(is_allowed) {
            Ok(ResourceName(name.to_owned()))
        } else {
            Err(BadName(name.to_owned()))
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ResourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The part of a transaction in one resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Branch {
    /// The resource.
    pub resource: ResourceName,
    /// The resource's own number of the session that prepares it, where a prepared branch may be
    /// bound to that session (the connection id of MariaDB). It is part of the branch's name in the
    /// database, which so tells recovery which session to end.
    pub session: Option<u64>,
}

impl Branch {
    /// The branch's part of its name: `RESOURCE`, or `RESOURCE:SESSION` in hexadecimal. At most 57
    /// bytes.
    pub fn qualifier(&self) -> String {
        match self.session {
            None => self.resource.to_string(),
            Some(session) => format!("{}:{session:x}", self.resource),
        }
    }

    /// The branch with this qualifier.
    ///
    /// # Errors
    /// If no branch has it.
    pub fn from_qualifier(text: &str) -> Result<Branch, NotOurs> {
        let not_ours = || NotOurs::Branch(text.to_owned());
        let (resource, session) = match text.split_once(':') {
            None => (text, None),
            Some((resource, session)) => {
                let number = u64::from_str_radix(session, 16).map_err(|_| not_ours())?;
                (resource, Some(number))
            }
        };
        let branch = Branch { resource: ResourceName::new(resource).map_err(|_| not_ours())?, session };
        // Numbers have one form only.
        if branch.qualifier() == text { Ok(branch) } else { Err(not_ours()) }
    }
}

impl fmt::Display for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.qualifier())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_limits() {
        for good in ["a", "bank-1", "eu.west_1", &"x".repeat(40)] {
            assert_eq!(ResourceName::new(good).map(|n| n.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "Bank", "a b", "a:b", "ä", "a/b", &"x".repeat(41)] {
            assert_eq!(ResourceName::new(bad), Err(BadName(bad.to_owned())));
        }
    }

    #[test]
    fn a_qualifier_has_one_form() {
        for good in ["bank", "bank:0", "bank:2a", "bank:ffffffffffffffff"] {
            assert_eq!(Branch::from_qualifier(good).map(|b| b.qualifier()), Ok(good.to_owned()));
        }
        for bad in
            ["", ":", "bank:", ":2a", "bank:2A", "bank:02", "bank:+2", "bank:2:3", "bank:1ffffffffffffffff"]
        {
            assert_eq!(Branch::from_qualifier(bad), Err(NotOurs::Branch(bad.to_owned())));
        }
    }
}

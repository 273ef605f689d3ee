//! Identities that a session begins with.

use std::fmt;

/// A scheme and what proves an identity to it.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    scheme: String,
    auth: Vec<u8>,
}

impl Credentials {
    /// `auth` is `user:password` for the scheme `digest`.
    pub fn new(scheme: &str, auth: &[u8]) -> Self {
        Self { scheme: scheme.to_owned(), auth: auth.to_vec() }
    }

    pub(crate) fn scheme(&self) -> &str {
        &self.scheme
    }

    pub(crate) fn auth(&self) -> &[u8] {
        &self.auth
    }
}

impl fmt::Debug for Credentials {
    /// Omits what is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("scheme", &self.scheme).finish_non_exhaustive()
    }
}

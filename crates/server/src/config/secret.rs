//! The secret that the servers of an ensemble share.

use std::fmt;

/// The contents of `ostler.quorumSecretFile`. They appear in no message.
#[derive(Clone, PartialEq, Eq)]
pub struct QuorumSecret(Vec<u8>);

impl QuorumSecret {
    /// Fewer bytes can be found by brute force.
    pub const BYTES_MIN: usize = 16;
    /// More is not a secret but a wrong file.
    pub const BYTES_MAX: usize = 4096;

    /// A secret of these bytes without white space around them; `None` if it is too short or too
    /// long.
    pub fn new(bytes: &[u8]) -> Option<QuorumSecret> {
        let bytes = bytes.trim_ascii();
        (Self::BYTES_MIN..=Self::BYTES_MAX).contains(&bytes.len()).then(|| QuorumSecret(bytes.to_vec()))
    }

    /// The bytes of the secret.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for QuorumSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("QuorumSecret(…)")
    }
}

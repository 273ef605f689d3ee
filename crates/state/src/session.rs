//! The replicated part of a session: its existence, timeout and home; and its password.
//!
//! When a session was last heard from, and its connection, are known only to servers.

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use crate::command::{CLUSTER_KEY_BYTES, SessionTerms};
use crate::members::ServerId;
use crate::tree::Owner;

/// Length of a session password in bytes.
pub const PASSWORD_BYTES: usize = 16;

/// A live session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// The session's id.
    pub id: i64,
    /// The negotiated timeout.
    pub timeout_ms: i32,
    /// The server to which its client is connected.
    pub home: ServerId,
}

impl Session {
    pub(crate) fn new(id: i64, terms: SessionTerms) -> Self {
        Self { id, timeout_ms: terms.timeout_ms, home: terms.home }
    }

    /// Whether a session may have this id. Any other id, as the owner of a node, means that the
    /// node has no owner, or is a container or TTL node.
    pub fn may_have(id: i64) -> bool {
        matches!(Owner::from_stored(id), Owner::Ephemeral(_))
    }

    /// The session's terms at its server.
    pub fn terms(&self) -> SessionTerms {
        SessionTerms { timeout_ms: self.timeout_ms, home: self.home }
    }
}

/// How session passwords are derived. In either case a password is a function of replicated state,
/// so that every member can verify the password of a session that moves to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordDerivation {
    /// From the cluster key: no outsider can compute one.
    Keyed,
    /// ZooKeeper's own (`SessionTrackerImpl`, `ZooKeeperServer.generatePasswd`), for sessions
    /// migrated from it. Anyone who knows a session id can compute its password.
    ZooKeeper,
}

pub(crate) fn keyed_password(key: &[u8; CLUSTER_KEY_BYTES], id: i64) -> [u8; PASSWORD_BYTES] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(&id.to_be_bytes());
    let mut password = [0; PASSWORD_BYTES];
    password.copy_from_slice(&mac.finalize().into_bytes()[..PASSWORD_BYTES]);
    password
}

/// `new java.util.Random(id ^ 0xB3415C00L).nextBytes(16)`: a 48-bit linear congruential generator,
/// each step of which gives its upper 32 bits, lowest byte first.
pub fn zookeeper_password(id: i64) -> [u8; PASSWORD_BYTES] {
    const MULTIPLIER: u64 = 0x5_DEEC_E66D;
    const INCREMENT: u64 = 0xB;
    const MASK: u64 = (1 << 48) - 1;
    const SUPER_SECRET: u64 = 0xB341_5C00;
    let mut state = (id.cast_unsigned() ^ SUPER_SECRET ^ MULTIPLIER) & MASK;
    let mut password = [0; PASSWORD_BYTES];
    for chunk in password.chunks_exact_mut(4) {
        state = state.wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT) & MASK;
        chunk.copy_from_slice(&((state >> 16) as u32).to_le_bytes());
    }
    password
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_28_zookeeper_passwords_are_javas_random() {
        // Known values of `new java.util.Random(seed).nextInt()`: 0 gives -1155484576 and
        // -723955400, 42 gives -1170105035 and 234785527. The ids are chosen to produce these
        // seeds.
        for (seed, ints) in [(0i64, [-1_155_484_576i32, -723_955_400]), (42, [-1_170_105_035, 234_785_527])] {
            let password = zookeeper_password(seed ^ 0xB341_5C00);
            assert_eq!(password[..4], ints[0].to_le_bytes());
            assert_eq!(password[4..8], ints[1].to_le_bytes());
        }
    }

    #[test]
    fn rule_28_keyed_passwords_depend_on_key_and_id() {
        let password = keyed_password(&[1; 32], 5);
        assert_eq!(password, keyed_password(&[1; 32], 5));
        assert_ne!(password, keyed_password(&[2; 32], 5));
        assert_ne!(password, keyed_password(&[1; 32], 6));
    }
}

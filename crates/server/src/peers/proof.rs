//! How two servers prove to each other that they belong to one ensemble.
//!
//! A greeting names its sender, but any host can send any name. So after the greetings, and before
//! anything else, the two exchange three records, framed like everything after them:
//!
//! ```text
//! challenge   keys u8 | random [32]                              from the dialling server
//! answer      keys u8 | random [32] | proof [32] | disk [32]     from the dialled server
//! refusal     255 | reason u8                                    instead of an answer
//! confirm     proof [32]                                         from the dialling server
//! ```
//! `keys` tells which keys the sender has: 1 the secret of `ostler.quorumSecretFile`, 2 the key of
//! its cluster, which every member has from the moment it becomes one. The proofs use all keys that
//! both have, and that of the login if there was one ([`sasl`](super::sasl)):
//!
//! ```text
//! key    = HMAC-SHA256(secret or nothing, "ostler quorum key" | cluster key or nothing)
//!       or HMAC-SHA256(secret or nothing, "ostler quorum key after login" | login key
//!                      | cluster key or nothing)
//! proof  = HMAC-SHA256(key, "answer" or "confirm" | both greetings | challenge
//!                      | answer up to its random part)
//! disk   = HMAC-SHA256(nonce of the sender's disk, "disk" | the same)
//! ```
//! Both greetings and both random parts are in each proof, so no proof can be used on another
//! connection, in the other direction or for another server. If both have the key of the cluster
//! and prove it, they are members of one ensemble. Otherwise one of them may be a server about to
//! join, and the two exchange only what joining takes ([`Sender`]). The nonce of a disk is known
//! only to the servers that its own server has told it to, at their known addresses; `disk` shows
//! that messages received on another connection under that nonce come from the server at its own
//! address.
//!
//! This keeps out attackers that can reach a port. It does not keep out attackers that can read or
//! alter the bytes of a connection, unless the connection is encrypted: the exchange takes place
//! inside TLS then.
//!
//! [`Sender`]: crate::transport::Sender

use std::fmt;

use group::message::PeerKey;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use super::greeting::Reason;
use crate::config::QuorumSecret;

type HmacSha256 = Hmac<Sha256>;

/// Bytes of a random part, and of a proof.
pub(super) const PROOF_BYTES: usize = 32;
/// Bytes of the longest record.
pub(super) const RECORD_BYTES_MAX: usize = 1 + 3 * PROOF_BYTES;

const SECRET: u8 = 1;
const CLUSTER: u8 = 2;
const REFUSED: u8 = 255;

/// What a server can prove its identity with.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    /// The secret that the operator has given to all servers.
    pub secret: Option<QuorumSecret>,
    /// Whether servers without that secret are refused.
    pub is_secret_required: bool,
    /// The key of the cluster, if this server is a member.
    pub cluster: Option<PeerKey>,
    /// The nonce of this server's disk.
    pub disk: u64,
}

/// The key that both ends of a connection have after a login by SASL, and nobody else. Not shown by
/// `Debug`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct LoginKey([u8; 32]);

impl LoginKey {
    pub(super) fn new(key: [u8; 32]) -> LoginKey {
        LoginKey(key)
    }
}

impl fmt::Debug for LoginKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoginKey(…)")
    }
}

/// One side's input to the proofs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    keys: u8,
    random: [u8; PROOF_BYTES],
}

/// The messages of both sides, and what came before them.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    /// Of the login by SASL on this connection, if there was one.
    pub(super) login: Option<LoginKey>,
    /// The greetings: of the dialling server, then of the dialled one.
    pub(super) greetings: Vec<u8>,
    pub(super) challenge: Part,
    pub(super) answer: Part,
}

/// A received answer.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) part: Part,
    proof: [u8; PROOF_BYTES],
    pub(super) disk: [u8; PROOF_BYTES],
}

/// A record from the dialled server.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    Answer(Answer),
    Refusal(Reason),
}

impl Keys {
    /// This server's part of a new exchange.
    pub(super) fn part(&self) -> Result<Part, getrandom::Error> {
        let mut random = [0; PROOF_BYTES];
        getrandom::fill(&mut random)?;
        let secret = if self.secret.is_some() { SECRET } else { 0 };
        let cluster = if self.cluster.is_some() { CLUSTER } else { 0 };
        Ok(Part { keys: secret | cluster, random })
    }

    /// Whether a server with this part is acceptable.
    pub(super) fn admit(&self, theirs: Part) -> bool {
        !self.is_secret_required || theirs.keys & SECRET != 0
    }

    /// The key derived from what both sides have; `None` if they have nothing in common.
    fn shared(&self, exchange: &Exchange) -> Option<[u8; PROOF_BYTES]> {
        let both = exchange.challenge.keys & exchange.answer.keys;
        let secret = self.secret.as_ref().filter(|_| both & SECRET != 0);
        let cluster = self.cluster.as_ref().filter(|_| both & CLUSTER != 0);
        if secret.is_none() && cluster.is_none() && exchange.login.is_none() {
            return None;
        }
        let secret = secret.map_or(&[][..], QuorumSecret::bytes);
        let cluster = cluster.map_or(&[][..], |key| key.bytes());
        let key = match &exchange.login {
            None => mac(secret, b"ostler quorum key", &[cluster]),
            Some(LoginKey(login)) => mac(secret, b"ostler quorum key after login", &[login, cluster]),
        };
        Some(key.finalize().into_bytes().into())
    }

    /// The answer to a challenge.
    pub(super) fn answer(&self, exchange: &Exchange) -> Vec<u8> {
        let proof = self.shared(exchange).map_or([0; PROOF_BYTES], |key| exchange.prove(&key, b"answer"));
        let disk = exchange.prove(&self.disk.to_be_bytes(), b"disk");
        [&exchange.answer.encode()[..], &proof, &disk].concat()
    }

    /// The dialling server's last record, if the answer proves what it has to.
    pub(super) fn confirm(&self, exchange: &Exchange, answer: &Answer) -> Option<[u8; PROOF_BYTES]> {
        match self.shared(exchange) {
            None => Some([0; PROOF_BYTES]),
            Some(key) if exchange.is_proof(&key, b"answer", &answer.proof) => {
                Some(exchange.prove(&key, b"confirm"))
            }
            Some(_) => None,
        }
    }

    /// Whether the dialling server's last record proves what it has to.
    pub(super) fn is_confirmed(&self, exchange: &Exchange, proof: &[u8]) -> bool {
        match self.shared(exchange) {
            None => proof.len() == PROOF_BYTES,
            Some(key) => exchange.is_proof(&key, b"confirm", proof),
        }
    }
}

impl Part {
    pub(super) fn encode(self) -> Vec<u8> {
        [&[self.keys][..], &self.random].concat()
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Part> {
        let (keys, random) = bytes.split_first()?;
        let is_known = keys & !(SECRET | CLUSTER) == 0;
        is_known.then_some(Part { keys: *keys, random: random.try_into().ok()? })
    }

    /// Whether its sender is a member of some cluster.
    pub(super) fn is_of_member(self) -> bool {
        self.keys & CLUSTER != 0
    }
}

impl Exchange {
    /// Whether both are members, which their proofs then show.
    pub(super) fn is_of_members(&self) -> bool {
        self.challenge.is_of_member() && self.answer.is_of_member()
    }

    /// Whether the dialled server has proven that its disk has that nonce.
    pub(super) fn is_disk(&self, name: u64, proof: &[u8]) -> bool {
        self.is_proof(&name.to_be_bytes(), b"disk", proof)
    }

    fn mac(&self, key: &[u8], label: &[u8]) -> HmacSha256 {
        mac(key, label, &[&self.greetings, &self.challenge.encode(), &self.answer.encode()])
    }

    fn prove(&self, key: &[u8], label: &[u8]) -> [u8; PROOF_BYTES] {
        self.mac(key, label).finalize().into_bytes().into()
    }

    /// Takes a time independent of where the bytes differ.
    fn is_proof(&self, key: &[u8], label: &[u8], proof: &[u8]) -> bool {
        self.mac(key, label).verify_slice(proof).is_ok()
    }
}

impl Reply {
    pub(super) fn decode(bytes: &[u8]) -> Option<Reply> {
        if let [REFUSED, reason] = bytes {
            return Reason::of_number(*reason).map(Reply::Refusal);
        }
        let (part, proofs) = bytes.split_at_checked(1 + PROOF_BYTES)?;
        let (proof, disk) = proofs.split_at_checked(PROOF_BYTES)?;
        let (proof, disk) = (proof.try_into().ok()?, disk.try_into().ok()?);
        Some(Reply::Answer(Answer { part: Part::decode(part)?, proof, disk }))
    }

    pub(super) fn refusal(reason: Reason) -> [u8; 2] {
        [REFUSED, reason as u8]
    }
}

fn mac(key: &[u8], label: &[u8], parts: &[&[u8]]) -> HmacSha256 {
    let mut mac = HmacSha256::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(label);
    parts.iter().for_each(|part| mac.update(part));
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(secret: Option<&[u8; 16]>, cluster: Option<u8>) -> Keys {
        let secret = secret.and_then(|secret| QuorumSecret::new(secret));
        let cluster = cluster.map(|byte| PeerKey::new([byte; 32]));
        Keys { secret, is_secret_required: false, cluster, disk: 5 }
    }

    /// Whether the dialling and the dialled server each believe the other.
    fn meet(dials: &Keys, dialled: &Keys) -> (bool, bool) {
        let (challenge, answer) = (dials.part().unwrap(), dialled.part().unwrap());
        let exchange = Exchange { login: None, greetings: b"greetings".to_vec(), challenge, answer };
        let Some(Reply::Answer(answer)) = Reply::decode(&dialled.answer(&exchange)) else {
            panic!("an answer reads back");
        };
        let own_confirm = [7; PROOF_BYTES];
        match dials.confirm(&exchange, &answer) {
            Some(confirm) => (true, dialled.is_confirmed(&exchange, &confirm)),
            None => (false, dialled.is_confirmed(&exchange, &own_confirm)),
        }
    }

    #[test]
    fn servers_with_the_same_keys_believe_each_other() {
        let (one, two) = (b"the first secret", b"the other secret");
        for (dials, dialled, believe) in [
            (keys(None, Some(1)), keys(None, Some(1)), true),
            (keys(None, Some(1)), keys(None, Some(2)), false),
            (keys(Some(one), Some(1)), keys(Some(one), Some(1)), true),
            (keys(Some(one), Some(1)), keys(Some(two), Some(1)), false),
            (keys(Some(one), Some(1)), keys(Some(one), Some(2)), false),
            (keys(Some(one), None), keys(Some(one), Some(1)), true),
            (keys(Some(one), None), keys(Some(two), Some(1)), false),
            // They have no key in common, so nothing is claimed.
            (keys(None, None), keys(Some(one), Some(1)), true),
        ] {
            assert_eq!(meet(&dials, &dialled), (believe, believe), "{dials:?}, {dialled:?}");
        }
    }

    #[test]
    fn a_proof_is_of_no_use_anywhere_else() {
        let keys = keys(None, Some(1));
        let (challenge, answer) = (keys.part().unwrap(), keys.part().unwrap());
        let login = Some(LoginKey::new([3; 32]));
        let exchange = Exchange { login, greetings: b"1 to 2".to_vec(), challenge, answer };
        let Some(Reply::Answer(said)) = Reply::decode(&keys.answer(&exchange)) else { panic!() };
        let confirm = keys.confirm(&exchange, &said).unwrap();
        assert!(!keys.is_confirmed(&exchange, &said.proof), "sent back");
        for other in [
            Exchange { greetings: b"1 to 3".to_vec(), ..exchange.clone() },
            Exchange { challenge: keys.part().unwrap(), ..exchange.clone() },
            Exchange { answer: keys.part().unwrap(), ..exchange.clone() },
        ] {
            assert!(keys.confirm(&other, &said).is_none() && !keys.is_confirmed(&other, &confirm));
            assert!(!other.is_disk(5, &said.disk));
        }
        for login in [None, Some(LoginKey::new([4; 32]))] {
            let other = Exchange { login, ..exchange.clone() };
            assert!(keys.confirm(&other, &said).is_none() && !keys.is_confirmed(&other, &confirm));
        }
        assert!(exchange.is_disk(5, &said.disk) && !exchange.is_disk(6, &said.disk));
    }

    /// A stranger that passes on the tokens of two servers does not know the key that they get.
    #[test]
    fn after_a_login_servers_without_a_common_key_prove_that_they_logged_in() {
        let keys = keys(None, None);
        let (challenge, answer) = (keys.part().unwrap(), keys.part().unwrap());
        let exchange = |login| Exchange { login, greetings: b"1 to 2".to_vec(), challenge, answer };
        let logged_in = exchange(Some(LoginKey::new([3; 32])));
        let Some(Reply::Answer(said)) = Reply::decode(&keys.answer(&logged_in)) else { panic!() };
        let confirm = keys.confirm(&logged_in, &said).unwrap();
        assert!(keys.is_confirmed(&logged_in, &confirm));
        assert!(!keys.is_confirmed(&logged_in, &[0; PROOF_BYTES]));
        let Some(Reply::Answer(unknown)) = Reply::decode(&keys.answer(&exchange(None))) else { panic!() };
        assert!(keys.confirm(&logged_in, &unknown).is_none());
        // Random bytes beside it are shown.
        assert!(!format!("{logged_in:?}").contains("3, 3, 3, 3, 3, 3"));
    }

    #[test]
    fn records_of_wrong_lengths_are_refused() {
        let part = keys(None, None).part().unwrap().encode();
        assert!(Part::decode(&part).is_some());
        assert!(Part::decode(&[&[4], &part[1..]].concat()).is_none(), "an unknown key");
        assert!(Part::decode(&part[..32]).is_none() && Part::decode(&[&part[..], &[0]].concat()).is_none());
        for length in 0..RECORD_BYTES_MAX {
            assert!(Reply::decode(&vec![0; length]).is_none(), "{length}");
        }
        assert!(Reply::decode(&[0; RECORD_BYTES_MAX]).is_some());
        assert!(Reply::decode(&[0; RECORD_BYTES_MAX + 1]).is_none());
    }

    #[test]
    fn a_secret_is_long_enough_and_never_shown() {
        assert!(QuorumSecret::new(b" 123456789012345\n").is_none());
        assert_eq!(QuorumSecret::new(b"1234567890123456\n"), QuorumSecret::new(b"1234567890123456"));
        let keys = keys(Some(b"1234567890123456"), Some(49));
        assert!(!format!("{keys:?}").contains("1234") && !format!("{keys:?}").contains("49"));
    }
}

//! Signatures, checked by the algorithms of the cryptographic provider.

use rustls::pki_types::SignatureVerificationAlgorithm;

use crate::certificate::{PublicKey, Signed};

/// The algorithms of a provider.
pub(crate) type Algorithms = &'static [&'static dyn SignatureVerificationAlgorithm];

/// Signatures that may still be checked while one chain is judged: a hostile client could otherwise
/// send certificates that can be combined in very many ways.
#[derive(Debug)]
pub(crate) struct Budget(pub(crate) u32);

/// What a signature proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// The owner of the key has signed.
    Signed,
    /// Somebody else has, or nobody.
    Wrong,
    /// The provider does not have the algorithm, such as SHA-1.
    UnknownAlgorithm,
}

/// Checks whether the owner of `key` has signed.
pub(crate) fn check(
    signed: Signed<'_>,
    key: &PublicKey,
    algorithms: Algorithms,
    budget: &mut Budget,
) -> Proof {
    let mut proof = Proof::UnknownAlgorithm;
    for algorithm in algorithms {
        let is_meant = is_same(algorithm.signature_alg_id().as_ref(), signed.algorithm)
            && is_same(algorithm.public_key_alg_id().as_ref(), &key.algorithm);
        if !is_meant {
            continue;
        }
        let Some(left) = budget.0.checked_sub(1) else { return Proof::Wrong };
        budget.0 = left;
        if algorithm.verify_signature(&key.bits, signed.signed, signed.signature).is_ok() {
            return Proof::Signed;
        }
        proof = Proof::Wrong;
    }
    proof
}

/// Compares two algorithms. Parameters that are null may be left out, as by some old software.
pub(crate) fn is_same(known: &[u8], given: &[u8]) -> bool {
    known == given || known.strip_suffix(&[5, 0]) == Some(given)
}

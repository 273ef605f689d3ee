//! ACLs with names that clients prove by SASL or a certificate.

use super::Random;
use crate::request::AclEntry;

/// Names that users of SASL and subjects of certificates may have, and some that nobody can have.
pub(super) const NAMES: &[(&str, &str)] = &[
    ("sasl", "bob"),
    ("sasl", "bob"),
    ("sasl", "ann"),
    ("sasl", "super"),
    ("sasl", "bob/host@EXAMPLE.ORG"),
    ("sasl", "a@b@c"),
    ("sasl", ""),
    ("x509", "CN=ann,O=Ostler"),
    ("x509", "CN=ann,O=Ostler"),
    ("x509", "CN=bob,O=Ostler"),
    ("x509", "CN=ann, O=Ostler"),
    ("x509", "ann"),
    ("x509", ""),
    ("auth", ""),
];

/// An ACL with identities that clients prove by SASL or a certificate.
pub(super) fn acl(random: &mut Random) -> Vec<AclEntry> {
    let (scheme, id) = random.pick(NAMES);
    let perms = random.pick(&[31, 31, 31, 1, 3]);
    let mut entries = vec![(perms, scheme.to_owned(), id.to_owned())];
    if random.catches_up {
        entries.push((1, "world".to_owned(), "anyone".to_owned()));
    }
    entries
}

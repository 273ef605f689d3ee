//! Evaluating ACLs, and turning a request's ACL into a node's.

use std::borrow::Cow;
use std::collections::BTreeSet;

use wire::acl::{AclList, NullableEntry, encode_count, encode_entry, perms};
use wire::code::ErrorCode;
use wire::jute::{Malformed, Put};

use crate::acl_table::OPEN_BYTES;
use crate::auth::{self, Schemes};
use crate::grants::GRANTS_ACL;

/// The client an operation is executed for.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// Encoded [`Identities`](auth::Identities).
    pub identities: &'a [u8],
    /// Whether ACL checks are disabled (`skipACL`).
    pub skip_acl: bool,
}

impl Asker<'_> {
    /// Whether the ACL with these bytes grants the client one of `perms`. An empty ACL grants
    /// everything. This is half of the answer: operations ask `DataTree::require`, which asks
    /// grants too.
    #[inline]
    pub(crate) fn may(&self, perms: i32, acl: &[u8]) -> bool {
        acl == OPEN_BYTES || self.skip_acl || permits(acl, perms, self.identities)
    }
}

/// Whether an ACL grants one of `perms` to a client with these encoded identities
/// (`ZooKeeperServer.checkACL`). The ACL of the node with the grants grants everything: only grants
/// decide about that node.
pub fn permits(acl: &[u8], perms: i32, identities: &[u8]) -> bool {
    if acl == GRANTS_ACL {
        return true;
    }
    // The table's bytes were validated on receipt; if they are damaged nevertheless, deny access.
    let Ok(list) = AclList::from_raw(acl) else { return false };
    if list.is_empty() || auth::is_super(identities) {
        return true;
    }
    list.nullable().filter(|&(granted, ..)| granted & perms != 0).any(|(_, scheme, expression)| {
        let (Some(scheme), Some(expression)) = (scheme, expression) else { return false };
        (scheme == auth::WORLD && expression == auth::ANYONE)
            || auth::decode(identities)
                .any(|(known, id)| known == scheme && auth::matches(scheme, id, expression))
    })
}

/// Whether an ACL grants every permission to an identity among these encoded ones. What it grants
/// to everyone does not count.
pub(crate) fn permits_all(acl: &[u8], identities: &[u8]) -> bool {
    let Ok(list) = AclList::from_raw(acl) else { return false };
    let is_proven = |(_, scheme, expression): (i32, Option<&str>, Option<&str>)| {
        let (Some(scheme), Some(expression)) = (scheme, expression) else { return false };
        auth::decode(identities).any(|(known, id)| known == scheme && auth::matches(scheme, id, expression))
    };
    let each = [perms::READ, perms::WRITE, perms::CREATE, perms::DELETE, perms::ADMIN];
    auth::is_super(identities)
        || each.iter().all(|perm| list.nullable().filter(|entry| entry.0 & perm != 0).any(is_proven))
}

/// Turns a request's ACL into a node's, as `PrepRequestProcessor.fixupACL` does: duplicates are
/// removed, `auth` is replaced by the client's authenticated identities, every scheme and id must
/// be acceptable, and at least one entry must remain. Allocates only when something is replaced.
pub fn fix_up<'a>(
    requested: AclList<'a>,
    identities: &[u8],
    schemes: Schemes,
) -> Result<Cow<'a, [u8]>, ErrorCode> {
    if requested.raw() == OPEN_BYTES {
        return Ok(Cow::Borrowed(OPEN_BYTES));
    }
    if requested.is_empty() {
        return Err(ErrorCode::InvalidAcl);
    }
    if requested.len() == 1
        && let Some((_, Some(scheme), id)) = requested.nullable().next()
        && scheme != auth::AUTH
    {
        schemes.check_id(scheme, id)?;
        return Ok(Cow::Borrowed(requested.raw()));
    }
    let mut entries: Vec<NullableEntry<'_>> = Vec::new();
    // A set, since a request can hold tens of thousands of entries.
    let mut seen = BTreeSet::new();
    for entry in requested.nullable() {
        if !seen.insert(entry) {
            continue;
        }
        let (perms, scheme, id) = entry;
        let scheme = scheme.ok_or(ErrorCode::InvalidAcl)?;
        if scheme == auth::AUTH {
            let before = entries.len();
            let proven = auth::decode(identities).filter(|&(scheme, _)| schemes.is_authenticated(scheme));
            entries.extend(proven.map(|(scheme, id)| (perms, Some(scheme), Some(id))));
            if entries.len() == before {
                return Err(ErrorCode::InvalidAcl);
            }
        } else {
            schemes.check_id(scheme, id)?;
            entries.push(entry);
        }
    }
    let mut bytes = Vec::new();
    encode_count(entries.len(), &mut bytes);
    for (perms, scheme, id) in entries {
        bytes.put_i32(perms);
        bytes.put_opt_str(scheme);
        bytes.put_opt_str(id);
    }
    Ok(Cow::Owned(bytes))
}

/// Appends an ACL as shown to a client without ADMIN: the hashes of `digest` ids are hidden.
pub fn put_redacted(acl: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    let list = AclList::from_raw(acl)?;
    encode_count(list.len(), out);
    for (perms, scheme, id) in list {
        match id.split_once(':') {
            Some((user, _)) if scheme == auth::DIGEST => {
                encode_entry(perms, scheme, &format!("{user}:x"), out);
            }
            _ => encode_entry(perms, scheme, id, out),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use wire::acl::{Acl, encode_list};

    use super::*;
    use crate::auth::Identities;
    use crate::password_hash::PasswordHash;

    const ALL: Schemes = Schemes { digest: true, key: true, sasl: false, x509: false };

    fn raw(entries: &[(i32, &str, &str)]) -> Vec<u8> {
        let list: Vec<Acl> = entries.iter().map(|&(perms, scheme, id)| Acl::new(perms, scheme, id)).collect();
        let mut bytes = Vec::new();
        encode_list(&list, &mut bytes);
        bytes
    }

    fn fixed(entries: &[(i32, &str, &str)], identities: &Identities) -> Result<Vec<u8>, ErrorCode> {
        let bytes = raw(entries);
        fix_up(AclList::from_raw(&bytes).unwrap(), identities.encoded(), ALL).map(Cow::into_owned)
    }

    fn digest(user: &str) -> Identities {
        let mut identities = Identities::from_ip("10.0.0.1");
        assert!(auth::add_digest(&mut identities, user.as_bytes(), PasswordHash::Sha1, None));
        identities
    }

    #[test]
    fn rule_37_empty_and_null_acls_are_refused() {
        assert_eq!(fixed(&[], &digest("u:p")), Err(ErrorCode::InvalidAcl));
        assert_eq!(fix_up(AclList::NULL, b"", ALL), Err(ErrorCode::InvalidAcl));
    }

    #[test]
    fn rule_37_auth_expands_to_authenticated_identities() {
        let mut who = digest("u:p");
        assert!(auth::add_digest(&mut who, b"v:q", PasswordHash::Sha1, None));
        let (u, v) = (PasswordHash::Sha1.digest_id("u:p"), PasswordHash::Sha1.digest_id("v:q"));
        let expanded = raw(&[(perms::READ, "digest", &u), (perms::READ, "digest", &v)]);
        assert_eq!(fixed(&[(perms::READ, "auth", "")], &who), Ok(expanded));
        assert_eq!(
            fixed(&[(perms::READ, "auth", "")], &Identities::from_ip("::1")),
            Err(ErrorCode::InvalidAcl)
        );
    }

    #[test]
    fn rule_37_duplicate_acl_entries_are_removed() {
        let once = raw(&[(1, "world", "anyone"), (2, "world", "anyone")]);
        let twice = [(1, "world", "anyone"), (2, "world", "anyone"), (1, "world", "anyone")];
        assert_eq!(fixed(&twice, &Identities::new()), Ok(once));
    }

    #[test]
    fn rule_37_tens_of_thousands_of_acl_entries_take_little_time() {
        let list: Vec<_> = (0..40_000).map(|perms| (perms % 30_000, "world", "anyone")).collect();
        assert_eq!(fixed(&list, &Identities::new()), Ok(raw(&list[..30_000])));
    }

    #[test]
    fn rule_37_one_invalid_entry_refuses_the_acl() {
        let bad = [(31, "world", "anyone"), (1, "sasl", "u")];
        assert_eq!(fixed(&bad, &Identities::new()), Err(ErrorCode::InvalidAcl));
    }

    /// ZooKeeper refuses a null scheme, and fails on a null id where the scheme's provider examines
    /// it.
    #[test]
    fn rule_37_null_schemes_and_ids() {
        let who = digest("u:p");
        let fixed = |scheme: Option<&str>, id: Option<&str>, schemes| {
            let mut bytes = Vec::new();
            encode_count(1, &mut bytes);
            bytes.put_i32(31);
            bytes.put_opt_str(scheme);
            bytes.put_opt_str(id);
            fix_up(AclList::from_raw(&bytes).unwrap(), who.encoded(), schemes).map(Cow::into_owned)
        };
        assert_eq!(fixed(None, None, ALL), Err(ErrorCode::InvalidAcl));
        assert_eq!(fixed(None, Some("anyone"), ALL), Err(ErrorCode::InvalidAcl));
        for scheme in ["world", "digest", "ip"] {
            assert_eq!(fixed(Some(scheme), None, ALL), Err(ErrorCode::MarshallingError), "{scheme}");
            assert_eq!(fixed(Some(scheme), Some(""), ALL), Err(ErrorCode::InvalidAcl), "{scheme}");
        }
        assert_eq!(fixed(Some("x509"), None, ALL), Err(ErrorCode::InvalidAcl));
        assert!(fixed(Some("auth"), None, ALL).is_ok());
        let null_key = fixed(Some("key"), None, ALL).unwrap();
        let mut keyed = Identities::new();
        keyed.add(auth::KEY, "");
        assert!(!permits(&null_key, perms::READ, keyed.encoded()), "null matches no key");
    }

    #[test]
    fn disabled_schemes_are_refused_and_do_not_replace_auth() {
        let off = Schemes { digest: false, key: false, ..ALL };
        for (scheme, id) in [("digest", "u:h"), ("digest", ""), ("key", "7"), ("auth", "")] {
            let bytes = raw(&[(31, scheme, id)]);
            let fixed = fix_up(AclList::from_raw(&bytes).unwrap(), digest("u:p").encoded(), off);
            assert_eq!(fixed, Err(ErrorCode::InvalidAcl), "{scheme}");
        }
    }

    #[test]
    fn rule_38_super_passes_every_check() {
        let acl = raw(&[(perms::READ, "digest", "u:h")]);
        let mut who = Identities::new();
        assert!(!permits(&acl, perms::ADMIN, who.encoded()));
        who.add(auth::SUPER, "");
        assert!(permits(&acl, perms::ADMIN, who.encoded()));
    }

    #[test]
    fn every_permission_is_for_a_proven_identity() {
        let (u, v) = (PasswordHash::Sha1.digest_id("u:p"), PasswordHash::Sha1.digest_id("v:p"));
        let but_delete = perms::ALL & !perms::DELETE;
        let may = |acl: &[(i32, &str, &str)]| permits_all(&raw(acl), digest("u:p").encoded());
        assert!(may(&[(perms::ALL, "digest", &u)]));
        assert!(may(&[(but_delete, "digest", &u), (perms::DELETE, "ip", "10.0.0.0/8")]));
        assert!(!may(&[(but_delete, "digest", &u), (perms::DELETE, "world", "anyone")]));
        assert!(!may(&[(perms::ALL, "world", "anyone")]));
        assert!(!may(&[(perms::ALL, "digest", &v)]));
        assert!(!may(&[]));
        let mut root = Identities::new();
        root.add(auth::SUPER, "");
        assert!(permits_all(OPEN_BYTES, root.encoded()));
    }

    #[test]
    fn rule_40_ip_entries_are_compared_with_the_address() {
        let acl = raw(&[(perms::WRITE, "ip", "10.0.0.0/8")]);
        assert!(permits(&acl, perms::WRITE, Identities::from_ip("10.9.9.9").encoded()));
        assert!(!permits(&acl, perms::READ, Identities::from_ip("10.9.9.9").encoded()));
        assert!(!permits(&acl, perms::WRITE, Identities::from_ip("11.9.9.9").encoded()));
    }

    #[test]
    fn rule_39_digest_hashes_are_hidden() {
        let mut shown = Vec::new();
        put_redacted(&raw(&[(1, "digest", "u:h"), (2, "ip", "::1")]), &mut shown).unwrap();
        assert_eq!(shown, raw(&[(1, "digest", "u:x"), (2, "ip", "::1")]));
    }
}

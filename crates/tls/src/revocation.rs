//! Certificate revocation lists.

use std::collections::HashSet;

use x509_parser::prelude::FromDer as _;
use x509_parser::revocation_list::CertificateRevocationList;

use crate::algorithms::{self, Algorithms, Budget, Proof};
use crate::certificate::{Certificate, Signed};
use crate::names;

/// The extensions of a list that change nothing here: its number, and the key of its issuer.
const HARMLESS: &[&[u8]] = &[&[0x55, 0x1d, 0x14], &[0x55, 0x1d, 0x23]];

/// A list of one issuer.
#[derive(Clone, Debug)]
pub(crate) struct RevocationList {
    der: Vec<u8>,
    issuer: Vec<u8>,
    /// In seconds since 1970.
    next_update: Option<i64>,
    serials: HashSet<Vec<u8>>,
}

/// What the lists say of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is not revoked.
    Good,
    /// It is revoked.
    Revoked,
    /// The issuer's list is out of date.
    Outdated,
    /// There is no list that its issuer has signed.
    Unknown,
}

impl RevocationList {
    /// Parses a list; `None` if it is malformed, or not about all certificates of its issuer.
    pub(crate) fn parse(der: &[u8]) -> Option<RevocationList> {
        let (rest, list) = CertificateRevocationList::from_der(der).ok()?;
        let is_whole = |extension: &x509_parser::extensions::X509Extension<'_>| {
            !extension.critical || HARMLESS.contains(&extension.oid.as_bytes())
        };
        let entries_are_plain = list
            .iter_revoked_certificates()
            .all(|entry| entry.extensions().iter().all(|extension| !extension.critical));
        if !rest.is_empty() || !list.extensions().iter().all(is_whole) || !entries_are_plain {
            return None;
        }
        Some(RevocationList {
            der: der.to_vec(),
            issuer: names::canonical(list.issuer()),
            next_update: list.next_update().map(|time| time.timestamp()),
            serials: list.iter_revoked_certificates().map(|entry| entry.raw_serial().to_vec()).collect(),
        })
    }

    /// The list as it was read.
    pub(crate) fn der(&self) -> &[u8] {
        &self.der
    }
}

/// What the lists say of a certificate of this issuer.
pub(crate) fn standing(
    lists: &[RevocationList],
    certificate: &Certificate,
    issuer: &Certificate,
    now: i64,
    algorithms: Algorithms,
    budget: &mut Budget,
) -> Standing {
    let may_sign = issuer.extensions.key_usage.is_none_or(|usage| usage.signs_revocations);
    let mut standing = Standing::Unknown;
    for list in lists.iter().filter(|list| may_sign && list.issuer == issuer.subject) {
        let Some(signed) = Signed::split(&list.der) else { continue };
        if algorithms::check(signed, &issuer.key, algorithms, budget) != Proof::Signed {
            continue;
        }
        if list.serials.contains(&certificate.serial) {
            return Standing::Revoked;
        }
        // A list that says nothing about its successor never ends, and says nothing either.
        if list.next_update.is_some_and(|next| now <= next) {
            standing = Standing::Good;
        } else if standing == Standing::Unknown {
            standing = Standing::Outdated;
        }
    }
    standing
}

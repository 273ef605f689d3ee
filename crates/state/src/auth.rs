//! Identities of connections, and how schemes authenticate and compare them.
//!
//! A connection has its address as an identity from the start, and gains one per accepted auth
//! packet. Identities accompany every command, encoded once per connection and copied as bytes;
//! they are examined only if a node's ACL is not open.
//!
//! ```text
//! identities = (scheme ustring | id ustring)*
//! ```

use subtle::ConstantTimeEq as _;
use wire::code::ErrorCode;
use wire::jute::{Put, Reader};
use wire::lenient;

use crate::command::Features;
use crate::distinguished_name;
use crate::password_hash::PasswordHash;

/// Scheme of the identity that passes every check.
pub const SUPER: &str = "super";
/// Scheme of user names with passwords.
pub const DIGEST: &str = "digest";
/// Scheme of addresses.
pub const IP: &str = "ip";
/// Scheme of all clients; only in ACLs, with the id [`ANYONE`].
pub const WORLD: &str = "world";
/// The only id of [`WORLD`].
pub const ANYONE: &str = "anyone";
/// Scheme that, in a request, stands for the client's own identities.
pub const AUTH: &str = "auth";
/// Scheme of ZooKeeper's `KeyAuthenticationProvider`.
pub const KEY: &str = "key";
/// Scheme of names proven by SASL.
pub const SASL: &str = "sasl";
/// Scheme of the subjects of certificates, which clients prove by TLS.
pub const X509: &str = "x509";

/// The enabled schemes, besides those that always are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schemes {
    /// `digest` (`DigestAuthenticationProvider.enabled`).
    pub digest: bool,
    /// `key` (`authProvider.N`).
    pub key: bool,
    /// `sasl` (`authProvider.N`).
    pub sasl: bool,
    /// `x509` (`secureClientPort`).
    pub x509: bool,
}

impl Schemes {
    /// The schemes under the leader's settings.
    pub fn of(features: Features) -> Schemes {
        Schemes {
            digest: !features.has(Features::NO_DIGEST),
            key: features.has(Features::KEY_SCHEME),
            sasl: features.has(Features::SASL_SCHEME),
            x509: features.has(Features::X509_SCHEME),
        }
    }
}

/// Maximum length of one connection's encoded identities in bytes: enough for some hundreds of
/// identities. They accompany every command, so without a limit a client could make each of its
/// requests arbitrarily long.
pub const IDENTITIES_BYTES_MAX: usize = 1 << 15;

/// The identities of a connection, in the order they were added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identities {
    encoded: Vec<u8>,
}

impl Identities {
    /// No identity.
    pub fn new() -> Self {
        Self::default()
    }

    /// The initial identity of a connection in ZooKeeper: the client's address. `ip` is the textual
    /// address without port.
    pub fn from_ip(ip: &str) -> Self {
        let mut identities = Self::new();
        identities.add(IP, ip);
        identities
    }

    /// Adds an identity that the server itself determined, such as an address. Omits it if it does
    /// not fit, which can only reduce permissions. See [`try_add`](Self::try_add).
    pub fn add(&mut self, scheme: &str, id: &str) {
        let _ = self.try_add(scheme, id);
    }

    /// Adds an identity unless it is already present. Returns false, and adds nothing, if that
    /// would exceed [`IDENTITIES_BYTES_MAX`].
    #[must_use]
    pub fn try_add(&mut self, scheme: &str, id: &str) -> bool {
        if self.iter().any(|known| known == (scheme, id)) {
            return true;
        }
        if self.encoded.len() + 8 + scheme.len() + id.len() > IDENTITIES_BYTES_MAX {
            return false;
        }
        self.encoded.put_str(scheme);
        self.encoded.put_str(id);
        true
    }

    /// The encoded identities, for commands.
    #[inline]
    pub fn encoded(&self) -> &[u8] {
        &self.encoded
    }

    /// Schemes and ids.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        decode(&self.encoded)
    }
}

/// Schemes and ids of encoded identities. Invalid bytes end the iteration, on every member alike:
/// the rest counts as no identity.
pub fn decode(encoded: &[u8]) -> impl Iterator<Item = (&str, &str)> {
    let mut input = Reader::new(encoded);
    std::iter::from_fn(move || Some((input.str().ok()?, input.str().ok()?)))
}

/// Whether a client with these encoded identities is the super user, who passes every check.
pub fn is_super(encoded: &[u8]) -> bool {
    decode(encoded).any(|(scheme, _)| scheme == SUPER)
}

/// Accepts an auth packet of scheme `digest`: any name with any password is an identity.
/// `super_digest` is the digest identity of the super user, if configured; a client that proves it
/// passes every check from then on. Bytes that are not UTF-8 count as Java's text of them. Returns
/// false if there are too many identities; the reply is then `AuthFailed`.
#[must_use]
pub fn add_digest(
    identities: &mut Identities,
    auth: &[u8],
    hash: PasswordHash,
    super_digest: Option<&str>,
) -> bool {
    let id = hash.digest_id(&lenient::text(auth));
    let is_super = super_digest.is_some_and(|digest| digest.as_bytes().ct_eq(id.as_bytes()).into());
    (!is_super || identities.try_add(SUPER, "")) && identities.try_add(DIGEST, &id)
}

/// Whether this is the name of a Kerberos principal, or a plain name without `@`
/// (`SASLAuthenticationProvider.isValid`).
fn is_principal(name: &str) -> bool {
    name.split_once('@')
        .is_none_or(|(components, realm)| components.matches('/').count() <= 1 && !realm.contains(['/', '@']))
}

/// The part of an identity that `whoAmI` shows: never the hash of a password, and nothing for
/// `super`.
pub fn user_name<'a>(scheme: &str, id: &'a str) -> &'a str {
    match scheme {
        DIGEST => id.split(':').next().unwrap_or_default(),
        SUPER => "",
        _ => id,
    }
}

impl Schemes {
    /// Whether an ACL may contain this id. Schemes without a provider are refused, as in ZooKeeper;
    /// where its code fails on a null id, the error is `MarshallingError`.
    pub fn check_id(self, scheme: &str, id: Option<&str>) -> Result<(), ErrorCode> {
        let is_valid: fn(&str) -> bool = match scheme {
            WORLD => |id| id == ANYONE,
            // Java's split drops trailing empty parts, so that "user:" has one part and is refused,
            // while "a:b:" has two.
            DIGEST if self.digest => |id| id.trim_end_matches(':').split(':').count() == 2,
            IP => |id| AddressRange::parse(id).is_some(),
            SASL if self.sasl => is_principal,
            KEY if self.key => return Ok(()),
            X509 if self.x509 => distinguished_name::is_valid,
            _ => return Err(ErrorCode::InvalidAcl),
        };
        let id = id.ok_or(ErrorCode::MarshallingError)?;
        if is_valid(id) { Ok(()) } else { Err(ErrorCode::InvalidAcl) }
    }

    /// Whether identities of the scheme replace `auth` in an ACL.
    pub fn is_authenticated(self, scheme: &str) -> bool {
        // An address does not authenticate its user, and `super` has no provider that could verify
        // it again.
        match scheme {
            DIGEST => self.digest,
            SASL => self.sasl,
            KEY => self.key,
            X509 => self.x509,
            _ => false,
        }
    }
}

/// Whether `id`, an identity of a connection, matches the `expression` of an ACL entry with the
/// same scheme.
pub fn matches(scheme: &str, id: &str, expression: &str) -> bool {
    match scheme {
        DIGEST | KEY | X509 => id == expression,
        // A client that has proven to be `super` passes every entry of the scheme.
        SASL => id == expression || id == "super",
        IP => AddressRange::parse(expression).is_some_and(|range| range.contains(id)),
        _ => false,
    }
}

/// An address or a CIDR range: the leading `bits` bits of `address`, which has 4 or 16 bytes.
struct AddressRange {
    address: Address,
    bits: u32,
}

impl AddressRange {
    fn parse(expression: &str) -> Option<Self> {
        let (address, bits) = match expression.split_once('/') {
            // With an optional sign, as `Integer.parseInt` accepts it.
            Some((address, bits)) => (Address::parse(address)?, Some(bits.parse::<i32>().ok()?)),
            None => (Address::parse(expression)?, None),
        };
        let width = address.width();
        let bits = bits.map_or(Some(width), |bits| u32::try_from(bits).ok())?;
        (bits <= width).then_some(Self { address, bits })
    }

    fn contains(&self, id: &str) -> bool {
        Address::parse(id).is_some_and(|other| {
            other.width() == self.address.width() && self.address.differing_from(&other) >= self.bits
        })
    }
}

#[derive(Clone, Copy)]
enum Address {
    V4(u32),
    V6(u128),
}

impl Address {
    /// Parses an address as ZooKeeper does, unlike `std`: numbers may have leading zeros and a
    /// sign, and version 6 never uses the dots of version 4.
    fn parse(text: &str) -> Option<Self> {
        if text.contains(':') { parse_v6(text).map(Self::V6) } else { parse_v4(text).map(Self::V4) }
    }

    fn width(&self) -> u32 {
        match self {
            Self::V4(_) => 32,
            Self::V6(_) => 128,
        }
    }

    /// The index of the first bit in which two addresses of one version differ; their width if they
    /// are equal.
    fn differing_from(&self, other: &Self) -> u32 {
        match (self, other) {
            (Self::V4(a), Self::V4(b)) => (a ^ b).leading_zeros(),
            (Self::V6(a), Self::V6(b)) => (a ^ b).leading_zeros(),
            _ => 0,
        }
    }
}

fn parse_v4(text: &str) -> Option<u32> {
    let parts: Vec<u32> = text
        .split('.')
        .map(|part| part.parse::<i32>().ok().and_then(|byte| u8::try_from(byte).ok()).map(u32::from))
        .collect::<Option<_>>()?;
    (parts.len() == 4).then(|| parts.iter().fold(0, |address, byte| address << 8 | byte))
}

/// Groups of up to four hexadecimal digits; one `::` replaces at least one group of zeros.
fn parse_v6(text: &str) -> Option<u128> {
    const GROUPS: usize = 8;
    let groups = |text: &str| -> Option<Vec<u128>> {
        if text.is_empty() {
            return Some(Vec::new());
        }
        let group = |group: &str| {
            let number = if group.len() <= 4 { i32::from_str_radix(group, 16).ok() } else { None };
            number.map(|number| u128::from(number as u16))
        };
        text.split(':').map(group).collect()
    };
    let joined = |groups: &[u128]| groups.iter().fold(0, |address, group| address << 16 | group);
    let Some((first, last)) = text.split_once("::") else {
        return groups(text).filter(|all| all.len() == GROUPS).map(|all| joined(&all));
    };
    if last.contains("::") {
        return None;
    }
    let (first, last) = (groups(first)?, groups(last)?);
    if first.len() + last.len() >= GROUPS {
        return None;
    }
    let shift = if first.is_empty() { 0 } else { 16 * (GROUPS - first.len()) };
    Some(joined(&first) << shift | joined(&last))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Schemes = Schemes { digest: true, key: true, sasl: true, x509: true };
    const HASH: PasswordHash = PasswordHash::Sha1;

    #[test]
    fn rule_38_digest_ids_and_the_super_user() {
        let super_digest = "super:D/InIHSb7yEEbrWz8b9l71RjZJU=";
        let mut identities = Identities::from_ip("127.0.0.1");
        assert!(add_digest(&mut identities, b"super:test", HASH, Some(super_digest)));
        let all = [(IP, "127.0.0.1"), (SUPER, ""), (DIGEST, super_digest)];
        assert_eq!(identities.iter().collect::<Vec<_>>(), all);
        let mut identities = Identities::new();
        assert!(add_digest(&mut identities, b"super:guess", HASH, Some(super_digest)));
        assert!(identities.iter().all(|(scheme, _)| scheme == DIGEST));
    }

    /// Old clients send the bytes of a configuration file in Latin-1 or GBK. The hash is that of
    /// Java's text of them.
    #[test]
    fn rule_38_passwords_need_not_be_utf_8() {
        let mut identities = Identities::new();
        assert!(add_digest(&mut identities, b"joe:p\xe4ss", HASH, None));
        let id = HASH.digest_id("joe:p\u{fffd}ss");
        assert_eq!(identities.iter().collect::<Vec<_>>(), [(DIGEST, id.as_str())]);
    }

    #[test]
    fn rule_40_identities_accumulate_without_duplicates() {
        let mut identities = Identities::from_ip("::1");
        for user in ["a:1", "b:2", "a:1"] {
            assert!(add_digest(&mut identities, user.as_bytes(), HASH, None));
        }
        assert_eq!(identities.iter().count(), 3);
        assert_eq!(decode(identities.encoded()).count(), 3);
        let cut = &identities.encoded()[..identities.encoded().len() - 1];
        assert_eq!(decode(cut).count(), 2);
    }

    #[test]
    fn identities_are_bounded() {
        let mut identities = Identities::new();
        let added = (0..10_000)
            .take_while(|user| add_digest(&mut identities, format!("{user}:x").as_bytes(), HASH, None));
        assert!((400..2000).contains(&added.count()));
        assert!(identities.encoded().len() <= IDENTITIES_BYTES_MAX);
        assert!(add_digest(&mut identities, b"0:x", HASH, None), "it is already present");
    }

    #[test]
    fn rule_40_ip_ranges_of_both_versions() {
        let yes = [
            ("10.1.2.3", "10.1.2.3"),
            ("10.1.2.3", "10.1.0.0/16"),
            ("10.1.2.3", "192.0.0.1/0"),
            ("10.1.2.3", "010.001.002.003"),
            ("fd00::1:2", "fd00::/16"),
            ("fd00::1:2", "fd00:0:0:0:0:0:1:2"),
        ];
        for (id, expression) in yes {
            assert!(
                ALL.check_id(IP, Some(expression)).is_ok() && matches(IP, id, expression),
                "{id} {expression}"
            );
        }
        for (id, expression) in [("10.1.2.3", "10.1.2.4"), ("10.1.2.3", "10.0.0.0/16"), ("10.1.2.3", "::/0")]
        {
            assert!(
                ALL.check_id(IP, Some(expression)).is_ok() && !matches(IP, id, expression),
                "{id} {expression}"
            );
        }
        for expression in
            ["10.1.2", "10.1.2.3.4", "10.1.2.256", "10.1.2.3/33", "10.1.2.3/-1", "::/129", "x", ""]
        {
            assert!(ALL.check_id(IP, Some(expression)).is_err(), "{expression}");
        }
    }

    #[test]
    fn rule_37_ids_that_an_acl_may_contain() {
        for (scheme, id) in
            [(WORLD, ANYONE), (DIGEST, "u:hash"), (DIGEST, ":x"), (DIGEST, "a:b:"), (X509, "CN=a,O=b")]
        {
            assert!(ALL.check_id(scheme, Some(id)).is_ok(), "{scheme}:{id}");
        }
        for (scheme, id) in [
            (WORLD, "me"),
            (DIGEST, "u"),
            (DIGEST, "u:"),
            (DIGEST, "a:b:c"),
            (SUPER, ""),
            (X509, "a"),
            ("", ""),
        ] {
            assert!(ALL.check_id(scheme, Some(id)).is_err(), "{scheme}:{id}");
        }
    }

    #[test]
    fn rule_41_names_of_sasl_in_acls() {
        for name in ["bob", "", "a/b/c", "bob@R", "zk/host@R", "@"] {
            assert!(ALL.check_id(SASL, Some(name)).is_ok(), "{name}");
        }
        for name in ["a@b@c", "a/b/c@R", "a@R/x", "a@@"] {
            assert!(ALL.check_id(SASL, Some(name)).is_err(), "{name}");
        }
        let off = Schemes { sasl: false, ..ALL };
        assert_eq!(off.check_id(SASL, Some("bob")), Err(ErrorCode::InvalidAcl));
        assert_eq!(ALL.check_id(SASL, None), Err(ErrorCode::MarshallingError));
        assert!(ALL.is_authenticated(SASL) && !off.is_authenticated(SASL));
        assert!(matches(SASL, "bob", "bob") && matches(SASL, "super", "bob"));
        assert!(!matches(SASL, "bob", "alice") && !matches(SASL, "bob", "super"));
        assert_eq!(user_name(SASL, "zk/host@R"), "zk/host@R");
    }

    #[test]
    fn the_subject_of_a_certificate_is_an_identity() {
        assert!(matches(X509, "CN=a,O=b", "CN=a,O=b") && !matches(X509, "CN=a,O=b", "CN=a"));
        let off = Schemes { x509: false, ..ALL };
        assert_eq!(off.check_id(X509, Some("CN=a")), Err(ErrorCode::InvalidAcl));
        assert!(ALL.is_authenticated(X509) && !off.is_authenticated(X509));
    }

    #[test]
    fn whoami_shows_no_hashes() {
        assert_eq!(user_name(DIGEST, "u:hash"), "u");
        assert_eq!(user_name(IP, "::1"), "::1");
        assert_eq!(user_name(SUPER, ""), "");
    }
}

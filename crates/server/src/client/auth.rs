//! Authentication schemes of a connection (ZooKeeper's `org.apache.zookeeper.server.auth`).

use std::net::IpAddr;

use state::auth::{DIGEST, IP, Identities, KEY, X509};
use wire::lenient;
use wire::record::Auth;

use crate::config::Requests;

/// The znode with the key of the scheme `key`.
pub const KEY_PATH: &str = "/key";

/// What is known of a client before its auth packet.
#[derive(Debug)]
pub struct Client<'a> {
    /// The identities it has proven so far.
    pub before: &'a Identities,
    /// Its address.
    pub address: IpAddr,
}

/// The outcome of an auth packet.
#[derive(Debug)]
pub enum Authenticated {
    /// The client now has these identities.
    As(Identities),
    /// The scheme is unknown, or the proof is wrong.
    Refused,
    /// The client expects another ensemble. Its connection ends without a reply, so that it tries
    /// another server: an error would make it give up.
    WrongEnsemble,
}

/// Checks one auth packet. `key` looks up the data of [`KEY_PATH`].
pub fn authenticate(
    client: &Client<'_>,
    packet: &Auth<'_>,
    requests: &Requests,
    key: impl FnOnce() -> Option<Vec<u8>>,
) -> Authenticated {
    let mut identities = client.before.clone();
    let schemes = &requests.schemes;
    let accepted = match (packet.scheme, packet.auth) {
        (DIGEST, Some(auth)) if schemes.digest => state::auth::add_digest(
            &mut identities,
            auth,
            schemes.digest_hash,
            requests.super_digest.as_deref(),
        ),
        (IP, _) => {
            identities.add(IP, &client.address.to_canonical().to_string());
            true
        }
        (KEY, Some(auth)) if schemes.key => add_key(&mut identities, key(), auth),
        // Its certificate was judged in the handshake, and its identity is there since.
        (X509, _) if schemes.x509 => client.before.iter().any(|(scheme, _)| scheme == X509),
        ("ensemble", auth) if schemes.ensemble => {
            if !is_expected(schemes.ensemble_names.as_deref(), auth.unwrap_or_default()) {
                return Authenticated::WrongEnsemble;
            }
            true
        }
        _ => false,
    };
    if accepted { Authenticated::As(identities) } else { Authenticated::Refused }
}

/// As ZooKeeper's example `KeyAuthenticationProvider`: the client's number must be a multiple of
/// the key, and anything is accepted while there is no key. The identity is empty, so it outlives a
/// change of the key.
fn add_key(identities: &mut Identities, key: Option<Vec<u8>>, auth: &[u8]) -> bool {
    let Some(key) = key else { return identities.try_add(KEY, "") };
    let (key, auth) = (lenient::text(&key), lenient::text(auth));
    let numbers = (key.parse::<i32>(), auth.parse::<i32>());
    let (Ok(divisor), Ok(number)) = numbers else { return false };
    (divisor == 0 || number.wrapping_rem(divisor) == 0) && identities.try_add(KEY, "")
}

/// Whether a client that names this ensemble is at the right one. The client need not name one, and
/// no names need be configured.
fn is_expected(names: Option<&[String]>, wanted: &[u8]) -> bool {
    let wanted = lenient::text(wanted);
    wanted.is_empty() || names.is_none_or(|names| names.iter().any(|name| *name == wanted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Schemes;

    fn asked(scheme: &str, auth: Option<&[u8]>, schemes: Schemes, key: Option<&[u8]>) -> Authenticated {
        let mut requests = crate::config::load(&Default::default()).unwrap().config.requests;
        requests.schemes = schemes;
        let before = Identities::new();
        let client = Client { before: &before, address: [127, 0, 0, 1].into() };
        authenticate(&client, &Auth { auth_type: 0, scheme, auth }, &requests, || key.map(Into::into))
    }

    fn identity(authenticated: &Authenticated) -> Option<(String, String)> {
        let Authenticated::As(identities) = authenticated else { return None };
        identities.iter().next().map(|(scheme, id)| (scheme.to_owned(), id.to_owned()))
    }

    #[test]
    fn a_scheme_that_is_off_is_unknown() {
        let off = Schemes { digest: false, ..Schemes::default() };
        assert!(matches!(asked("digest", Some(b"a:b"), off, None), Authenticated::Refused));
        for scheme in ["key", "ensemble", "sasl", "x509", ""] {
            let asked = asked(scheme, Some(b"1"), Schemes::default(), None);
            assert!(matches!(asked, Authenticated::Refused), "{scheme}");
        }
    }

    /// ZooKeeper fails on null credentials, except in the scheme that ignores them.
    #[test]
    fn credentials_that_are_null_prove_nothing() {
        let all = Schemes { key: true, ..Schemes::default() };
        assert!(matches!(asked("digest", None, all.clone(), None), Authenticated::Refused));
        assert!(matches!(asked("key", None, all.clone(), None), Authenticated::Refused));
        assert!(matches!(asked("ip", None, all, None), Authenticated::As(_)));
    }

    #[test]
    fn a_key_is_proven_by_a_multiple_of_it() {
        let key = |auth: &[u8], key: Option<&[u8]>| {
            identity(&asked("key", Some(auth), Schemes { key: true, ..Schemes::default() }, key))
        };
        let proven = Some(("key".to_owned(), String::new()));
        assert_eq!(key(b"anything", None), proven, "no key has been written");
        assert_eq!(key(b"21", Some(b"7")), proven);
        assert_eq!(key(b"-2147483648", Some(b"-1")), proven);
        assert_eq!(key(b"5", Some(b"0")), proven);
        assert_eq!(key(b"22", Some(b"7")), None);
        assert_eq!(key(b"x", Some(b"7")), None);
        assert_eq!(key(b"7", Some(b"x")), None);
    }

    #[test]
    fn a_client_of_another_ensemble_is_sent_away_without_an_answer() {
        let named = |names: Option<&[&str]>| Schemes {
            ensemble: true,
            ensemble_names: names.map(|names| names.iter().map(|&name| name.into()).collect()),
            ..Schemes::default()
        };
        let names = Some(&["blue", "green"][..]);
        for (auth, names, expected) in [
            (Some(&b"green"[..]), names, true),
            (Some(b"red"), names, false),
            (Some(b""), names, true),
            (None, names, true),
            (Some(b"red"), None, true),
        ] {
            let asked = asked("ensemble", auth, named(names), None);
            assert_eq!(matches!(asked, Authenticated::As(_)), expected, "{auth:?}: {asked:?}");
            assert_eq!(matches!(asked, Authenticated::WrongEnsemble), !expected, "{auth:?}");
            assert_eq!(identity(&asked), None, "it is no identity");
        }
    }
}

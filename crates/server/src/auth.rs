//! Who a client is: the authentication schemes of one connection (reference 2.5; `server/auth/*` there).

use std::net::IpAddr;

use state::auth::Identities;
use wire::record::Auth;

/// What came of an auth packet.
#[derive(Debug)]
pub enum Authenticated {
    /// The client is all of this now.
    As(Identities),
    /// No such scheme, or the proof does not hold.
    Refused,
}

/// Checks one auth packet of a client known as `before` so far. `super_digest` is `super:` and the digest of the operator's password.
pub fn authenticate(
    before: &Identities,
    address: IpAddr,
    packet: &Auth<'_>,
    super_digest: Option<&str>,
) -> Authenticated {
    let mut identities = before.clone();
    match packet.scheme {
        "digest" if state::auth::add_digest(&mut identities, packet.auth, super_digest) => {}
        "ip" => identities.add("ip", &address.to_canonical().to_string()),
        _ => return Authenticated::Refused,
    }
    Authenticated::As(identities)
}

//! DIGEST-MD5 (RFC 2831), quality of protection `auth` only.
//!
//! ```text
//! client                                server
//!   │ any token, usually empty            │
//!   │ ───────────────────────────────────►│
//!   │   challenge: realm, nonce           │
//!   │ ◄───────────────────────────────────│
//!   │ response: user, cnonce, proof       │
//!   │ ───────────────────────────────────►│  checks the proof
//!   │   rspauth: the server's own proof   │
//!   │ ◄───────────────────────────────────│
//! ```
//!
//! The mechanism needs the password itself on both sides. Nothing after this exchange is protected
//! by it, unless the caller does so with the [`SessionKey`].

mod client;
mod directives;
mod server;

use std::fmt;

use md5::{Digest as _, Md5};

pub use client::Client;
pub use server::{Accepted, Server, Step};

/// A longer token is refused, as by Java.
pub const TOKEN_BYTES_MAX: usize = 4096;

/// Random bytes that the caller supplies for the nonce of either side.
pub type Nonce = [u8; 24];

/// What both sides know about the service without an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Service {
    /// The protocol: the first part of the `digest-uri`.
    pub protocol: &'static str,
    /// The server's name, which is also its realm: the second part of the `digest-uri`.
    pub server: &'static str,
}

impl Service {
    /// ZooKeeper's service for clients.
    pub const CLIENTS: Service = Service { protocol: "zookeeper", server: "zk-sasl-md5" };
    /// ZooKeeper's service for other servers of an ensemble.
    pub const QUORUM: Service = Service { protocol: "zookeeper-quorum", server: "zk-quorum-sasl-md5" };

    fn uri(&self) -> String {
        format!("{}/{}", self.protocol, self.server)
    }
}

/// A key that both sides of a completed exchange have. It depends on the password and on both
/// nonces; who only listens or passes tokens on does not know it. Not shown by `Debug`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SessionKey(pub [u8; 16]);

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(…)")
    }
}

/// Why a token was refused. It names nothing that the peer sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Longer than [`TOKEN_BYTES_MAX`].
    #[error("the token is longer than {TOKEN_BYTES_MAX} bytes")]
    TooLong,
    /// Not a list of directives.
    #[error("the token is malformed")]
    Malformed,
    /// A directive that must be there is missing, stands twice or has a wrong value.
    #[error("the directive {0} is missing, repeated or wrong")]
    Directive(&'static str),
    /// The proof is wrong, or the user is unknown.
    #[error("the user or the password is wrong")]
    WrongProof,
    /// The exchange has ended before.
    #[error("the exchange has ended before")]
    Ended,
}

/// The values that a proof is computed from.
struct Proof<'a> {
    user: &'a str,
    realm: &'a str,
    password: &'a str,
    nonce: &'a [u8],
    cnonce: &'a [u8],
    authzid: Option<&'a [u8]>,
    uri: &'a [u8],
}

/// Whose proof it is.
#[derive(Clone, Copy)]
enum Side {
    Client,
    Server,
}

impl Proof<'_> {
    /// The 32 hexadecimal digits of `response` or `rspauth`. The nonce is used once, so its count
    /// is always 1; Java ignores what the client says about it.
    fn compute(&self, side: Side) -> String {
        let SessionKey(a1) = self.session_key();
        let method: &[u8] = match side {
            Side::Client => b"AUTHENTICATE:",
            Side::Server => b":",
        };
        let a2 = md5(&[method, self.uri]);
        let (a1, a2) = (hex(&a1), hex(&a2));
        let all = [a1.as_bytes(), b":", self.nonce, b":00000001:", self.cnonce, b":auth:", a2.as_bytes()];
        hex(&md5(&all))
    }

    /// The hash of what RFC 2831 calls A1: its session key.
    fn session_key(&self) -> SessionKey {
        let user: [&[u8]; 5] =
            [&encoded(self.user), b":", &encoded(self.realm), b":", &encoded(self.password)];
        let a1 = [&md5(&user)[..], b":", self.nonce, b":", self.cnonce];
        SessionKey(match self.authzid {
            None => md5(&a1),
            Some(authzid) => md5(&[&a1.concat(), b":", authzid]),
        })
    }
}

fn md5(parts: &[&[u8]]) -> [u8; 16] {
    let mut hash = Md5::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// Text as the mechanism hashes it: in ISO 8859-1 if that is possible, else in UTF-8.
fn encoded(text: &str) -> Vec<u8> {
    let latin1: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
    latin1.unwrap_or_else(|| text.as_bytes().to_vec())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;

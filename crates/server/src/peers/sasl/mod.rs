//! Authentication of servers by SASL, before anything else of a connection.
//!
//! ```text
//! "ostlsasl"              from the dialling server, once
//! mechanism u8 | token    its records: 1 DIGEST-MD5, 2 GSSAPI
//! status u8 | token       the dialled server's: 0 the dialling one has to answer, 1 accepted,
//!                         255 refused, and then instead of a token the reason u8
//! ```
//! Records are framed as everything after them. Each side waits for the other's record before its
//! next one, so a server that speaks out of turn is sent away. Then the greetings follow.
//!
//! Both mechanisms authenticate both sides and leave them with a key. The key becomes part of what
//! the servers prove to each other ([`proof`](super::proof)), so an attacker that only passes the
//! tokens on, from a server that it dials to one that has dialled it, is in no place of theirs.
//!
//! Steps of Kerberos read files and ask other hosts: [`work`] does them on threads of their own.

mod accepting;
mod dialling;
#[cfg(feature = "testing")]
mod testing;
mod work;

use std::sync::Arc;

use gssapi::{Acceptor, Initiator};
use mio::Waker;
use sasl::digest_md5::SessionKey;
use sha2::{Digest as _, Sha256};

pub(super) use accepting::{Accepting, Opening};
pub(super) use dialling::Dialling;
#[cfg(feature = "testing")]
pub use testing::Logins;
use work::Work;
pub(super) use work::{Accept, Done, Initiated};

use super::proof::LoginKey;
use crate::config::{Mechanism, QuorumLogin, QuorumSasl, Secret};

/// What a connection with SASL begins with.
pub(super) const MAGIC: &[u8; 8] = b"ostlsasl";
/// Bytes of a token. Kerberos' are the longest: tickets of Active Directory have up to 48 KiB.
const TOKEN_BYTES_MAX: usize = 64 << 10;
/// Records of one side. DIGEST-MD5 takes 2, Kerberos 3; ZooKeeper allows 6.
const ROUNDS_MAX: u8 = 6;
/// How long an exchange by Kerberos may take. It may have to wait for the Kerberos server.
pub(super) const KERBEROS_TIMEOUT_MS: i64 = 10_000;

/// Mechanisms as they are sent.
const DIGEST_MD5: u8 = 1;
const GSSAPI: u8 = 2;
/// What the dialled server says to a record.
const GOES_ON: u8 = 0;
const ACCEPTED: u8 = 1;
const REFUSED: u8 = 255;

/// Why a server refuses a login. The numbers are sent, and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Refusal {
    /// User and password are wrong, or the ticket, or the principal is not that of a member.
    Failed = 1,
    /// It authenticates by another mechanism.
    Mechanism = 2,
    /// It does not authenticate at all.
    Off = 3,
}

/// How this server authenticates others, and itself to them.
#[derive(Debug)]
pub struct Sasl {
    accepts: Accepts,
    dials: Option<Dials>,
    is_required: bool,
    work: Work,
}

/// How others prove who they are.
#[derive(Debug)]
enum Accepts {
    DigestMd5(Vec<(String, Secret)>),
    Kerberos {
        acceptor: Acceptor,
        /// Of the own principal; others must be of the same.
        realm: String,
    },
}

/// How this server proves who it is.
#[derive(Debug)]
enum Dials {
    DigestMd5 { user: String, password: Secret },
    Kerberos { initiator: Arc<Initiator>, principal: String, service: String },
}

impl Sasl {
    /// Loads what the settings need. `waker` wakes the thread that calls
    /// [`collect`](Self::collect).
    ///
    /// # Errors
    /// There is no library for Kerberos, or no key.
    pub(crate) fn new(config: &QuorumSasl, waker: Arc<Waker>) -> Result<Sasl, gssapi::Error> {
        let accepts = match &config.accepts {
            Mechanism::DigestMd5(users) => Accepts::DigestMd5(users.clone()),
            Mechanism::Kerberos(key) => Accepts::Kerberos {
                acceptor: Acceptor::new(key.keytab.as_deref(), &key.principal)?,
                realm: key.principal.split_once('@').map(|(_, realm)| realm.to_owned()).unwrap_or_default(),
            },
        };
        let dials = match &config.login {
            _ if !config.is_dialled => None,
            QuorumLogin::DigestMd5 { user, password } => {
                Some(Dials::DigestMd5 { user: user.clone(), password: password.clone() })
            }
            QuorumLogin::Kerberos { keytab, principal, service } => Some(Dials::Kerberos {
                initiator: Arc::new(Initiator::new(keytab, principal)?),
                principal: principal.clone(),
                service: service.clone(),
            }),
        };
        let work = Work::new(config.threads_max as usize, waker);
        Ok(Sasl { accepts, dials, is_required: config.is_required, work })
    }

    /// Whether this server authenticates where it dials.
    pub(super) fn is_dialled(&self) -> bool {
        self.dials.is_some()
    }

    /// Whether servers that connect must authenticate.
    pub(super) fn is_required(&self) -> bool {
        self.is_required
    }

    /// The steps that were done since the last call.
    pub(super) fn collect(&self) -> Vec<Done> {
        self.work.collect()
    }
}

/// What a record leads to.
#[derive(Debug)]
pub(super) enum Turn {
    /// Wait for the other side, or for a step that a thread does.
    Wait,
    /// Send this record.
    Say(Vec<u8>),
    /// Both sides have proven who they are; the dialled one sends this record.
    Done(Login, Vec<u8>),
    /// They have not; the dialled one sends this record. This is why.
    Refused(Vec<u8>, String),
}

/// A completed login.
#[derive(Debug)]
pub(super) struct Login {
    /// The name that the dialling server has proven; empty at that server itself.
    pub(super) name: String,
    /// The key that both sides have.
    pub(super) key: LoginKey,
}

fn record(kind: u8, token: &[u8]) -> Vec<u8> {
    [&[kind][..], token].concat()
}

fn refusal(reason: Refusal) -> Vec<u8> {
    vec![REFUSED, reason as u8]
}

fn digest_key(SessionKey(key): SessionKey) -> LoginKey {
    let hash = Sha256::new().chain_update(b"ostler quorum digest-md5").chain_update(key).finalize();
    LoginKey::new(hash.into())
}

fn random_nonce() -> Result<sasl::digest_md5::Nonce, String> {
    let mut nonce = sasl::digest_md5::Nonce::default();
    getrandom::fill(&mut nonce).map_err(|e| format!("the system gives no random bytes: {e}"))?;
    Ok(nonce)
}

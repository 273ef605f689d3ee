//! Logins by DIGEST-MD5 between servers, without sockets, for a program that fuzzes them.

use std::sync::Arc;

use mio::Waker;

use super::{Accepting, Dialling, MAGIC, Opening, Sasl, Turn};
use crate::config::{Mechanism, QuorumLogin, QuorumSasl, Secret};
use crate::peers::frame::framed;
use crate::peers::proof::LoginKey;

const USER: &str = "server";
const PASSWORD: &str = "an unlikely password";

/// Two servers that know the same user and password.
#[derive(Debug)]
pub struct Logins(Sasl);

impl Logins {
    /// Logins by DIGEST-MD5; no step needs another thread, so `waker` is never used.
    ///
    /// # Errors
    /// There can be none without Kerberos.
    pub fn by_password(waker: Arc<Waker>) -> Result<Logins, gssapi::Error> {
        let password = Secret::new(PASSWORD);
        let config = QuorumSasl {
            accepts: Mechanism::DigestMd5(vec![(USER.to_owned(), password.clone())]),
            login: QuorumLogin::DigestMd5 { user: USER.to_owned(), password },
            is_dialled: true,
            is_required: true,
            threads_max: 1,
        };
        Sasl::new(&config, waker).map(Logins)
    }

    /// Whether a server that was dialled lets in one that says this, piece by piece.
    pub fn lets_in<'a>(&self, pieces: impl Iterator<Item = &'a [u8]>) -> bool {
        let mut accepting = Accepting::default();
        for piece in pieces {
            match accepting.take(Some(&self.0), piece) {
                Ok(Opening::Login(Turn::Done(..))) => return true,
                Ok(Opening::Wait | Opening::Login(Turn::Wait | Turn::Say(_))) => {}
                Ok(Opening::Greeting(_) | Opening::Login(Turn::Refused(..))) | Err(_) => return false,
            }
        }
        false
    }

    /// Whether a server that dials believes one that says this, piece by piece.
    pub fn believes<'a>(&self, pieces: impl Iterator<Item = &'a [u8]>) -> bool {
        let Ok((mut dialling, _)) = Dialling::begin(&self.0, "localhost") else { return false };
        for piece in pieces {
            match dialling.take(&self.0, piece) {
                Ok(Turn::Done(..)) => return true,
                Ok(Turn::Wait | Turn::Say(_)) => {}
                Ok(Turn::Refused(..)) | Err(_) => return false,
            }
        }
        false
    }

    /// Lets one server log in at the other, while `alter` may alter what each says: the first bytes
    /// are the dialling server's, then they take turns. Whether the login came to an end at both.
    ///
    /// # Panics
    /// It did, and they have different keys.
    pub fn meet(&self, alter: &mut dyn FnMut(&mut Vec<u8>)) -> bool {
        let mut accepting = Accepting::default();
        let Ok((mut dialling, Some(first))) = Dialling::begin(&self.0, "localhost") else { return false };
        let mut said = [&MAGIC[..], &framed(&first)].concat();
        let mut accepted: Option<LoginKey> = None;
        loop {
            alter(&mut said);
            match accepting.take(Some(&self.0), &said) {
                Ok(Opening::Login(Turn::Say(record))) => said = framed(&record),
                Ok(Opening::Login(Turn::Done(login, record))) => {
                    accepted = Some(login.key);
                    said = framed(&record);
                }
                _ => return false,
            }
            alter(&mut said);
            match dialling.take(&self.0, &said) {
                Ok(Turn::Say(record)) => said = framed(&record),
                Ok(Turn::Done(login, _)) => {
                    assert!(accepted.is_none_or(|key| key == login.key), "they have different keys");
                    return accepted.is_some();
                }
                _ => return false,
            }
        }
    }
}

//! The client's side.

use subtle::ConstantTimeEq as _;

use super::directives::{Directives, quoted};
use super::{Nonce, Proof, Refused, Service, SessionKey, Side, TOKEN_BYTES_MAX, hex};
use crate::Secret;

/// One exchange with one server.
#[derive(Debug)]
pub struct Client {
    service: Service,
    user: String,
    password: Secret,
    /// As it stands in the response.
    cnonce: String,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Start,
    /// Waits for the server's proof, which must be this.
    Answered(String, SessionKey),
    /// Both sides have proven to know the password.
    Done(SessionKey),
    Ended,
}

impl Client {
    /// An exchange with this random nonce, which must never be used again.
    pub fn new(service: Service, user: &str, password: Secret, nonce: Nonce) -> Client {
        Client { service, user: user.to_owned(), password, cnonce: hex(&nonce), stage: Stage::Start }
    }

    /// Takes the next token of the server. Returns the response to its challenge, and `None` when
    /// the server has proven that it knows the password too. After an error the exchange has ended.
    pub fn step(&mut self, token: &[u8]) -> Result<Option<Vec<u8>>, Refused> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Refused::TooLong);
        }
        match std::mem::replace(&mut self.stage, Stage::Ended) {
            Stage::Start => self.respond(&Directives::parse(token)?).map(Some),
            Stage::Answered(expected, key) => {
                let directives = Directives::parse(token)?;
                let is_right = expected.as_bytes().ct_eq(directives.needed("rspauth")?);
                if !bool::from(is_right) {
                    return Err(Refused::WrongProof);
                }
                self.stage = Stage::Done(key);
                Ok(None)
            }
            Stage::Done(_) | Stage::Ended => Err(Refused::Ended),
        }
    }

    /// The key that both sides have, when the server has proven that it knows the password.
    pub fn session_key(&self) -> Option<SessionKey> {
        match self.stage {
            Stage::Done(key) => Some(key),
            _ => None,
        }
    }

    fn respond(&mut self, challenge: &Directives) -> Result<Vec<u8>, Refused> {
        if challenge.needed("algorithm")? != b"md5-sess" {
            return Err(Refused::Directive("algorithm"));
        }
        let offered = challenge.one("qop")?.unwrap_or(b"auth");
        if !offered.split(|&byte| byte == b',').any(|qop| qop.trim_ascii() == b"auth") {
            return Err(Refused::Directive("qop"));
        }
        let realm = match challenge.all("realm").next() {
            Some(realm) => challenge.text("realm", realm)?,
            None => String::new(),
        };
        let nonce = challenge.needed("nonce")?;
        let uri = self.service.uri();
        let proof = Proof {
            user: &self.user,
            realm: &realm,
            password: self.password.reveal(),
            nonce,
            cnonce: self.cnonce.as_bytes(),
            authzid: None,
            uri: uri.as_bytes(),
        };
        let response = proof.compute(Side::Client);
        self.stage = Stage::Answered(proof.compute(Side::Server), proof.session_key());
        let parts: [&[u8]; 12] = [
            b"charset=utf-8,username=",
            &quoted(self.user.as_bytes()),
            b",realm=",
            &quoted(realm.as_bytes()),
            b",nonce=",
            &quoted(nonce),
            b",nc=00000001,cnonce=",
            &quoted(self.cnonce.as_bytes()),
            b",digest-uri=",
            &quoted(uri.as_bytes()),
            b",response=",
            response.as_bytes(),
        ];
        Ok([&parts.concat()[..], b",qop=auth"].concat())
    }
}

//! The server's side.

use subtle::ConstantTimeEq as _;

use super::directives::Directives;
use super::{Nonce, Proof, Refused, Service, SessionKey, Side, TOKEN_BYTES_MAX, hex};
use crate::Secret;

/// One exchange with one client.
#[derive(Debug)]
pub struct Server {
    service: Service,
    /// As it stands in the challenge.
    nonce: String,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Start,
    Challenged,
    /// The client has proven to know the password.
    Done(SessionKey),
    Ended,
}

/// What a token leads to.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// The client has to answer this challenge.
    Challenge(Vec<u8>),
    /// The client has proven to know the password.
    Accepted(Accepted),
}

/// A client that has authenticated.
#[derive(Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The last token for the client: the server's own proof.
    pub token: Vec<u8>,
    /// The name of the user.
    pub user: String,
}

impl Server {
    /// An exchange with this random nonce, which must never be used again.
    pub fn new(service: Service, nonce: Nonce) -> Server {
        Server { service, nonce: hex(&nonce), stage: Stage::Start }
    }

    /// Takes the next token of the client. `password` looks up a user. After an error the exchange
    /// has ended, except after [`Refused::TooLong`].
    ///
    /// How long this takes does not depend on whether the user is known.
    pub fn step<'p>(
        &mut self,
        token: &[u8],
        password: impl FnOnce(&str) -> Option<&'p Secret>,
    ) -> Result<Step, Refused> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Refused::TooLong);
        }
        match std::mem::replace(&mut self.stage, Stage::Ended) {
            // As in Java, whatever the first token is.
            Stage::Start => {
                self.stage = Stage::Challenged;
                Ok(Step::Challenge(self.challenge()))
            }
            Stage::Challenged => self.check(token, password).map(Step::Accepted),
            Stage::Done(_) | Stage::Ended => Err(Refused::Ended),
        }
    }

    /// The key that both sides have, when the client has proven that it knows the password.
    pub fn session_key(&self) -> Option<SessionKey> {
        match self.stage {
            Stage::Done(key) => Some(key),
            _ => None,
        }
    }

    /// The same directives in the same order as Java's.
    fn challenge(&self) -> Vec<u8> {
        let (realm, nonce) = (self.service.server, &self.nonce);
        format!("realm=\"{realm}\",nonce=\"{nonce}\",charset=utf-8,algorithm=md5-sess").into_bytes()
    }

    fn check<'p>(
        &mut self,
        token: &[u8],
        password: impl FnOnce(&str) -> Option<&'p Secret>,
    ) -> Result<Accepted, Refused> {
        let directives = Directives::parse(token)?;
        self.check_terms(&directives)?;
        let user = directives.text("username", directives.needed("username")?)?;
        let known = password(&user);
        let uri = directives.needed("digest-uri")?;
        let proof = Proof {
            user: &user,
            realm: self.service.server,
            password: known.map_or("", Secret::reveal),
            nonce: self.nonce.as_bytes(),
            cnonce: directives.needed("cnonce")?,
            authzid: directives.one("authzid")?,
            uri,
        };
        let expected = proof.compute(Side::Client);
        let is_right = expected.as_bytes().ct_eq(directives.needed("response")?);
        if !bool::from(is_right) || known.is_none() {
            return Err(Refused::WrongProof);
        }
        let token = format!("rspauth={}", proof.compute(Side::Server)).into_bytes();
        self.stage = Stage::Done(proof.session_key());
        Ok(Accepted { token, user })
    }

    /// Checks everything but the proof.
    fn check_terms(&self, directives: &Directives) -> Result<(), Refused> {
        let nonce = directives.needed("nonce")?;
        let is_ours = nonce == self.nonce.as_bytes();
        let uri = directives.needed("digest-uri")?;
        let realm = directives.text("realm", directives.needed("realm")?)?;
        let qop = directives.one("qop")?.unwrap_or(b"auth");
        for (key, is_right) in [
            ("nonce", is_ours),
            ("realm", realm == self.service.server),
            ("digest-uri", uri.eq_ignore_ascii_case(self.service.uri().as_bytes())),
            ("qop", qop == b"auth"),
            ("maxbuf", directives.one("maxbuf")?.is_none_or(|size| size.iter().all(u8::is_ascii_digit))),
        ] {
            if !is_right {
                return Err(Refused::Directive(key));
            }
        }
        directives.one("nc").and(directives.one("cipher")).map(|_| ())
    }
}

//! SASL's mechanism GSSAPI (RFC 4752) with Kerberos, by MIT's library: the side of a service and
//! that of its client.
//!
//! ```text
//! client                              server
//!   │ ticket for the service            │
//!   │ ─────────────────────────────────►│  accepts the context (one or more rounds)
//!   │   reply of the context            │
//!   │ ◄─────────────────────────────────│
//!   │ an empty token                    │
//!   │ ─────────────────────────────────►│
//!   │   wrapped: no layer, no length    │
//!   │ ◄─────────────────────────────────│
//!   │ wrapped: no layer, an identity    │
//!   │ ─────────────────────────────────►│  the client is authenticated
//! ```
//!
//! The library is loaded when an [`Acceptor`] or an [`Initiator`] is made, so that a program starts
//! without it where nobody needs Kerberos. Every step may read files and ask name servers, and a
//! client's first one asks the Kerberos server: it must not run on a thread that others wait for.

mod initiator;
mod library;

use std::ffi::{CString, NulError};
use std::sync::Arc;

pub use initiator::{Initiation, Initiator};
use library::{Context, Credential, Library};

/// A longer token is refused.
pub const TOKEN_BYTES_MAX: usize = 128 << 10;

/// The layers in the last two messages: none, so there is no length either.
const NO_LAYER: [u8; 4] = [1, 0, 0, 0];

/// Why something failed. Messages of the library name principals and files, and no secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The library is not there, or is not the expected one.
    #[error("{0} cannot be loaded: {1}; install Kerberos' libraries (libgssapi-krb5-2, krb5-libs)")]
    Library(&'static str, String),
    /// A name that cannot be passed to the library.
    #[error("a name contains a zero byte")]
    Name(#[from] NulError),
    /// The library reports this.
    #[error("{0}")]
    Status(String),
    /// The client sent something else than the mechanism needs here.
    #[error("the token is {0}")]
    Token(&'static str),
    /// The exchange has ended before.
    #[error("the exchange has ended before")]
    Ended,
}

/// The key of a service, with which clients are authenticated.
#[derive(Clone, Debug)]
pub struct Acceptor {
    credential: Arc<Credential>,
}

impl Acceptor {
    /// Loads the library, and looks up the key of `principal` in the key table `keytab`, or in that
    /// of the system. The table is read again for each client, so that new keys count at once.
    ///
    /// # Errors
    /// There is no library or no such key.
    pub fn new(keytab: Option<&str>, principal: &str) -> Result<Acceptor, Error> {
        let library = Library::load()?;
        let keytab = keytab.map(CString::new).transpose()?;
        let principal = CString::new(principal)?;
        let credential = Credential::of_service(library, keytab.as_deref(), &principal)?;
        Ok(Acceptor { credential: Arc::new(credential) })
    }

    /// A new exchange with a client.
    pub fn begin(&self) -> Exchange {
        let context = Context::new(Arc::clone(&self.credential));
        Exchange { stage: Stage::Accepting(context) }
    }
}

/// One exchange with one client.
#[derive(Debug)]
pub struct Exchange {
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Accepting(Context),
    /// The context is there; the client has to ask for the layers.
    Established(Context, String),
    /// The client has to choose a layer.
    Offered(Context, String),
    /// The client is authenticated.
    Accepted(Context),
    Ended,
}

/// What a token leads to.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// The client has to answer this token.
    Continue(Vec<u8>),
    /// The client has proven to be this principal.
    Accepted(String),
}

impl Exchange {
    /// Takes the next token of the client. After an error the exchange has ended.
    ///
    /// # Errors
    /// The client is not authenticated.
    pub fn step(&mut self, token: &[u8]) -> Result<Step, Error> {
        let stage = std::mem::replace(&mut self.stage, Stage::Ended);
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Error::Token("too long"));
        }
        match stage {
            Stage::Accepting(context) => self.accept(context, token),
            Stage::Established(context, name) if token.is_empty() => self.offer(context, name),
            Stage::Established(..) => Err(Error::Token("not empty")),
            Stage::Offered(context, name) => {
                let chosen = context.unwrap(token)?;
                // Behind them is the identity that the client wants, which ZooKeeper ignores.
                match chosen.get(..4) {
                    Some([1, ..]) => {
                        self.stage = Stage::Accepted(context);
                        Ok(Step::Accepted(name))
                    }
                    _ => Err(Error::Token("a choice of a layer that was not offered")),
                }
            }
            Stage::Accepted(_) | Stage::Ended => Err(Error::Ended),
        }
    }

    /// 32 random bytes that the client gets too, and nobody else, once it is authenticated.
    ///
    /// # Errors
    /// It is not, or the context has no key.
    pub fn session_key(&self) -> Result<[u8; 32], Error> {
        match &self.stage {
            Stage::Accepted(context) => context.session_key(),
            _ => Err(Error::Ended),
        }
    }

    fn accept(&mut self, mut context: Context, token: &[u8]) -> Result<Step, Error> {
        let (reply, name) = context.accept(token)?;
        let Some(name) = name else {
            self.stage = Stage::Accepting(context);
            return Ok(Step::Continue(reply));
        };
        if reply.is_empty() {
            return self.offer(context, name);
        }
        self.stage = Stage::Established(context, name);
        Ok(Step::Continue(reply))
    }

    fn offer(&mut self, context: Context, name: String) -> Result<Step, Error> {
        let offer = context.wrap(&NO_LAYER)?;
        self.stage = Stage::Offered(context, name);
        Ok(Step::Continue(offer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Either there is no library, or it finds no key: both are told.
    #[test]
    fn a_missing_key_is_told() {
        let error = Acceptor::new(Some("/nowhere/keytab"), "zookeeper/host@EXAMPLE.ORG").unwrap_err();
        let text = error.to_string();
        assert!(text.contains("/nowhere/keytab") || text.contains("cannot be loaded"), "{text}");
        assert!(matches!(Acceptor::new(Some("a\0b"), "x"), Err(Error::Name(_) | Error::Library(..))));
    }

    #[test]
    fn an_exchange_that_has_ended_goes_no_further() {
        let mut exchange = Exchange { stage: Stage::Ended };
        assert_eq!(exchange.step(b""), Err(Error::Ended));
        assert_eq!(exchange.session_key(), Err(Error::Ended));
        assert_eq!(exchange.step(&vec![0; TOKEN_BYTES_MAX + 1]), Err(Error::Token("too long")));
    }
}

//! The side of a client.

use std::ffi::CString;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::library::{Context, Credential, Library};
use crate::{Error, NO_LAYER, TOKEN_BYTES_MAX};

/// A client that proves who it is to services, with a key from a key table.
///
/// Its tickets are kept in memory for all exchanges, and renewed when they are about to expire.
#[derive(Debug)]
pub struct Initiator {
    library: Arc<Library>,
    keytab: CString,
    principal: CString,
    /// The name of the tickets' place in memory.
    cache: CString,
    /// Held while tickets are asked for: exchanges at the same time need not ask for the same ones.
    asking: Mutex<()>,
}

impl Initiator {
    /// Loads the library, and looks up the key of `principal` in the key table `keytab`. Asks no
    /// Kerberos server.
    ///
    /// # Errors
    /// There is no library or no such key.
    pub fn new(keytab: &str, principal: &str) -> Result<Initiator, Error> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let library = Library::load()?;
        let (keytab, principal) = (CString::new(keytab)?, CString::new(principal)?);
        let cache = format!("MEMORY:ostler-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let cache = CString::new(cache)?;
        // A key of a client is found as one of a service is.
        Credential::of_service(Arc::clone(&library), Some(&keytab), &principal)?;
        Ok(Initiator { library, keytab, principal, cache, asking: Mutex::default() })
    }

    /// A new exchange with the service that has this principal.
    ///
    /// # Errors
    /// The name cannot be passed on.
    pub fn begin(self: &Arc<Self>, service: &str) -> Result<Initiation, Error> {
        let service = CString::new(service)?;
        Ok(Initiation { stage: Stage::Start(Arc::clone(self)), service })
    }
}

/// One exchange with one service.
#[derive(Debug)]
pub struct Initiation {
    stage: Stage,
    service: CString,
}

#[derive(Debug)]
enum Stage {
    Start(Arc<Initiator>),
    /// The service has to prove itself.
    Initiating(Context),
    /// The service has to offer layers.
    Established(Context),
    /// The last token has been made.
    Done(Context),
    Ended,
}

impl Initiation {
    /// Takes the next token of the service, nothing at first, and answers with the token for it.
    /// After the token with which [`is_done`](Self::is_done) becomes true, the service says whether
    /// it accepts. After an error the exchange has ended. The first step may wait for the Kerberos
    /// server.
    ///
    /// # Errors
    /// There is no ticket, or the service is not the expected one.
    pub fn step(&mut self, token: &[u8]) -> Result<Vec<u8>, Error> {
        let stage = std::mem::replace(&mut self.stage, Stage::Ended);
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Error::Token("too long"));
        }
        match stage {
            Stage::Start(initiator) => {
                let _asking = initiator.asking.lock();
                let Initiator { library, keytab, principal, cache, .. } = &*initiator;
                let credential = Credential::of_client(Arc::clone(library), keytab, principal, cache)?;
                self.initiate(Context::new(Arc::new(credential)), &[])
            }
            Stage::Initiating(context) => self.initiate(context, token),
            Stage::Established(context) => {
                let offered = context.unwrap(token)?;
                // The first byte has a bit for each layer on offer. The lowest bit means no layer.
                let [layers, _, _, _] = *offered else { return Err(Error::Token("not an offer of layers")) };
                if layers & NO_LAYER[0] == 0 {
                    return Err(Error::Token("an offer without the layer that is wanted"));
                }
                let chosen = context.wrap(&NO_LAYER)?;
                self.stage = Stage::Done(context);
                Ok(chosen)
            }
            Stage::Done(_) | Stage::Ended => Err(Error::Ended),
        }
    }

    fn initiate(&mut self, mut context: Context, token: &[u8]) -> Result<Vec<u8>, Error> {
        let (reply, is_established) = context.initiate(&self.service, token)?;
        self.stage = match is_established {
            true => Stage::Established(context),
            false => Stage::Initiating(context),
        };
        Ok(reply)
    }

    /// Whether there is no further token: the service, which has proven itself, has to accept.
    pub fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Done(_))
    }

    /// 32 random bytes that the service gets too, and nobody else.
    ///
    /// # Errors
    /// The exchange is not done, or the context has no key.
    pub fn session_key(&self) -> Result<[u8; 32], Error> {
        match &self.stage {
            Stage::Done(context) => context.session_key(),
            _ => Err(Error::Ended),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_key_is_told() {
        let error = Initiator::new("/nowhere/keytab", "zkquorum/host@EXAMPLE.ORG").unwrap_err();
        let text = error.to_string();
        assert!(text.contains("/nowhere/keytab") || text.contains("cannot be loaded"), "{text}");
    }

    #[test]
    fn an_exchange_that_has_ended_goes_no_further() {
        let mut exchange = Initiation { stage: Stage::Ended, service: CString::default() };
        assert_eq!(exchange.step(b""), Err(Error::Ended));
        assert_eq!(exchange.step(&vec![0; TOKEN_BYTES_MAX + 1]), Err(Error::Token("too long")));
        assert_eq!((exchange.is_done(), exchange.session_key()), (false, Err(Error::Ended)));
    }
}

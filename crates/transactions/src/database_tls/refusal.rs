//! Why there is no encrypted connection.

use std::error::Error;
use std::io;

use tls::rustls;

/// Whether an error is that of a handshake in which the certificate was refused, by us or by the
/// server. Such an error stays until somebody changes something; others pass.
pub(crate) fn refused_certificate(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        // An error of the system that contains another shows only the causes of that one.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let inner = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let refusal = inner.or_else(|| error.downcast_ref::<rustls::Error>());
        if let Some(refusal) = refusal {
            use rustls::Error::{AlertReceived, InvalidCertificate, NoCertificatesPresented};
            return matches!(refusal, InvalidCertificate(_) | AlertReceived(_) | NoCertificatesPresented);
        }
        cause = error.source();
    }
    false
}

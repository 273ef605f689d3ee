//! TLS as ZooKeeper's users have it: key and trust stores of Java and OpenSSL, certificates judged
//! by the rules of Java, settings named as ZooKeeper names them; the protocol itself is rustls.
//!
//! Nothing here opens a socket. Files are read when a configuration is built and at no other time.

mod algorithms;
mod certificate;
mod der;
mod host;
mod names;
mod revocation;
mod secret;
mod settings;
mod store;
#[cfg(test)]
mod tests;
mod trust;
mod verifier;

pub use rustls;

pub use self::certificate::{AlternativeName, Certificate};
pub use self::host::is_valid_for;
pub use self::secret::Secret;
pub use self::settings::{
    CipherSuites, ClientAuth, ClientSettings, Files, Protocols, ServerSettings, SettingsError, StoreFile,
    UnknownName,
};
pub use self::store::{Entry, Format, StoreError};

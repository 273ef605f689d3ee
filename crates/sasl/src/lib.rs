//! Authentication by SASL, as bytes and rules: JAAS files, the mechanism DIGEST-MD5, and the names
//! of Kerberos principals.
//!
//! Everything here is computed from its arguments: the caller reads files, supplies random nonces
//! and moves tokens between client and server.

pub mod digest_md5;
pub mod jaas;
pub mod kerberos;
mod secret;

pub use secret::Secret;

//! TLS to databases, as the text that names a database asks for it.

mod ca;
mod refusal;
mod url;

pub use ca::DatabaseCa;
pub(crate) use refusal::refused_certificate;
pub(crate) use url::take_parameters;

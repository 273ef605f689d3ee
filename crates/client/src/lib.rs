//! A blocking client of the ZooKeeper protocol.
//!
//! A [`Session`] keeps itself alive: it pings, reconnects, and sets credentials and watches again.
//! It has one thread of its own; any number of threads may use it.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use client::{CreateMode, Session, SessionEvent, SessionOptions, acl};
//!
//! let session = Session::open(&"a:2181,b:2181/app".parse()?, SessionOptions::default())?;
//! let events = session.subscribe();
//! session.create("/mine", Some(b"hello"), &acl::open_acl(), CreateMode::Ephemeral)?;
//! let (data, stat) = session.get_data("/mine", true)?;
//! session.set_data("/mine", data.as_deref(), stat.version)?;
//! assert!(matches!(events.recv()?, SessionEvent::Watch(event) if event.path == "/mine"));
//! session.close()?;
//! # Ok(())
//! # }
//! ```
//!
//! What went wrong is an [`Error`]. [`Error::code`] has ZooKeeper's code;
//! [`Error::may_have_been_executed`] separates what failed from what has an unknown outcome.
//!
//! A [`Connection`] is one TCP connection with one session, for callers that want to control what
//! is sent when. It does nothing on its own: it starts no thread, sends no pings and does not
//! reconnect. A caller idle for longer than the session timeout must call [`Connection::ping`]; a
//! session is resumed with [`Options::resume`].
//!
//! [`status`] asks the servers of an ensemble how they are and judges their answers.

mod connect;
mod connect_string;
mod connection;
mod error;
mod frames;
mod operations;
pub mod session;
mod split;
pub mod status;
mod stream;

pub use connect::{Options, SessionIdentity, four_letter_word};
pub use connect_string::{ConnectString, ConnectStringError};
pub use connection::{Answer, Connection, WatchEvent};
pub use error::{ConnectError, Error, RequestError};
pub use operations::{Child, CreateMode};
pub use session::{Session, SessionEvent, SessionOptions, SessionState};
pub use split::{Incoming, Receiver, Sender};
pub use stream::Tls;
pub use tls::rustls;
pub use tls::{CipherSuites, ClientSettings, Protocols, Secret, SettingsError, StoreFile, UnknownName};
pub use wire::event::{AddWatchMode, EventType, WatcherType};
pub use wire::{Acl, ErrorCode, Stat, acl};

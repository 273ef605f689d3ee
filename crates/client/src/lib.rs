//! A client of the ZooKeeper protocol, for Ostler and for Apache ZooKeeper 3.5 and later.
//!
//! A [`Client`] is a session for tasks of a Tokio runtime. It keeps itself alive: it pings,
//! reconnects, and sets credentials and watches again. Any number of tasks may use it.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use client::{Client, CreateMode, Settings, acl};
//!
//! let client = Client::open(&"a:2181,b:2181/app".parse()?, Settings::default()).await?;
//! client.create("/mine", Some(b"hello"), &acl::open_acl(), CreateMode::Ephemeral).await?;
//! let ((data, stat), mut watch) = client.get_data_and_watch("/mine").await?;
//! client.set_data("/mine", data.as_deref(), stat.version).await?;
//! assert!(watch.fired().await.is_some());
//! let newest = client.linearizable().get_data("/mine", false).await?;
//! client.close().await?;
//! # Ok(())
//! # }
//! ```
//!
//! A [`Session`] is the same for threads: each call waits for its answer.
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
//! What went wrong is an [`Error`]. [`Error::code`] has ZooKeeper's code; [`Error::outcome`] says
//! whether a write was not done, was done, or may have been done.
//!
//! A [`Connection`] is one TCP connection with one session, for callers that want to control what
//! is sent when. It does nothing on its own: it starts no thread, sends no pings and does not
//! reconnect. A caller idle for longer than the session timeout must call [`Connection::ping`]; a
//! session is resumed with [`Options::resume`].
//!
//! [`status`] asks the servers of an ensemble how they are and judges their answers.

mod client;
mod connect;
mod connect_string;
mod connection;
mod error;
mod frames;
mod operations;
pub mod session;
pub mod status;
mod stream;

pub use client::{
    CacheChange, CachedNode, Client, Credentials, Operation, OperationResult, ReadOperation, ReadResult,
    Settings, Transaction, TreeCache, Watch, WatchStream, WatchUpdate,
};
pub use connect::{Options, SessionIdentity, four_letter_word};
pub use connect_string::{ConnectString, ConnectStringError};
pub use connection::{Answer, Connection, WatchEvent};
pub use error::{ConnectError, Error, Outcome, RequestError};
pub use operations::{Child, CreateMode};
pub use session::{Session, SessionEvent, SessionOptions, SessionState};
pub use stream::Tls;
pub use tls::rustls;
pub use tls::{CipherSuites, ClientSettings, Protocols, Secret, SettingsError, StoreFile, UnknownName};
pub use wire::event::{AddWatchMode, EventType, WatcherType};
pub use wire::{Acl, ErrorCode, Stat, acl};

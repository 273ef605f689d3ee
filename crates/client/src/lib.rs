//! A small blocking client of the ZooKeeper protocol.
//!
//! A [`Connection`] is one TCP connection with one session. It does nothing on its own: it starts
//! no thread, sends no pings and does not reconnect. A caller idle for longer than the session
//! timeout must call [`Connection::ping`]; a lost session is resumed with [`Options::resume`].
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use client::{Connection, CreateMode, Options};
//!
//! let mut connection = Connection::connect("127.0.0.1:2181", &Options::default())?;
//! let (data, acl) = (Some(&b"hello"[..]), wire::AclList::OPEN);
//! let path = connection.create("/greeting", data, acl, CreateMode::Persistent)?;
//! let (data, stat) = connection.get_data(&path, false)?;
//! assert_eq!((data.as_deref(), stat.version), (Some(&b"hello"[..]), 0));
//! connection.close()?;
//! # Ok(())
//! # }
//! ```

mod connect;
mod connection;
mod error;
mod frames;
mod operations;
mod split;

pub use connect::{Options, Session, four_letter_word};
pub use connection::{Answer, Connection, Event};
pub use error::{ConnectError, RequestError};
pub use operations::{Child, CreateMode};
pub use split::{Incoming, Receiver, Sender};

//! A small blocking connection to a server of the ZooKeeper protocol.
//!
//! One [`Connection`] is one TCP connection with one session on it. It does what it is told and nothing by itself: it
//! starts no thread, sends no ping on its own, and does not reconnect; whoever holds one longer than the session timeout
//! without a request calls [`Connection::ping`], and takes up a lost session with [`Options::resume`].
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut connection = client::Connection::connect("127.0.0.1:2181", &client::Options::default())?;
//! let path = connection.create("/greeting", Some(b"hello"), wire::AclList::OPEN, client::CreateMode::Persistent)?;
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

//! A ZooKeeper server inside a program, which may answer some requests itself.
//!
//! It is the real server: sessions, watches, ephemeral and sequential znodes, ACLs, four-letter
//! words and the AdminServer work as in `ostler serve`, and its data are durable in the data
//! directory. A program implements the methods of [`ZooServer`] that it wants to answer. A method
//! is asked first: `Ok(None)` lets the server go on as if there were no method, a value is the
//! client's answer, and an error is the client's error.
//!
//! ```no_run
//! use ostler::embed::{Answer, Call, Children, Created, Data, Done, Method, Methods, Server, ZooServer};
//!
//! struct MyServer;
//!
//! impl ZooServer for MyServer {
//!     fn methods(&self) -> Methods {
//!         Methods::of(&[
//!             Method::GetChildren,
//!             Method::Create,
//!             Method::Delete,
//!             Method::SetData,
//!             Method::GetData,
//!         ])
//!     }
//!
//!     fn get_children(&self, _: &Call<'_>, path: &str) -> Answer<Children> {
//!         // …
//!         Ok(None)
//!     }
//!
//!     fn create(&self, _: &Call<'_>, path: &str, data: &[u8]) -> Answer<Created> {
//!         Ok(None)
//!     }
//!
//!     fn delete(&self, _: &Call<'_>, path: &str) -> Answer<Done> {
//!         Ok(None)
//!     }
//!
//!     fn set_data(&self, _: &Call<'_>, path: &str, data: &[u8]) -> Answer<Done> {
//!         Ok(None)
//!     }
//!
//!     fn get_data(&self, _: &Call<'_>, path: &str) -> Answer<Data> {
//!         Ok(None)
//!     }
//! }
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let server = Server::builder().start(MyServer)?;
//!     println!("clients: {}", server.address());
//!     server.run_until_signal()?;
//!     Ok(())
//! }
//! ```
//!
//! # Order and threads
//! Methods run on threads of their own, outside the server's. One thread calls them, one request
//! after the other, in the order in which they arrive. If a call takes longer than 50 ms while
//! others wait, another thread goes on with those, so a method that is called must be prepared for
//! calls at the same time. A client's requests are executed in its order: a write waits until the
//! answers before it are there.
//!
//! A request that is not answered within the deadline, 10 s unless [`Builder::deadline`] says
//! otherwise, fails with `OperationTimeout`, and so does one that finds 10,000 requests waiting.
//! The client's pings are answered meanwhile, and requests that concern no method are never
//! delayed.
//!
//! # What a method that answers has to know
//! - The built-in tree is not touched, and checks nothing: neither ACLs nor quotas.
//! - A `Stat` that is not given has zeros, apart from the lengths that follow from the answer.
//! - A conditional write has a version ([`Call::version`]): check it, or let the server go on.
//! - Watches on data outside the built-in tree fire when the program says so
//!   ([`Announcer::changed`] and its companions), never by themselves.
//! - A `multi` is atomic only in the built-in tree. Each of its writes is asked about; if one is
//!   answered with a value, the whole multi is refused with `Unimplemented`.
//! - After a reconnect the server compares a client's watches with the built-in tree. A watch on
//!   data outside of it fires then, as if the znode had been deleted, and the client reads again.
//! - A server with methods does not have ClickHouse Keeper's extensions of the protocol
//!   (`ostler.keeperExtensions`), about which no method is asked.

mod announcer;
mod builder;
mod call;
mod calling;
mod execute;
mod handler;
mod method;
mod multi;
mod request;
mod server;
mod subject;
mod value;
mod workers;
mod zoo_server;

pub use wire::ErrorCode;
pub use wire::acl::{Acl, Id};
pub use wire::stat::Stat;

pub use self::announcer::{Announcer, InvalidPath};
pub use self::builder::{Builder, StartError};
pub use self::call::Call;
pub use self::handler::Handler;
pub use self::method::{Method, Methods};
pub use self::request::Request;
pub use self::server::{Server, Stopper};
pub use self::subject::Subject;
pub use self::value::{AclList, Children, Created, Data, Done, Value};
pub use self::zoo_server::{Answer, ZooServer};

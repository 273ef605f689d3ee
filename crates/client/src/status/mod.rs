//! The state of an ensemble: [`ask`] asks its servers, [`verdict`] judges what they say together.
//!
//! ```no_run
//! use client::status::{Health, ask, verdict};
//!
//! let servers: client::ConnectString = "a:2181,b:2181,c:2181".parse()?;
//! let answers = ask(servers.servers(), None, std::time::Duration::from_secs(2));
//! let verdict = verdict(&answers);
//! if verdict.health != Health::Healthy {
//!     eprintln!("{}", verdict.sentence);
//! }
//! # Ok::<(), client::ConnectStringError>(())
//! ```

mod ask;
mod verdict;

pub use ask::{Answer, MemberReport, PeerReport, ServerReport, ServerStatus, ask};
pub use verdict::{Health, Verdict, verdict};

/// The number of a server, its `myid`.
pub type ServerId = u32;

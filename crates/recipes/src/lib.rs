//! What programs build on a coordination service: locks, elections, barriers, counters, queues and
//! group membership, over [`client::Client`].
//!
//! The znodes have the layout of Apache Curator, and where it is asked for that of kazoo, so that
//! programs in several languages share one lock. `docs/build/locks.md` says what is shared with
//! whom.
//!
//! ```no_run
//! # async fn example(client: client::Client) -> Result<(), recipes::Error> {
//! use recipes::Mutex;
//!
//! let mutex = Mutex::new(&client, "/locks/report");
//! let guard = mutex.lock().await?;
//! tokio::select! {
//!     () = write_report(guard.token()) => {}
//!     () = guard.lost() => {} // Somebody else may hold the lock now.
//! }
//! guard.release().await?;
//! # Ok(())
//! # }
//! # async fn write_report(token: i64) {}
//! ```
//!
//! # What a lock promises
//!
//! A lock is an ephemeral znode: it ends with the session of its holder. A holder that is paused
//! for longer than its session timeout loses the lock without knowing, and goes on when it wakes
//! up. Nothing that runs in the holder can prevent that. So every guard has a **fencing token**,
//! which rises with each holder: what the lock protects should refuse a token that is lower than
//! one it has seen ([`Guard::token`]). For znodes the check is part of the write
//! ([`Guard::check`]). A guard tells, besides, until when it is sure ([`Guard::sure_until`]) and
//! when it no longer is ([`Guard::lost`]).

mod barrier;
pub mod config;
mod contender;
mod counter;
pub mod discovery;
mod election;
mod error;
mod group;
mod guard;
mod lease;
mod mutex;
mod names;
mod queue;
mod read_write;
mod reentrant;
mod semaphore;
mod simple_queue;

pub use barrier::{Barrier, DoubleBarrier};
pub use contender::Participant;
pub use counter::{Counter, NumberFormat, SharedValue, Versioned};
pub use election::{Candidate, Election, Leadership};
pub use error::Error;
pub use group::{Group, Member, Membership};
pub use guard::Guard;
pub use lease::{Granted, Lease, Obtained};
pub use mutex::{MultiGuard, Mutex, lock_all};
pub use names::Layout;
pub use queue::{Item, Queue};
pub use read_write::ReadWriteLock;
pub use reentrant::{Reentrant, ReentrantGuard};
pub use semaphore::Semaphore;
pub use simple_queue::SimpleQueue;

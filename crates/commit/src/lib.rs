//! What decides in a distributed transaction: two-phase commit, its recovery, and three-phase
//! commit. Events in, actions out.
//!
//! ```text
//!   caller ──Begin──► Coordinator ──Prepare──► participants ──Voted──► Coordinator
//!                         │ Decide: one conditional write
//!                         ▼
//!                        log  ◄──Read, WriteAbort── Recovery ◄──Listed── resources
//!                         │ Written                    │
//!   caller ◄──Answer── Coordinator ──Finish──► participants ◄──Finish──┘
//! ```
//!
//! The crate has no clock, thread, socket or file. Who drives it tells it the time in ms, carries
//! out its actions in any order and with any delay, and reports what comes of them as events. Time
//! decides only when something is tried again or given up, never what is right.
//!
//! ```
//! use commit::Settings;
//! use commit::branch::{Branch, ResourceName};
//! use commit::decision::{Logged, Vote, Witness};
//! use commit::id::{Cluster, TransactionId};
//! use commit::two_phase::{Action, Coordinator, Event, Member};
//!
//! let id = TransactionId { cluster: Cluster(0x5eed), coordinator: 7, number: 1 };
//! let member = |name| -> Result<Member, commit::branch::BadName> {
//!     let branch = Branch { resource: ResourceName::new(name)?, session: None };
//!     Ok(Member { branch, reads_only: false })
//! };
//! let members = vec![member("bank")?, member("shop")?];
//! let mut coordinator = Coordinator::new(id, "teller 7", members, Settings::default())?;
//! assert_eq!(
//!     coordinator.handle(0, Event::Begin),
//!     [Action::Prepare { branch: 0 }, Action::Prepare { branch: 1 }],
//! );
//! coordinator.handle(4, Event::Voted { branch: 1, vote: Vote::Prepared(Witness::default()) });
//! let vote = Vote::Prepared(Witness::new("7421")?);
//! let actions = coordinator.handle(5, Event::Voted { branch: 0, vote });
//! assert!(matches!(&actions[..], [Action::Decide(record)] if record.branches.len() == 2));
//! let actions = coordinator.handle(8, Event::Written(Logged::Stored));
//! let finish = |action: &Action| matches!(action, Action::Finish { .. });
//! assert!(actions.len() == 2 && actions.iter().all(finish));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What makes it right
//!
//! - **The decision is one conditional write** of a record that does not exist yet. Who writes
//!   first has decided; everybody else obeys. So a recovery that aborts a transaction of a slow
//!   coordinator writes the abort first, and the coordinator finds it.
//! - **A commit is written only while the coordinator's fence is in the log**, checked by the same
//!   write. The fence goes when the coordinator's session ends, and no coordinator ever gets it
//!   again. Without it nothing can be decided any more, so a transaction without a record is
//!   aborted for good, and *nothing needs to be written for that*.
//! - **An answer that does not come says nothing.** A write that may have taken place is repeated
//!   until the log says what it has. A participant that does not find a branch is asked for its
//!   list: MariaDB does not find a prepared branch while the session that prepared it lives.
//! - **A record is deleted** when nobody can need it: one of commit when every branch is known to
//!   be finished, by its coordinator or, once the fence is gone, by recovery; one of abort by the
//!   coordinator that obeyed it, if none of its own writes can still arrive, or once the fence is
//!   gone.
//!
//! # Why transactions are not registered
//!
//! A transaction costs one replicated write, of its commit. Registering its branches before the
//! first prepare would be a second one, in the way of the caller, and one for each transaction that
//! aborts. It would tell recovery three things, which it learns otherwise:
//!
//! - *Where to look.* Recovery asks every resource of the installation for what is prepared under
//!   the installation's prefix. Resources are registered, once, before they first take part. So all
//!   that holds locks is listed, by the database that holds them, which cannot be out of date.
//! - *Which sessions to end.* The number of the session is part of the branch's name in the
//!   database ([`Branch::session`](branch::Branch::session)).
//! - *Whose it is.* The id of the transaction names the coordinator, by whose fence recovery tells
//!   whether it may still decide.
//!
//! The price: recovery lists what is prepared in all resources, not only in those of the
//! transactions that are open, and a resource that cannot be reached may hold branches that nobody
//! can name until it is back. Of a transaction that was never decided, recovery does not know
//! branches that somebody has finished by hand before it saw them.

#![forbid(unsafe_code)]

pub mod branch;
pub mod decision;
mod finishing;
pub mod id;
pub mod record;
pub mod recovery;
mod settings;
pub mod three_phase;
pub mod two_phase;

pub use settings::Settings;

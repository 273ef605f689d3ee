//! Configuration: typed and validated values with a history, changed together and watched.
//!
//! ```no_run
//! # async fn example(client: client::Client) -> Result<(), Box<dyn std::error::Error>> {
//! use recipes::config::{Change, Kind, Schema, Store};
//!
//! let schema = Schema::default().with("pool.size", Kind::integer(1..=64));
//! let store = Store::new(&client, "/config/shop")?.with_schema(schema);
//! let change = Change::by("alice").set("pool.size", "8").set("greeting", "hello");
//! store.commit(&change.because("more load")).await?;
//!
//! let mut subscription = store.subscribe();
//! loop {
//!     let snapshot = subscription.changed().await?.seen_by("host-7");
//!     let size: usize = snapshot.get("pool.size")?;
//! #   let _ = size;
//! }
//! # }
//! ```
//!
//! # Znodes
//!
//! | path below the root | what |
//! |---|---|
//! | the root itself | settings as JSON: the format, and how many revisions are kept |
//! | `current` | the newest revision; every change writes it, so its version decides who is first |
//! | `values/KEY` | a value as UTF-8 text, nothing around it |
//! | `history/NUMBER` | a revision as JSON ([`Record`]); the number has ten digits |
//! | `schema` | the schema as JSON, if there is one |
//! | `rollout` | the candidate under way as JSON, if there is one |
//!
//! # What is promised
//!
//! - A change is one multi: values, revision and `current` change together or not at all.
//! - A change is made to the revision that it was computed from, never over another one.
//! - A [`Snapshot`] is of one revision. It may be behind the newest one, never behind what the
//!   session has seen; call [`client::Client::sync`] before, or use a store on
//!   [`client::Client::linearizable`], for the newest.
//! - A change whose answer was lost is looked for by its id, and made once.
//!
//! A program that writes below `values` without this recipe breaks the second and third: its
//! changes have no revision and wake no subscriber.

mod change;
mod duration;
mod error;
mod operations;
mod rollout;
mod schema;
mod snapshot;
mod store;
mod subscription;
mod text;
mod transact;

pub use change::{Action, Change, Difference, Record, Revision, diff};
pub use duration::parse_duration;
pub use error::{Error, Problem};
pub use rollout::Rollout;
pub use schema::{Kind, OtherKeys, Rule, Schema};
pub use snapshot::Snapshot;
pub use store::Store;
pub use subscription::Subscription;

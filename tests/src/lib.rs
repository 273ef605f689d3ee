//! Harness of the whole-system tests: servers as processes, the protocol as bytes, other people's
//! clients.
//!
//! Everything here sees a server from outside, through its socket. The same tests run against
//! Apache ZooKeeper (`OSTLER_TEST_SERVER=zookeeper`), which is how it is known that they ask for
//! ZooKeeper's behaviour and not for ours.

pub mod certificates;
pub mod change;
pub mod client;
pub mod clock;
pub mod compare;
pub mod connection;
pub mod contest;
pub mod contest_log;
pub mod digest_md5;
pub mod ensemble;
pub mod faults;
pub mod field;
pub mod generate;
pub mod golden;
pub mod history;
pub mod jaas;
pub mod jute;
pub mod kdc;
pub mod linear;
pub mod links;
pub mod load;
pub mod measure;
pub mod porcupine;
mod preloaded;
pub mod process;
pub mod recipe_log;
pub mod redis;
pub mod request;
pub mod roaming_client;
pub mod script;
pub mod session;
pub mod slow_disk;
pub mod stopped_start;
pub mod trial;
pub mod verdict;
pub mod waiting;
pub mod watcher;
pub mod writer;

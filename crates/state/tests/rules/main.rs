//! The rules of ZooKeeper that concern the state machine, as scripts. Tests are named after their
//! rules in COMPATIBILITY.md.

mod acl;
mod extensions;
mod grants;
mod large;
mod model;
mod multi;
mod property;
mod quota;
mod reconfig;
mod sessions;
mod snapshot;
mod watches;
mod world;
mod znodes;

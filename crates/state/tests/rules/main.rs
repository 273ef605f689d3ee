//! Every rule of the reference that is the state machine's, as a conversation. A test is named after its rule.

mod acl;
mod extensions;
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

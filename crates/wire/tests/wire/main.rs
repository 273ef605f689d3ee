//! The bytes of the protocol, seen from outside the crate.

mod frame;
mod golden;
mod golden_reply;
mod golden_request;
mod hostile;
mod material;
mod names;
mod path;
mod round_trip;

//! Tests of the protocol's bytes through the public API.

mod frame;
mod golden;
mod golden_reply;
mod golden_request;
mod hostile;
mod material;
mod names;
mod path;
mod round_trip;

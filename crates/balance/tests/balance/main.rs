//! What callers of the crate rely on, each file for one of its promises.

mod bounded;
mod common;
mod frozen;
mod model;
mod movement;
mod refusals;
mod shares;
mod strategies;
mod threads;

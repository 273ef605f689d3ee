//! The floor: servers that only move and flush bytes.
//!
//! Each speaks just enough of the client protocol to be measured by `ostler bench`, keeps no tree, no sessions and no watches,
//! and answers every read with the same bytes. What a real server costs above these figures is what its own work costs;
//! what it costs below them is not possible on the machine at hand.
//!
//! [`epoll`] is the floor proper, with or without a log; [`ensemble`] is the floor of servers that replicate what they
//! write; [`tasks`] answers the same requests with one tokio task per connection, to show what that runtime costs.

pub mod answer;
mod connection;
pub mod ensemble;
pub mod epoll;
pub mod log;
pub mod tasks;

//! The floor: baseline servers that only move and flush bytes.
//!
//! Each speaks just enough of the client protocol to be measured by `ostler bench`. It keeps no
//! tree, sessions or watches, and answers every read with the same bytes. A real server's costs
//! above these figures come from its own work; lower costs are not possible on the same machine.
//!
//! [`epoll`] is the main baseline, with or without a log; [`ensemble`] is the baseline of servers
//! that replicate writes; [`tasks`] answers the same requests with one tokio task per connection,
//! to show the cost of that runtime.

pub mod answer;
mod connection;
pub mod ensemble;
pub mod epoll;
pub mod log;
pub mod tasks;

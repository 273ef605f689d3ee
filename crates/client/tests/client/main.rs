//! The client against scripted servers and real ones.

mod conversation;
mod scripted;
mod server;
mod session;
mod session_ends;
mod status;

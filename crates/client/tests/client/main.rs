//! The client against scripted servers and real ones.

mod asynchronous;
mod cache;
mod conversation;
mod extensions;
mod scripted;
mod server;
mod session;
mod session_ends;
mod status;

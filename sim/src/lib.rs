//! The simulator: whole ensembles in one thread, from one seed.
//!
//! Members are real: the server's own connection and replication code, replica, engine, state and storage. What surrounds them is made
//! here: time, network, disks, power, and clients. After a run, checkers judge what the clients saw.
//!
//! | file | what |
//! |---|---|
//! | `plan`, `faults` | what a seed decides beforehand |
//! | `world` | events and their order |
//! | `host`, `network`, `socket` | machines, ways between members, connections of clients |
//! | `client`, `workload`, `book` | clients, what they ask, what they count on |
//! | `history`, `checkers` | evidence and guarantees |
//! | `shrink` | a failure with as little around it as possible |

#![forbid(unsafe_code)]

pub mod checkers;
pub mod client;
pub mod expected_watches;
pub mod faults;
pub mod history;
pub mod host;
pub mod network;
pub mod plan;
pub mod random;
pub mod shrink;
pub mod socket;
pub mod trace;
pub mod workload;
pub mod world;

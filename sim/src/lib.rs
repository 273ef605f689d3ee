//! The simulator: whole ensembles in one thread, from one seed.
//!
//! Members are real: the server's own connection and replication code, replica, engine, state and
//! storage. Time, network, disks, power and clients are simulated. After a run, checkers judge what
//! the clients saw.
//!
//! | file | content |
//! |---|---|
//! | `plan`, `faults` | everything a seed decides in advance |
//! | `world` | events and their order |
//! | `host`, `network`, `socket` | machines, links between members, client connections |
//! | `client`, `workload`, `expected_watches` | clients, requests, and the events clients expect |
//! | `history`, `checkers` | evidence and guarantees |
//! | `shrink` | reduces a failing run to what the failure needs |

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

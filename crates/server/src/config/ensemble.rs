//! The servers that act as one.

use std::collections::BTreeMap;

use super::{EngineKind, Member};

/// An ensemble, as its `server.N` lines and the keys around them describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ensemble {
    /// Its servers by their numbers, this one among them.
    pub members: BTreeMap<u8, Member>,
    /// `ostler.consensus`: how they agree.
    pub engine: EngineKind,
    /// `ostler.electionTimeoutMs`: a server that hears of no leader for this long stands for election.
    pub election_timeout_ms: u32,
    /// `ostler.heartbeatMs`: how often a leader is heard of at least.
    pub heartbeat_ms: u32,
    /// `ostler.linearizableReads`: whether reads wait until they are certain to see all that was acknowledged before.
    pub linearizable_reads: bool,
}

impl Ensemble {
    /// Numbers of the servers that vote.
    pub fn voters(&self) -> impl Iterator<Item = u8> + '_ {
        self.members.iter().filter(|(_, member)| !member.observer).map(|(server, _)| *server)
    }
}

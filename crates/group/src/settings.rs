//! A group's configuration.

use crate::id::GroupId;
use state::command::Features;
use state::members::{ServerId, Servers};

pub use crate::member_status::EngineKind;

/// Fixed for the life of the process.
#[derive(Clone, Debug)]
pub struct GroupSettings {
    /// The group.
    pub id: GroupId,
    /// The ensemble; `None` for a standalone server.
    pub ensemble: Option<EnsembleSettings>,
    /// Whether `reconfig` changes the members (`reconfigEnabled`); otherwise the configuration
    /// files do.
    pub reconfig: bool,
    /// Whether read-only clients are served without a leader (`readonlymode.enabled`).
    pub read_only_mode: bool,
    /// Switches stamped on every batch of commands.
    pub features: Features,
    /// When containers and TTL nodes are removed.
    pub containers: ContainerSettings,
    /// Ticks of leader silence after which a member stands for election.
    pub election_ticks: u32,
}

impl GroupSettings {
    /// How long clients are served without a leader, in ms.
    pub fn leaderless_ms_max(&self) -> i64 {
        self.ensemble.as_ref().map_or(0, |ensemble| ensemble.leaderless_ms_max)
    }
}

/// An ensemble as this server's configuration file lists it.
#[derive(Clone, Debug)]
pub struct EnsembleSettings {
    /// Its servers by number, including this one.
    pub members: Servers,
    /// The consensus engine.
    pub engine: EngineKind,
    /// The longest time between two messages of a leader, in ms.
    pub heartbeat_ms: u32,
    /// How long clients are served without a leader, in ms.
    pub leaderless_ms_max: i64,
}

impl EnsembleSettings {
    /// The voting servers, by number.
    pub fn voters(&self) -> impl Iterator<Item = ServerId> + '_ {
        self.members.iter().filter(|(_, member)| !member.observer).map(|(server, _)| *server)
    }
}

/// When a leader removes containers and TTL nodes.
#[derive(Clone, Copy, Debug)]
pub struct ContainerSettings {
    /// Time between two checks, in ms (`znode.container.checkIntervalMs`).
    pub check_interval_ms: i64,
    /// Most removals per minute (`znode.container.maxPerMinute`).
    pub per_minute_max: u32,
    /// A container that never had a child is removed after this time in ms; 0 for never
    /// (`znode.container.maxNeverUsedIntervalMs`).
    pub never_used_ms_max: i64,
}

//! What an operator may ask about a running server, as plain values.
//!
//! The four-letter words, the AdminServer and the metrics print these and know nothing of
//! connections, trees or logs; the server supplies them through [`Source`]. All times of day are ms
//! since 1970; all durations are in the unit that their name says.

pub(crate) mod member;

use std::net::SocketAddr;

use group::GroupId;
use state::watch::WatchSummary;

pub use self::member::{
    FileDifference, FollowerFacts, FollowerState, LeadingFacts, MemberChange, MemberLog, MemberRole,
    MemberStatus,
};
use crate::config::{Config, Servers};
use crate::counters::{GroupTotals, SizeBytes, Summary, ThreadTotals, Totals};

/// The source of the answers. Every method may be called from any thread at any time and describes
/// one point in time; two calls may describe different ones.
pub trait Source: Send + Sync {
    /// The configuration the server was started with.
    fn config(&self) -> &Config;
    /// The committed members of the ensemble and the version of that list; empty for a standalone
    /// server.
    fn members(&self) -> (Servers, i64);
    /// Whether requests are served: started, not stopping, and with a leader.
    fn is_serving(&self) -> bool;
    /// The counts; cheap enough for one call a second.
    fn facts(&self) -> Facts;
    /// The counts of the groups beside the root group.
    fn other_groups(&self) -> Vec<GroupFacts>;
    /// Every open client connection, in no particular order.
    fn connections(&self) -> Vec<ConnectionFacts>;
    /// Every session, connected or not, in no particular order.
    fn sessions(&self) -> SessionList;
    /// Numbers of watches.
    fn watch_summary(&self) -> WatchSummary;
    /// Every watch. May be as long as there are watches.
    fn watches(&self) -> WatchFacts;
    /// Bytes of the files in the data and log directories. Walks both.
    fn directory_bytes(&self) -> DirectoryBytes;
    /// Digests of the tree at recent zxids, oldest first: (zxid, digest). Empty if none are kept.
    fn digests(&self) -> Vec<(i64, u64)>;
    /// Reads the certificates of TLS again; `None` without TLS. The error says why the old ones
    /// stay in use.
    #[cfg(feature = "net")]
    fn reload_certificates(&self) -> Option<Result<(), String>>;
    /// Sets latencies, packet counts and the other statistics to zero (`srst`), as the table of
    /// `counters` says.
    fn reset_statistics(&self);
    /// Sets the statistics of every connection to zero (`crst`).
    fn reset_connection_statistics(&self);
    /// Requests a snapshot now (`csnp`). Returns the index of the last log entry it will cover;
    /// `None` if it could not be requested.
    fn request_snapshot(&self) -> Option<u64>;
    /// Asks this server to become leader (`rqld`), or to let another one lead (`ydld`). The outcome
    /// shows in the role.
    fn request_leadership(&self, leads: bool);
}

/// The role of this server, in ZooKeeper's words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ServerState {
    /// Standalone.
    #[default]
    Standalone,
    /// The leader of an ensemble.
    Leader,
    /// A member of an ensemble that votes.
    Follower,
    /// A member of an ensemble without a vote.
    Observer,
    /// Cut off from the others, serving reads only.
    ReadOnly,
}

impl ServerState {
    /// As `srvr` prints it after `Mode:`.
    pub fn name(self) -> &'static str {
        match self {
            ServerState::Standalone => "standalone",
            ServerState::Leader => "leader",
            ServerState::Follower => "follower",
            ServerState::Observer => "observer",
            ServerState::ReadOnly => "read-only",
        }
    }
}

/// Facts about the whole server, and about its root group.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// Whether all clients are served, not only read-only ones.
    pub serving: bool,
    /// Time since the start, in ms.
    pub uptime_ms: u64,
    /// The client port; the one the system chose if 0 was configured, 0 if there is none.
    pub client_port: u16,
    /// The port of clients that speak TLS.
    pub secure_port: Option<u16>,
    /// TLS handshakes that have begun and are not complete.
    pub tls_handshakes: u64,
    /// Open client connections.
    pub connections: u64,
    /// Requests received and not yet answered.
    pub outstanding_requests: u64,
    /// The value of `/keeper/api_version`; 0 without the extensions.
    pub keeper_api_version: u32,
    /// What all connection threads counted.
    pub threads: ThreadTotals,
    /// What the other threads counted.
    pub counts: Totals,
    /// The root group.
    pub root: GroupFacts,
}

impl Facts {
    /// µs from reading a request to queueing its reply.
    pub fn latency(&self) -> Summary {
        self.threads.read_latency.joined(&self.threads.update_latency)
    }

    /// Last, smallest and largest reply in bytes, -1 if there was none.
    pub(crate) fn response_sizes(&self) -> [i64; 3] {
        last_min_max(self.threads.response_bytes)
    }
}

/// Facts about a consensus group, as this server sees it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GroupFacts {
    /// Its number.
    pub group: GroupId,
    /// This server's role.
    pub state: ServerState,
    /// The ensemble; `None` for a server that its configuration makes standalone.
    pub member: Option<MemberStatus>,
    /// The last zxid that was applied.
    pub last_zxid: i64,
    /// Znodes, `/` included.
    pub znodes: u64,
    /// Ephemeral znodes.
    pub ephemerals: u64,
    /// Bytes of all paths and data, as ZooKeeper estimates them.
    pub data_bytes: u64,
    /// Watches.
    pub watches: u64,
    /// Sessions.
    pub sessions: u64,
    /// The last snapshot; `None` before the first.
    pub snapshot: Option<SnapshotFacts>,
    /// The log.
    pub log: LogFacts,
    /// What was counted.
    pub counts: GroupTotals,
}

impl GroupFacts {
    /// Last, smallest and largest proposal in bytes, -1 if there was none.
    pub(crate) fn proposal_sizes(&self) -> [i64; 3] {
        last_min_max(self.counts.proposal_bytes)
    }

    /// The other members, if this server leads.
    pub(crate) fn followers(&self) -> impl Iterator<Item = &FollowerFacts> {
        self.member.iter().flat_map(|member| &member.leading).flat_map(|leading| &leading.followers)
    }
}

fn last_min_max(sizes: Option<SizeBytes>) -> [i64; 3] {
    sizes.map_or([-1; 3], |sizes| [sizes.last, sizes.min, sizes.max].map(|size| size as i64))
}

/// A finished snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotFacts {
    /// The zxid up to which it reaches.
    pub zxid: i64,
    /// The index of the last log entry it covers.
    pub log_index: u64,
    /// When it was finished, ms since 1970.
    pub finished_ms: i64,
}

/// Positions in the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogFacts {
    /// Index of the oldest entry kept.
    pub first_index: u64,
    /// Its term.
    pub first_term: u64,
    /// Index of the newest entry.
    pub last_index: u64,
    /// Its term.
    pub last_term: u64,
    /// Index of the newest committed entry.
    pub committed_index: u64,
}

/// Bytes on disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DirectoryBytes {
    /// Of `dataDir`.
    pub data: u64,
    /// Of `dataLogDir`.
    pub log: u64,
}

/// One client connection.
#[derive(Debug, Clone, PartialEq)]
pub struct ConnectionFacts {
    /// The client's address.
    pub peer: SocketAddr,
    /// Whether it is encrypted.
    pub is_secure: bool,
    /// Requests received and not yet answered.
    pub outstanding: u64,
    /// Packets received since the reset.
    pub received: u64,
    /// Packets sent since the reset.
    pub sent: u64,
    /// When it was accepted, ms since 1970.
    pub established_ms: i64,
    /// The session on it; `None` before there is one.
    pub session: Option<ConnectionSession>,
}

/// Facts about a connection with a session.
#[derive(Debug, Clone, PartialEq)]
pub struct ConnectionSession {
    /// The session's id.
    pub id: i64,
    /// Its timeout in ms.
    pub timeout_ms: u32,
    /// The last answered opcode; `None` if nothing was answered since the reset.
    pub last_opcode: Option<i32>,
    /// xid of the last answered request; negative for none, and for pings and the like, which have
    /// no xid of their own.
    pub last_xid: i64,
    /// zxid in the last reply, -1 for none.
    pub last_zxid: i64,
    /// When the last reply was queued, in ms of a monotonic clock that began with the server; 0 for
    /// never.
    pub last_response_ms: i64,
    /// Latency of the last request in ms.
    pub last_latency_ms: u64,
    /// The smallest, average and largest latency since the reset, in ms.
    pub latency_ms: (u64, u64, u64),
}

/// One session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionFacts {
    /// Its id.
    pub id: i64,
    /// When it expires unless it is heard from before, ms since 1970; the same for all sessions of
    /// an expiry bucket.
    pub expires_ms: i64,
    /// Paths of its ephemeral znodes.
    pub ephemerals: Vec<String>,
}

/// All watches: pairs of a path and the id of a session that watches it, without duplicates, in no
/// particular order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WatchFacts {
    /// (path, session id).
    pub pairs: Vec<(String, i64)>,
    /// The list is incomplete.
    pub is_cut_short: bool,
}

/// All sessions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionList {
    /// Each session once.
    pub sessions: Vec<SessionFacts>,
    /// Some sessions have more ephemeral znodes than listed.
    pub is_cut_short: bool,
}

#[cfg(test)]
pub(crate) mod fake {
    //! A source with a bit of everything, for tests.

    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    use super::*;
    use crate::config::{self, CommandLine, Ensemble, Member};

    /// A source with fixed answers.
    pub(crate) struct Fake {
        pub(crate) config: Config,
        pub(crate) facts: Facts,
        pub(crate) others: Vec<GroupFacts>,
        pub(crate) serving: AtomicBool,
        pub(crate) resets: AtomicU32,
        pub(crate) connection_resets: AtomicU32,
        pub(crate) is_cut_short: bool,
    }

    /// The session of every fake.
    pub(crate) const SESSION: i64 = 0x0100_0019_1f00_0000;

    impl Fake {
        pub(crate) fn new() -> Fake {
            let command_line = CommandLine {
                data_dir: Some("/var/lib/ostler".into()),
                definitions: vec!["4lw.commands.whitelist=*".into(), "tickTime=2000".into()],
                ..CommandLine::default()
            };
            let config = config::load(&command_line).unwrap().config;
            let (serving, resets, connection_resets) =
                (AtomicBool::new(true), AtomicU32::new(0), AtomicU32::new(0));
            Fake {
                config,
                facts: facts(),
                others: Vec::new(),
                serving,
                resets,
                connection_resets,
                is_cut_short: false,
            }
        }
    }

    impl Fake {
        /// The same server as a member of an ensemble.
        pub(crate) fn of_ensemble(member: MemberStatus) -> Fake {
            let mut fake = Fake::new();
            let servers = [1, 2, 3, 4].map(|n| {
                let observer = if n == 4 { ":observer" } else { "" };
                let line = format!("127.0.0.1:2430{n}:2430{n}{observer}");
                (n, line.parse::<Member>().unwrap())
            });
            fake.config.server_id = member.server;
            fake.config.ensemble = Some(Ensemble {
                members: BTreeMap::from(servers),
                engine: member.engine,
                election_timeout_ms: 300,
                heartbeat_ms: 50,
                linearizable_reads: false,
                listen_on_all_ips: false,
                secret: None,
                is_secret_required: true,
            });
            let root = &mut fake.facts.root;
            root.state = ServerState::from(&member);
            root.counts.proposal_bytes = Some(SizeBytes { last: 48, min: 32, max: 110 });
            root.member = Some(member);
            fake
        }
    }

    fn facts() -> Facts {
        Facts {
            serving: true,
            uptime_ms: 55_046,
            client_port: 2181,
            secure_port: None,
            tls_handshakes: 0,
            connections: 2,
            outstanding_requests: 3,
            keeper_api_version: 2,
            threads: thread_totals(),
            counts: Totals {
                connection_requests: 4,
                flush_time: summary(5, 24_000, 3_000, 8_000, [5_000, 8_000, 8_000, 8_000]),
                batch_size: summary(5, 8, 1, 3, [1, 3, 3, 3]),
                ..Totals::default()
            },
            root: GroupFacts {
                last_zxid: 8,
                znodes: 12,
                ephemerals: 2,
                data_bytes: 246,
                watches: 3,
                sessions: 1,
                snapshot: Some(SnapshotFacts { zxid: 7, log_index: 9, finished_ms: 1_795_408_467_123 }),
                log: LogFacts {
                    first_index: 1,
                    first_term: 1,
                    last_index: 12,
                    last_term: 2,
                    committed_index: 11,
                },
                ..GroupFacts::default()
            },
        }
    }

    fn thread_totals() -> ThreadTotals {
        ThreadTotals {
            received: 24,
            sent: 25,
            bytes_received: 614,
            bytes_sent: 444,
            response_bytes: Some(SizeBytes { last: 26, min: 16, max: 109 }),
            read_latency: summary(12, 14_000, 900, 2_100, [1_000, 2_000, 2_000, 2_100]),
            update_latency: summary(9, 90_000, 3_000, 61_900, [8_000, 20_000, 60_000, 61_900]),
        }
    }

    fn summary(count: u64, sum: u64, min: u64, max: u64, quantiles: [u64; 4]) -> Summary {
        Summary { count, sum, min, max, quantiles }
    }

    impl Source for Fake {
        fn config(&self) -> &Config {
            &self.config
        }

        fn members(&self) -> (Servers, i64) {
            (self.config.ensemble.as_ref().map(|ensemble| ensemble.members.clone()).unwrap_or_default(), 0)
        }

        fn is_serving(&self) -> bool {
            self.serving.load(Ordering::Relaxed)
        }

        fn facts(&self) -> Facts {
            self.facts.clone()
        }

        fn other_groups(&self) -> Vec<GroupFacts> {
            self.others.clone()
        }

        fn connections(&self) -> Vec<ConnectionFacts> {
            let session = ConnectionSession {
                id: SESSION,
                timeout_ms: 30_000,
                last_opcode: Some(11),
                last_xid: 0x13,
                last_zxid: 8,
                last_response_ms: 1_732_948,
                last_latency_ms: 0,
                latency_ms: (0, 4, 61),
            };
            vec![
                ConnectionFacts {
                    peer: "127.0.0.1:60976".parse().unwrap(),
                    is_secure: false,
                    outstanding: 0,
                    received: 21,
                    sent: 23,
                    established_ms: 1_795_408_509_153,
                    session: Some(session),
                },
                ConnectionFacts {
                    peer: "[::1]:50644".parse().unwrap(),
                    is_secure: true,
                    outstanding: 0,
                    received: 1,
                    sent: 0,
                    established_ms: 1_795_408_530_999,
                    session: None,
                },
            ]
        }

        fn sessions(&self) -> SessionList {
            let ephemerals = vec!["/app/worker2".into(), "/app/worker".into()];
            let sessions = vec![SessionFacts { id: SESSION, expires_ms: 1_795_408_551_000, ephemerals }];
            SessionList { sessions, is_cut_short: self.is_cut_short }
        }

        fn watch_summary(&self) -> WatchSummary {
            WatchSummary { watchers: 2, paths: 2, watches: 3 }
        }

        fn watches(&self) -> WatchFacts {
            let other = SESSION + 1;
            let pairs = vec![("/app".into(), SESSION), ("/app/none".into(), SESSION), ("/app".into(), other)];
            WatchFacts { pairs, is_cut_short: self.is_cut_short }
        }

        fn directory_bytes(&self) -> DirectoryBytes {
            DirectoryBytes { data: 457, log: 67_109_358 }
        }

        fn digests(&self) -> Vec<(i64, u64)> {
            vec![(0x80, 1_371_985_504)]
        }

        fn reload_certificates(&self) -> Option<Result<(), String>> {
            self.facts.secure_port.map(|_| Ok(()))
        }

        fn reset_statistics(&self) {
            self.resets.fetch_add(1, Ordering::Relaxed);
        }

        fn reset_connection_statistics(&self) {
            self.connection_resets.fetch_add(1, Ordering::Relaxed);
        }

        fn request_leadership(&self, _leads: bool) {}

        fn request_snapshot(&self) -> Option<u64> {
            Some(self.facts.root.log.committed_index)
        }
    }
}

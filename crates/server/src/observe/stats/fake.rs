//! A source with a bit of everything, for tests.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::*;
use crate::config::{self, CommandLine, Ensemble, Member};
use crate::inbox::WrittenSnapshot;

/// A source with fixed answers.
pub(crate) struct Fake {
    pub(crate) config: Config,
    pub(crate) facts: Facts,
    pub(crate) others: Vec<GroupFacts>,
    pub(crate) serving: AtomicBool,
    pub(crate) resets: AtomicU32,
    pub(crate) connection_resets: AtomicU32,
    pub(crate) is_cut_short: bool,
    /// How every snapshot ends.
    pub(crate) snapshot: Result<WrittenSnapshot, String>,
    /// The identities that may have one.
    pub(crate) copiers: Vec<String>,
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
            snapshot: Err("there is no disk".to_owned()),
            copiers: Vec::new(),
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

    fn take_snapshot(&self, waiter: SnapshotWaiter) {
        waiter.tell(self.snapshot.clone());
    }

    fn may_copy(&self, identities: &Identities) -> bool {
        identities.iter().any(|(scheme, id)| self.copiers.contains(&format!("{scheme}:{id}")))
    }
}

//! The facts behind the words, the AdminServer and the metrics.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::config::limits::LISTED_BYTES_MAX;
use crate::config::{Config, Servers};
use crate::connections::Traffic;
use crate::counters::{Counts, GroupCounts, ThreadCounts};
use crate::inbox::{ControlRequest, SnapshotWaiter};
use crate::namespace::Namespace;
use crate::observe::stats::{
    ConnectionFacts, ConnectionSession, DirectoryBytes, Facts, GroupFacts, LogFacts, ServerState,
    SessionFacts, SessionList, SnapshotFacts, Source, WatchFacts,
};
use crate::shared::Shared;
use group::{GroupId, Token};
use state::acl::Asker;
use state::auth::Identities;
use state::command::Features;
use state::watch::WatchSummary;

/// The value of `/keeper/api_version` with the extensions on.
const KEEPER_API_VERSION: u32 = 6;

/// Paths copied at a time while the state or the watch table is locked.
const COPIED_AT_ONCE: usize = 1000;

/// A view of the running server.
pub struct Report {
    shared: Arc<Shared>,
}

impl Report {
    /// A view of this server.
    pub fn new(shared: &Arc<Shared>) -> Report {
        Report { shared: Arc::clone(shared) }
    }

    fn group(&self, namespace: &Namespace) -> GroupFacts {
        let (last_zxid, znodes, ephemerals, data_bytes, sessions) = {
            let machine = namespace.machine.read();
            let sizes = (machine.znode_count(), machine.ephemerals_count());
            (machine.last_zxid(), sizes.0, sizes.1, machine.data_bytes(), machine.sessions_count())
        };
        let counts = GroupCounts::totals(std::iter::once(&*namespace.counts));
        let member = namespace.member_status.lock().clone();
        GroupFacts {
            group: namespace.group,
            state: if self.shared.is_read_only(namespace.group) {
                ServerState::ReadOnly
            } else {
                member.as_ref().map_or(ServerState::Standalone, ServerState::from)
            },
            last_zxid,
            znodes: znodes as u64,
            ephemerals: ephemerals as u64,
            data_bytes,
            watches: namespace.watches.lock().summary().watches as u64,
            sessions: sessions as u64,
            snapshot: (counts.snapshot_finished_ms != 0).then_some(SnapshotFacts {
                zxid: counts.snapshot_zxid,
                log_index: counts.snapshot_index,
                finished_ms: counts.snapshot_finished_ms,
            }),
            log: LogFacts {
                first_index: counts.first_index,
                first_term: counts.last_term.min(1),
                last_index: counts.last_index,
                last_term: counts.last_term,
                committed_index: member.as_ref().map_or(counts.last_index, |member| member.log.committed),
            },
            member,
            counts,
        }
    }

    /// Paths of a session's ephemeral znodes, sorted, up to `room` bytes in all.
    fn ephemerals(&self, session: i64, room: &mut usize) -> Vec<String> {
        let (mut paths, mut after) = (Vec::new(), None);
        loop {
            // Locked for a few paths at a time: writers have to wait for it.
            let machine = self.shared.root().machine.read();
            after = machine.ephemerals_from(session, after, COPIED_AT_ONCE, &mut |path| {
                *room = room.saturating_sub(path.len());
                if *room > 0 {
                    paths.push(path.to_owned());
                }
            });
            if after.is_none() || *room == 0 {
                break;
            }
        }
        paths.sort_unstable();
        paths
    }

    fn connection(traffic: &Traffic) -> ConnectionFacts {
        let id = traffic.session.load(Relaxed);
        let latency = &traffic.latency;
        let session = (id != 0).then(|| ConnectionSession {
            id,
            timeout_ms: traffic.timeout_ms.load(Relaxed).max(0) as u32,
            last_opcode: Some(traffic.last_opcode.load(Relaxed)).filter(|op| *op != 0),
            last_xid: traffic.last_cxid.load(Relaxed),
            last_zxid: traffic.last_zxid.load(Relaxed),
            last_response_ms: traffic.last_response_ms.load(Relaxed),
            last_latency_ms: latency.last_ms.load(Relaxed),
            latency_ms: (latency.min_ms(), latency.mean_ms() as u64, latency.max_ms.load(Relaxed)),
        });
        ConnectionFacts {
            peer: traffic.peer,
            is_secure: traffic.is_secure.load(Relaxed),
            outstanding: traffic.outstanding.load(Relaxed),
            received: traffic.received.load(Relaxed),
            sent: traffic.sent.load(Relaxed),
            established_ms: traffic.established_ms,
            session,
        }
    }
}

impl Source for Report {
    fn config(&self) -> &Config {
        &self.shared.config
    }

    fn members(&self) -> (Servers, i64) {
        let Some(ensemble) = &self.shared.config.ensemble else { return Default::default() };
        let machine = self.shared.root().machine.read();
        match &machine.members().current {
            Some(current) if self.shared.config.requests.reconfig => {
                (state::members::servers_of(&current.text), current.version)
            }
            _ => (ensemble.members.clone(), 0),
        }
    }

    fn is_serving(&self) -> bool {
        self.shared.is_serving(GroupId::ROOT) || self.shared.is_read_only(GroupId::ROOT)
    }

    fn facts(&self) -> Facts {
        let shared = &self.shared;
        let extensions = shared.features.has(Features::KEEPER_EXTENSIONS);
        Facts {
            serving: shared.is_serving(GroupId::ROOT),
            uptime_ms: shared.clock.elapsed_ms().max(0) as u64,
            client_port: shared.client_port,
            secure_port: shared.secure_port,
            #[cfg(feature = "net")]
            tls_handshakes: shared.tls.as_ref().map_or(0, |acceptor| acceptor.handshakes() as u64),
            #[cfg(not(feature = "net"))]
            tls_handshakes: 0,
            connections: shared.connections.len() as u64,
            outstanding_requests: shared.inbox.outstanding() as u64,
            keeper_api_version: if extensions { KEEPER_API_VERSION } else { 0 },
            threads: ThreadCounts::totals(shared.threads.iter().map(|thread| &**thread)),
            counts: Counts::totals(std::iter::once(&*shared.counts)),
            root: self.group(shared.root()),
        }
    }

    fn other_groups(&self) -> Vec<GroupFacts> {
        self.shared.namespaces.iter().skip(1).map(|namespace| self.group(namespace)).collect()
    }

    fn connections(&self) -> Vec<ConnectionFacts> {
        self.shared.connections.all().iter().map(|(_, traffic)| Report::connection(traffic)).collect()
    }

    fn sessions(&self) -> SessionList {
        let to_wall_ms = self.shared.clock.wall_ms() - self.shared.clock.elapsed_ms();
        let buckets = self.shared.root().sessions.expiries();
        let mut room = LISTED_BYTES_MAX;
        let facts = buckets.into_iter().map(|(due_ms, id)| SessionFacts {
            id,
            expires_ms: due_ms + to_wall_ms,
            ephemerals: self.ephemerals(id, &mut room),
        });
        SessionList { sessions: facts.collect(), is_cut_short: room == 0 }
    }

    fn watch_summary(&self) -> WatchSummary {
        self.shared.root().watches.lock().summary()
    }

    fn watches(&self) -> WatchFacts {
        let mut pairs = Vec::new();
        let mut piece = Vec::new();
        let mut room = LISTED_BYTES_MAX;
        let mut cursor = Some(0);
        while let Some(from) = cursor.filter(|_| room > 0) {
            // Locked for a few paths at a time: applying changes has to wait for it.
            cursor =
                self.shared.root().watches.lock().pairs_from(from, COPIED_AT_ONCE, &mut |path, watcher| {
                    room = room.saturating_sub(path.len());
                    if room > 0 {
                        piece.push((path.to_owned(), Token(watcher.0)));
                    }
                });
            for (path, token) in piece.drain(..) {
                if let Some(traffic) = self.shared.connections.get(token) {
                    pairs.push((path, traffic.session.load(Relaxed)));
                }
            }
        }
        WatchFacts { pairs, is_cut_short: room == 0 }
    }

    fn directory_bytes(&self) -> DirectoryBytes {
        let storage = &self.shared.config.storage;
        DirectoryBytes { data: bytes_below(&storage.data_dir), log: bytes_below(&storage.log_dir) }
    }

    fn digests(&self) -> Vec<(i64, u64)> {
        Vec::new()
    }

    #[cfg(feature = "net")]
    fn reload_certificates(&self) -> Option<Result<(), String>> {
        let servers = self.shared.peer_tls.as_ref().map(|tls| tls.reload());
        let others = self.shared.acceptors().map(|acceptor| acceptor.reload());
        let outcome = others.chain(servers).reduce(Result::and)?;
        Some(outcome.map_err(|e| e.to_string()))
    }

    fn reset_statistics(&self) {
        self.shared.threads.iter().for_each(|thread| thread.reset());
        self.shared.counts.reset();
        self.shared.namespaces.iter().for_each(|namespace| namespace.counts.reset());
    }

    fn reset_connection_statistics(&self) {
        for (_, traffic) in self.shared.connections.all() {
            traffic.reset();
        }
    }

    fn request_leadership(&self, leads: bool) {
        let root = GroupId::ROOT;
        self.shared.inbox.ask(if leads {
            ControlRequest::Lead(root)
        } else {
            ControlRequest::StepDown(root)
        });
    }

    fn request_snapshot(&self) -> Option<u64> {
        self.shared.inbox.ask(ControlRequest::TakeSnapshot(GroupId::ROOT, None));
        Some(self.shared.root().counts.last_index.load(Relaxed))
    }

    fn take_snapshot(&self, waiter: SnapshotWaiter) {
        self.shared.inbox.ask(ControlRequest::TakeSnapshot(GroupId::ROOT, Some(waiter)));
    }

    fn may_copy(&self, identities: &Identities) -> bool {
        let skip_acl = self.shared.config.requests.skip_acl;
        let asker = Asker { identities: identities.encoded(), skip_acl };
        self.shared.root().machine.read().may_copy(&asker)
    }
}

/// Bytes of all files below a directory; unreadable ones are not counted.
fn bytes_below(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let mut bytes = 0;
    for entry in entries.flatten() {
        match entry.metadata() {
            Ok(found) if found.is_dir() => bytes += bytes_below(&entry.path()),
            Ok(found) => bytes += found.len(),
            Err(_) => {}
        }
    }
    bytes
}

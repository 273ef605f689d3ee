//! The facts behind the words, the AdminServer and the metrics.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use crate::client::connections::{Latency, Traffic};
use crate::config::limits::LISTED_BYTES_MAX;
use crate::config::{Config, Servers};
use crate::inbox::ControlRequest;
use crate::observe::metrics::{Recorder, Summary};
use crate::observe::stats::{
    ConnectionFacts, ConnectionSession, DirectoryBytes, Facts, LogFacts, ServerState, SessionFacts,
    SessionList, SizeBytes, SnapshotFacts, Source, WatchFacts,
};
use crate::shared::{Shared, ThreadCounts};
use group::{GroupId, Token};
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

    fn sum(&self, of: fn(&ThreadCounts) -> &AtomicU64) -> u64 {
        self.shared.threads.iter().map(|t| of(t).load(Relaxed)).sum()
    }

    fn summary(&self, of: fn(&ThreadCounts) -> &Recorder) -> Summary {
        Recorder::summary_of(self.shared.threads.iter().map(|t| of(t)))
    }

    fn response_bytes(&self) -> Option<SizeBytes> {
        let used =
            || self.shared.threads.iter().map(|t| &t.response_bytes).filter(|b| b.count.load(Relaxed) > 0);
        Some(SizeBytes {
            last: used().map(|b| b.last_ms.load(Relaxed)).next()?,
            min: used().map(Latency::min_ms).min()?,
            max: used().map(|b| b.max_ms.load(Relaxed)).max()?,
        })
    }

    fn proposal_bytes(&self) -> Option<SizeBytes> {
        let sizes = &self.shared.root().counts.proposal_bytes;
        (sizes.count.load(Relaxed) > 0).then(|| SizeBytes {
            last: sizes.last_ms.load(Relaxed),
            min: sizes.min_ms(),
            max: sizes.max_ms.load(Relaxed),
        })
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
        let (root, counts) = (shared.root(), &shared.counts);
        let of_group = &root.counts;
        let (last_zxid, znodes, ephemerals, data_bytes, sessions) = {
            let machine = root.machine.read();
            let sizes = (machine.znode_count(), machine.ephemerals_count());
            (machine.last_zxid(), sizes.0, sizes.1, machine.data_bytes(), machine.sessions_count())
        };
        let finished_ms = of_group.snapshot_finished_ms.load(Relaxed);
        let extensions = shared.features.has(Features::KEEPER_EXTENSIONS);
        let member = root.member_status.lock().clone();
        let (last_index, last_term) = (of_group.last_index.load(Relaxed), of_group.last_term.load(Relaxed));
        Facts {
            state: if shared.is_read_only(GroupId::ROOT) {
                ServerState::ReadOnly
            } else {
                member.as_ref().map_or(ServerState::Standalone, ServerState::from)
            },
            serving: shared.is_serving(GroupId::ROOT),
            proposal_bytes: self.proposal_bytes(),
            uptime_ms: shared.clock.elapsed_ms().max(0) as u64,
            last_zxid,
            client_port: shared.client_port,
            connections: shared.connections.len() as u64,
            outstanding_requests: shared.inbox.outstanding() as u64,
            packets_received: self.sum(|t| &t.received),
            packets_sent: self.sum(|t| &t.sent),
            response_bytes: self.response_bytes(),
            bytes_received: self.sum(|t| &t.bytes_received),
            bytes_sent: self.sum(|t| &t.bytes_sent),
            znodes: znodes as u64,
            ephemerals: ephemerals as u64,
            data_bytes,
            watches: root.watches.lock().summary().watches as u64,
            sessions: sessions as u64,
            auth_failed: counts.auth_failed.load(Relaxed),
            connection_requests: counts.connection_requests.load(Relaxed),
            connections_rejected: counts.connections_rejected.load(Relaxed),
            connections_dropped: counts.connections_dropped.load(Relaxed),
            handshakes_timed_out: counts.handshakes_timed_out.load(Relaxed),
            sessions_expired: of_group.sessions_expired.load(Relaxed),
            large_requests_rejected: counts.large_requests_rejected.load(Relaxed),
            throttle_waits: counts.throttle_waits.load(Relaxed),
            throttled_requests: counts.throttled_requests.load(Relaxed),
            writes_refused: of_group.writes_refused.load(Relaxed),
            messages_refused: counts.messages_refused.load(Relaxed),
            handovers: of_group.handovers.load(Relaxed),
            flushes_slow: counts.flushes_slow.load(Relaxed),
            read_latency: self.summary(|t| &t.read_latency),
            update_latency: self.summary(|t| &t.update_latency),
            flush_time: counts.flush_time.summary(),
            batch_size: counts.batch_size.summary(),
            snapshot_time: of_group.snapshot_time.summary(),
            load_time: counts.load_time.summary(),
            quorum: of_group.quorum.facts(),
            snapshot: (finished_ms != 0).then(|| SnapshotFacts {
                zxid: of_group.snapshot_zxid.load(Relaxed),
                log_index: of_group.snapshot_index.load(Relaxed),
                finished_ms,
            }),
            log: LogFacts {
                first_index: of_group.first_index.load(Relaxed),
                first_term: last_term.min(1),
                last_index,
                last_term,
                committed_index: member.as_ref().map_or(last_index, |member| member.log.committed),
            },
            member,
            keeper_api_version: if extensions { KEEPER_API_VERSION } else { 0 },
        }
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

    fn reset_statistics(&self) {
        for thread in &self.shared.threads {
            for count in [&thread.received, &thread.sent, &thread.bytes_received, &thread.bytes_sent] {
                count.store(0, Relaxed);
            }
            thread.latency.reset();
            thread.response_bytes.reset();
            thread.read_latency.reset();
            thread.update_latency.reset();
        }
        let (counts, of_group) = (&self.shared.counts, &self.shared.root().counts);
        of_group.quorum.reset();
        for recorder in [&counts.flush_time, &counts.batch_size, &of_group.snapshot_time] {
            recorder.reset();
        }
        for count in [&counts.flushes_slow, &counts.throttle_waits, &counts.connection_requests] {
            count.store(0, Relaxed);
        }
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
        self.shared.inbox.ask(ControlRequest::TakeSnapshot(GroupId::ROOT));
        Some(self.shared.root().counts.last_index.load(Relaxed))
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

//! The table of everything that the server counts and shows.
//!
//! Each row is written once; [`metrics_table`] hands the rows to a macro that makes something of
//! them. `counters` makes the structs in which threads count and their totals, `observe::metrics`
//! the list from which `mntr`, the AdminServer's `monitor` and Prometheus are answered, in the
//! order of the table. A row is one of
//!
//! ```text
//! (scope field: type, kind "name", on_srst, "help")    counted, and shown under this name
//! (scope field: type, in_ensemble kind "name", …)      shown only by a member of an ensemble
//! (scope field: type, hidden, on_srst, "help")         counted, and shown only by other rows
//! (scope |of| value, kind "name", "help")              not counted: computed when it is shown
//! ```
//!
//! | scope | whose number it is |
//! |---|---|
//! | `thread` | counted by each connection thread, shown as the total |
//! | `server` | of the whole server |
//! | `group` | of a consensus group: with several groups, Prometheus has one line for each |
//! | `member` | of a group of an ensemble, computed from the member's status |
//! | `leader` | the same, and only on the group's leader |
//! | `process` | of the process, as Prometheus' own libraries export it; for Prometheus only |
//! | `follower` | of another member, on the leader; its name in full begins with `ostler_member_` |
//!
//! | kind | unit |
//! |---|---|
//! | `counter`, `gauge`, `ratio` | as the help says |
//! | `time` | recorded in µs, shown in ms: a summary |
//! | `latency` | a `time` for which `mntr` shows quantiles too, as ZooKeeper does |
//! | `count` | a summary of numbers of things |
//!
//! The name is that of Prometheus and of `monitor`; `mntr` writes `zk_` before it, and for a
//! summary both write `avg_`, `min_`, `max_`, `cnt_` or `sum_`.
//!
//! As in ZooKeeper, `srst` clears every counter and every summary, the numbers of packets and the
//! sizes of replies and proposals. It keeps what describes the present, and the failed
//! authentications, which ZooKeeper shows as a gauge.

/// Expands to `$generate! { $with… rows… }`.
macro_rules! metrics_table {
    ($generate:ident $($with:tt)*) => { $generate! { $($with)*
        (group |g| g.ephemerals, gauge "ephemerals_count", "ephemeral znodes")
        (server |f| f.connections, gauge "num_alive_connections", "open client connections")
        (server |f| four_digits(f.latency().mean() / US_PER_MS as f64),
            ratio "avg_latency", "average latency of requests in ms")
        (server |f| f.outstanding_requests,
            gauge "outstanding_requests", "requests received and not answered")
        (group |g| g.znodes, gauge "znode_count", "znodes")
        (group |g| g.sessions, gauge "global_sessions", "sessions")
        (server |f| f.response_sizes()[0],
            gauge "last_client_response_size", "bytes of the last reply, -1 for none")
        (thread sent: AtomicU64, gauge "packets_sent", cleared, "packets sent")
        (thread received: AtomicU64, gauge "packets_received", cleared, "packets received")
        (server |f| f.response_sizes()[2],
            gauge "max_client_response_size", "bytes of the largest reply, -1 for none")
        (server |_f| 0.0,
            ratio "connection_drop_probability", "probability with which a connection is dropped")
        (group |g| g.watches, gauge "watch_count", "watches")
        (server auth_failed: AtomicU64, gauge "auth_failed_count", kept, "failed authentications")
        (server audit_lines_lost: AtomicU64,
            gauge "ostler_audit_lines_lost", kept, "lines of the audit log that could not be written")
        (server |f| f.latency().min / US_PER_MS,
            gauge "min_latency", "smallest latency of a request in ms")
        (server |_f| metrics_process::open_files_max(),
            gauge "max_file_descriptor_count", "file descriptors this process may open")
        (group |g| g.data_bytes, gauge "approximate_data_size", "bytes of all paths and data")
        (server |_f| metrics_process::open_files(),
            gauge "open_file_descriptor_count", "file descriptors this process has open")
        (server |_f| 0, gauge "local_sessions", "sessions known only to this server")
        (server |f| f.uptime_ms, gauge "uptime", "ms since the start")
        (server |f| f.latency().max / US_PER_MS,
            gauge "max_latency", "largest latency of a request in ms")
        (server |f| f.response_sizes()[1],
            gauge "min_client_response_size", "bytes of the smallest reply, -1 for none")

        (thread bytes_received: AtomicU64,
            counter "bytes_received_count", cleared, "bytes received from clients")
        (server connections_dropped: AtomicU64,
            counter "connection_drop_count", cleared, "connections closed by the connection throttle")
        (server connections_rejected: AtomicU64,
            counter "connection_rejected", cleared, "connections closed at a limit on their number")
        (server connection_requests: AtomicU64,
            counter "connection_request_count", cleared, "handshakes")
        (server flushes_slow: AtomicU64,
            counter "fsync_threshold_exceed_count", cleared,
            "flushes slower than fsync.warningthresholdms")
        (server large_requests_rejected: AtomicU64,
            counter "large_requests_rejected", cleared, "requests refused at largeRequestMaxBytes")
        (group writes_refused: AtomicU64,
            counter "ostler_writes_refused", cleared, "writes refused because the disk was full")
        (server throttle_waits: AtomicU64,
            counter "request_throttle_wait_count", cleared, "times that reading from clients was paused")
        (thread bytes_sent: AtomicU64, counter "response_bytes", cleared, "bytes sent to clients")
        (server handshakes_timed_out: AtomicU64,
            counter "sessionless_connections_expired", cleared, "connections without a session in time")
        (group sessions_expired: AtomicU64,
            counter "stale_sessions_expired", cleared, "sessions that expired")
        (server |f| f.tls_handshakes,
            gauge "outstanding_tls_handshake", "TLS handshakes that are not complete")
        (server tls_handshakes_exceeded: AtomicU64,
            counter "tls_handshake_exceeded", cleared, "TLS handshakes refused because there were too many")
        (server tls_handshakes_failed: AtomicU64,
            counter "unsuccessful_handshake", cleared, "TLS handshakes that failed")
        (server throttled_requests: AtomicU64,
            counter "throttled_ops", cleared, "requests answered ThrottledOp")

        (server flush_time: Recorder, time "fsynctime", cleared, "ms of a flush of the log")
        (group snapshot_time: Recorder, time "snapshottime", cleared, "ms of writing a snapshot")
        (server load_time: Recorder,
            time "dbinittime", cleared, "ms of reading snapshot and log at startup")
        (server batch_size: Recorder,
            count "sync_processor_batch_size", cleared, "commands made durable by one flush")
        (thread read_latency: Recorder, latency "readlatency", cleared, "ms of a read request")
        (thread update_latency: Recorder, latency "updatelatency", cleared, "ms of a write request")

        (group looking: AtomicU64,
            counter "looking_count", cleared, "times this server knew no leader")
        (group proposals: AtomicU64,
            counter "proposal_count", cleared, "commands proposed while this server was leader")
        (group commits: AtomicU64,
            counter "commit_count", cleared, "commands committed while this server was leader")
        (group diffs: AtomicU64, counter "diff_count", cleared,
            "servers that connected to this leader and caught up from its log")
        (group snapshots_given: AtomicU64,
            counter "snap_count", cleared, "snapshots of this server that others began to fetch")
        (group resumed_here: AtomicU64, counter "connection_revalidate_count", cleared,
            "handshakes that resume a session at this server")
        (group moved: AtomicU64,
            counter "revalidate_count", cleared, "sessions that moved from one server to another")
        (group watch_bytes: AtomicU64,
            counter "watch_bytes", cleared, "bytes of watch events sent to clients")
        (server |_f| 0, counter "ensemble_auth_success", "clients that named this ensemble")
        (server |_f| 0, counter "ensemble_auth_fail", "clients that named another ensemble")
        (server |_f| 0,
            counter "ensemble_auth_skip", "clients that named none, or a server without a name")
        (group election_time: Recorder,
            time "election_time", cleared, "ms from knowing no leader to knowing one")
        (group unavailable_time: Recorder,
            time "unavailable_time", cleared, "ms from knowing no leader to serving clients")
        (group leader_unavailable_time: Recorder,
            time "leader_unavailable_time", cleared, "the same if this server became leader")
        (group ack_latency: Recorder,
            latency "quorum_ack_latency", cleared, "ms from proposing an entry to its commit")
        (group propagation_latency: Recorder, latency "propagation_latency", cleared,
            "ms from gathering commands to applying them here")
        (group snapshot_load_time: Recorder,
            time "startup_snap_load_time", cleared, "ms of reading the snapshot at startup")
        (group log_load_time: Recorder,
            time "startup_txns_load_time", cleared, "ms of reading the log at startup")
        (group log_loaded: Recorder,
            count "startup_txns_loaded", cleared, "log entries read at startup")

        (member |m| m.voters.len(), gauge "quorum_size", "servers that vote")
        (leader |_g, m| m.connected(),
            gauge "learners", "servers that are connected to this leader")
        (leader |_g, m| m.synced(true), gauge "synced_followers", "of these, voters that keep up")
        (leader |_g, _m| 0, gauge "synced_non_voting_followers",
            "always 0: a member without a vote counts as an observer")
        (leader |_g, m| m.synced(false),
            gauge "synced_observers", "of these, servers without a vote that keep up")
        // A `sync` waits at its client's server.
        (leader |_g, _m| 0,
            gauge "pending_syncs", "always 0: a sync waits at the server of its client")
        (leader |_g, m| m.leading.as_ref().map_or(0, |leading| leading.uptime_ms),
            gauge "leader_uptime", "ms since this server became leader")
        (leader |g, _m| g.proposal_sizes()[0],
            gauge "last_proposal_size", "bytes of the last proposal, -1 for none")
        (leader |g, _m| g.proposal_sizes()[2],
            gauge "max_proposal_size", "bytes of the largest proposal, -1 for none")
        (leader |g, _m| g.proposal_sizes()[1],
            gauge "min_proposal_size", "bytes of the smallest proposal, -1 for none")
        (member |m| m.server, gauge "ostler_server_id", "number of this server")
        (member |m| m.member.unwrap_or(0),
            gauge "ostler_member_id", "its id in the group, 0 for none")
        (member |m| m.engine == EngineKind::Paxos, gauge "ostler_paxos", "1 for Paxos, 0 for Raft")
        (member |m| m.term, gauge "ostler_term", "term or ballot: rises with every election")
        (member |m| m.leader.map_or(-1, i64::from),
            gauge "ostler_led_by", "number of the leader, -1 for none")
        (member |m| m.log.applied,
            gauge "ostler_applied_index", "last log entry whose changes can be read")
        (member |m| m.log.committed,
            gauge "ostler_agreed_index", "last log entry known to be committed")
        (member |m| m.log.last, gauge "ostler_last_index", "last log entry")
        (member |m| m.fetched_bytes.map_or(-1, |bytes| bytes as i64),
            gauge "ostler_snapshot_fetched_bytes",
            "bytes received of a snapshot being fetched, -1 when none is")
        (member |m| is_joining(m), gauge "ostler_joining", "1 while this server waits for its vote")
        (member |m| m.starts, gauge "ostler_starts", "starts on this data directory")
        (member |m| m.file_differences.len(), gauge "ostler_file_differences",
            "differences between the configuration files and the committed membership")
        (group handovers: AtomicU64, in_ensemble counter "ostler_handovers", cleared,
            "leadership transfers because this server's disk was slow or full")
        (server messages_refused: AtomicU64, in_ensemble counter "ostler_messages_refused", cleared,
            "messages of other servers ignored because the disk was full")

        (process metrics_process::open_files(),
            gauge "process_open_fds", "Number of open file descriptors.")
        (process metrics_process::open_files_max(),
            gauge "process_max_fds", "Maximum number of open file descriptors.")
        (process metrics_process::virtual_bytes(),
            gauge "process_virtual_memory_bytes", "Virtual memory size in bytes.")
        (process metrics_process::resident_bytes(),
            gauge "process_resident_memory_bytes", "Resident memory size in bytes.")

        (follower |f| f.state == FollowerState::InStep,
            gauge "in_step", "1 for a member that keeps up, as its leader sees it")
        (follower |f| f.behind_entries,
            gauge "behind_entries", "log entries a member lacks, as its leader sees it")
        (follower |f| f.behind_bytes,
            gauge "behind_bytes", "bytes of the log a member lacks, as its leader sees it")

        (thread response_bytes: Sizes, hidden, cleared, "bytes of replies")
        (group proposal_bytes: Sizes, hidden, cleared, "bytes of entries proposed as leader")
        (server large_request_bytes: AtomicU64, hidden, kept, "bytes of large requests in flight")
        (server output_bytes: AtomicU64, hidden, kept,
            "bytes of memory that replies and events not yet read by clients take")
        (server output_holders: AtomicU64, hidden, kept, "connections with such bytes")
        (group snapshot_zxid: AtomicI64, hidden, kept, "zxid up to which the last snapshot reaches")
        (group snapshot_index: AtomicU64, hidden, kept, "index of the last log entry it contains")
        (group snapshot_finished_ms: AtomicI64, hidden, kept,
            "wall clock ms when the last snapshot was finished; 0 if there is none")
        (group last_index: AtomicU64, hidden, kept,
            "index of the newest log entry; the whole log is committed")
        (group last_term: AtomicU64, hidden, kept, "term of that entry")
        (group first_index: AtomicU64, hidden, kept,
            "index of the oldest log entry that no snapshot covers")
    } };
}

pub(crate) use metrics_table;

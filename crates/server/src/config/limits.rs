//! Default values and the relations between them: every number that limits something is here.
//!
//! The relations between defaults are checked at compile time, those between configured values when
//! the configuration is read (`fields::Loader::relations`). Values marked "ZooKeeper" are those of
//! ZooKeeper 3.9.

/// ZooKeeper: length of a tick.
pub const TICK_TIME_MS: u32 = 3_000;
/// ZooKeeper: the shortest session timeout, in ticks.
pub const SESSION_TIMEOUT_TICKS_MIN: u32 = 2;
/// ZooKeeper: the longest session timeout, in ticks.
pub const SESSION_TIMEOUT_TICKS_MAX: u32 = 20;

/// ZooKeeper's usual port; there it has no default.
pub const CLIENT_PORT: u16 = 2181;
/// ZooKeeper passes 50 to `listen` unless told otherwise.
pub const LISTEN_BACKLOG: u32 = 50;
/// As in ZooKeeper's own configuration of logging: bytes of a file of the audit log.
pub const AUDIT_FILE_BYTES_MAX: u64 = 10 << 20;
/// The same: earlier files that are kept.
pub const AUDIT_FILES_KEPT: u32 = 10;
/// ZooKeeper: connections of one client address.
pub const CONNECTIONS_PER_ADDRESS_MAX: u32 = 60;
/// ZooKeeper: how long a connection may stay without a session.
pub const HANDSHAKE_TIMEOUT_MS: u32 = 10_000;

/// ZooKeeper: threads for logins between servers, at least.
pub const QUORUM_THREADS: u32 = 20;
/// The same: at most.
pub const QUORUM_THREADS_MAX: u32 = 1_000;

/// ZooKeeper: how long it may take until a connection has shown that it is TLS; here, how long the
/// handshake may take.
pub const TLS_HANDSHAKE_TIMEOUT_MS: u32 = 5_000;

/// ZooKeeper: requests received and not yet answered, of all connections; above it sockets are not
/// read.
pub const OUTSTANDING_REQUESTS_MAX: u32 = 1_000;
/// Bytes of requests received and not yet answered, of all connections; above it sockets are not
/// read.
pub const OUTSTANDING_BYTES_MAX: u64 = 256 << 20;
/// Bytes of replies and events queued for one slow reader; above it the connection is closed. A
/// single reply may be larger.
pub const OUTPUT_BYTES_PER_CONNECTION_MAX: u64 = 64 << 20;
/// Bytes of replies and events queued for one slow reader; above it its requests have to wait.
pub const OUTPUT_PAUSE_BYTES: usize = 1 << 20;
/// Bytes of replies and events queued for all slow readers together, if the memory size is unknown;
/// otherwise a quarter of it, but by default never less than this.
pub const OUTPUT_BYTES_MAX: u64 = 256 << 20;
/// Bytes of one reply: three times a directory of ten million long names; lengths of 2^31 and more
/// cannot be sent to a client.
pub const REPLY_BYTES_MAX: u32 = (1 << 30) + (1 << 20);
/// Lower limit of the setting: all clients list directories.
pub const REPLY_BYTES_MAX_MIN: u32 = 1 << 20;
/// Bytes of a reply besides the data of one znode: header, `Stat`.
pub const REPLY_OVERHEAD_BYTES: u32 = 1 << 10;
/// ZooKeeper (`jute.maxbuffer`): bytes of one request.
pub const REQUEST_BYTES_MAX: u32 = 0xf_ffff;
/// Bytes of the longest first request of a client. A server with a lower limit could open sessions
/// and nothing else.
pub const SHORTEST_REQUEST_BYTES: u32 = 45;
/// Bytes of the longest request that a standalone server accepts: it must fit into one record of
/// the log, and into one frame to members that may be added later.
pub const LONGEST_REQUEST_BYTES: u32 = 256 << 20;
/// ZooKeeper: bytes of all large requests in flight.
pub const LARGE_REQUESTS_BYTES_MAX: u64 = 100 << 20;

/// Failed logins of one address in a minute, above which further ones are refused unchecked.
pub const FAILED_LOGINS_PER_MINUTE: u32 = 100;

/// Sessions, connected or not.
pub const SESSIONS_MAX: u64 = 1_000_000;
/// Watches of all connections.
pub const WATCHES_MAX: u64 = 20_000_000;

/// ZooKeeper: commands between two snapshots.
pub const SNAPSHOT_COMMANDS: u64 = 100_000;
/// ZooKeeper: bytes of log between two snapshots.
pub const SNAPSHOT_LOG_BYTES: u64 = 4_194_304 << 10;
/// ZooKeeper: bytes allocated for the log at a time.
pub const LOG_SEGMENT_BYTES: u64 = 64 << 20;
/// Bytes per message of a snapshot being sent to another member.
pub const SNAPSHOT_PIECE_BYTES: usize = 512 << 10;
/// ZooKeeper refuses to keep fewer snapshots than this.
pub const SNAPSHOTS_KEPT_MIN: u32 = 3;
/// ZooKeeper: a flush that takes longer is logged.
pub const FLUSH_WARNING_MS: u32 = 1_000;

/// ZooKeeper: time between two checks for containers and TTL nodes to remove.
pub const CONTAINER_CHECK_INTERVAL_MS: u32 = 60_000;
/// ZooKeeper: containers and TTL nodes removed in a minute.
pub const CONTAINERS_PER_MINUTE_MAX: u32 = 10_000;

/// A member that hears from no leader for this time, or for up to twice this time, stands for
/// election.
pub const ELECTION_TIMEOUT_MS: u32 = 300;
/// Heartbeat interval of a leader: short enough that two lost heartbeats and a thread waiting for
/// the processor cause no election.
pub const HEARTBEAT_MS: u32 = 30;
/// The replication thread checks its clock about this often.
pub const HEARTBEAT_MS_MIN: u32 = 10;
/// Bytes of one request in an ensemble. Members send each other an entry, which may be one request
/// of this length after others, in one frame. While it is in transit, nothing else from its sender
/// arrives: a longer one would take longer than an election timeout on a network of 1 Gbit/s, and a
/// single client could depose leader after leader.
pub const ENSEMBLE_REQUEST_BYTES_MAX: u32 = 32 << 20;

/// Bytes of commands in one log entry, unless the last one is longer; bounds what one cycle applies
/// at once.
pub const ENTRY_BYTES_MAX: usize = 1 << 20;

/// Bytes of paths in one list of watches, or of sessions with their ephemeral znodes, sent to an
/// operator.
pub const LISTED_BYTES_MAX: usize = 64 << 20;
/// ZooKeeper: port of the AdminServer.
pub const ADMIN_PORT: u16 = 8080;
/// ZooKeeper: ms between two snapshots that clients of the AdminServer take.
pub const ADMIN_SNAPSHOT_INTERVAL_MS: u32 = 300_000;
/// ZooKeeper: port of the Prometheus metrics provider.
pub const METRICS_PORT: u16 = 7000;
/// ZooKeeper: prefix of the AdminServer's command paths.
pub const ADMIN_COMMAND_URL: &str = "/commands";

/// Shorter segments would only mean more files. A request that does not fit into one gets a segment
/// of its own.
pub const LOG_SEGMENT_BYTES_MIN: u64 = 4 << 20;

/// Bytes of the payload of one frame between servers. A frame carries a batch of commands or a
/// chunk of a snapshot, with its envelope. The longest holds a request that a server accepted while
/// standalone, before its first other member joined.
pub const FRAME_BYTES_MAX: usize = (256 << 20) + (4 << 20);

const _: () = assert!(SESSION_TIMEOUT_TICKS_MIN <= SESSION_TIMEOUT_TICKS_MAX);
const _: () = assert!(TICK_TIME_MS as u64 * SESSION_TIMEOUT_TICKS_MAX as u64 <= i32::MAX as u64);
const _: () = assert!(REQUEST_BYTES_MAX as u64 <= OUTSTANDING_BYTES_MAX, "one request must fit");
const _: () =
    assert!(REQUEST_BYTES_MAX as u64 <= OUTPUT_BYTES_PER_CONNECTION_MAX, "what was written can be read");
const _: () = assert!(REQUEST_BYTES_MAX as u64 <= LARGE_REQUESTS_BYTES_MAX);
const _: () = assert!(OUTPUT_BYTES_PER_CONNECTION_MAX <= OUTPUT_BYTES_MAX);
const _: () =
    assert!(REQUEST_BYTES_MAX + REPLY_OVERHEAD_BYTES <= REPLY_BYTES_MAX && REPLY_BYTES_MAX < 1 << 31);
const _: () = assert!(LOG_SEGMENT_BYTES_MIN >= storage::log::SEGMENT_BYTES_MIN);
const _: () = assert!(2 * LONGEST_REQUEST_BYTES as usize <= storage::log::DATA_BYTES_MAX);
const _: () = assert!(ENSEMBLE_REQUEST_BYTES_MAX <= LONGEST_REQUEST_BYTES);
const _: () =
    assert!(SHORTEST_REQUEST_BYTES < REQUEST_BYTES_MAX && REQUEST_BYTES_MAX < LONGEST_REQUEST_BYTES);
const _: () = assert!(LOG_SEGMENT_BYTES_MIN <= LOG_SEGMENT_BYTES);
const _: () = assert!(LOG_SEGMENT_BYTES < SNAPSHOT_LOG_BYTES);
const _: () = assert!(3 * HEARTBEAT_MS < ELECTION_TIMEOUT_MS && HEARTBEAT_MS_MIN <= HEARTBEAT_MS);
const _: () = assert!(REQUEST_BYTES_MAX <= ENSEMBLE_REQUEST_BYTES_MAX);
const _: () = assert!(
    LONGEST_REQUEST_BYTES as usize + 2 * ENTRY_BYTES_MAX <= FRAME_BYTES_MAX,
    "an entry fits into a frame"
);

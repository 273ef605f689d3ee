//! Default values and their relations: every number that bounds something is here.
//!
//! The relations between defaults are checked when this compiles, those between configured values when the configuration is read
//! (`fields::Loader::relations`). Values marked "ZooKeeper" are those of ZooKeeper 3.9.

/// ZooKeeper: length of a tick.
pub const TICK_TIME_MS: u32 = 3_000;
/// ZooKeeper: the shortest session timeout, in ticks.
pub const SESSION_TIMEOUT_TICKS_MIN: u32 = 2;
/// ZooKeeper: the longest session timeout, in ticks.
pub const SESSION_TIMEOUT_TICKS_MAX: u32 = 20;

/// ZooKeeper's customary port; there it has no default.
pub const CLIENT_PORT: u16 = 2181;
/// ZooKeeper passes 50 to `listen` unless told otherwise.
pub const LISTEN_BACKLOG: u32 = 50;
/// ZooKeeper: connections of one client address.
pub const CONNECTIONS_PER_ADDRESS_MAX: u32 = 60;
/// ZooKeeper: how long a connection may stay without a session.
pub const HANDSHAKE_TIMEOUT_MS: u32 = 10_000;

/// ZooKeeper: requests received and not yet answered, of all connections; above it sockets are not read.
pub const OUTSTANDING_REQUESTS_MAX: u32 = 1_000;
/// Bytes of requests received and not yet answered, of all connections; above it sockets are not read.
pub const OUTSTANDING_BYTES_MAX: u64 = 256 << 20;
/// Bytes of replies and events that wait for one slow reader; above it the connection is closed. A single reply may be larger.
pub const OUTPUT_BYTES_PER_CONNECTION_MAX: u64 = 64 << 20;
/// Bytes of replies and events that wait for one slow reader; above it its requests have to wait.
pub const OUTPUT_PAUSE_BYTES: usize = 1 << 20;
/// Bytes of replies and events that wait for all slow readers together, where the memory is not
/// known; otherwise a quarter of it. Never less by default.
pub const OUTPUT_BYTES_MAX: u64 = 256 << 20;
/// Bytes of one reply: a directory of ten million long names has a third of it, and no client can
/// be told of 2^31.
pub const REPLY_BYTES_MAX: u32 = (1 << 30) + (1 << 20);
/// Nobody means less: all clients list directories.
pub const REPLY_BYTES_MAX_MIN: u32 = 1 << 20;
/// What a reply has besides the data of one znode: header, `Stat`.
pub const REPLY_OVERHEAD_BYTES: u32 = 1 << 10;
/// ZooKeeper (`jute.maxbuffer`): bytes of one request.
pub const REQUEST_BYTES_MAX: u32 = 0xf_ffff;
/// Bytes of the longest first request of a client. A server that takes no more opens sessions and
/// does nothing else.
pub const SHORTEST_REQUEST_BYTES: u32 = 45;
/// Bytes of the longest request that a single server can take: one record of the log, and one frame
/// to the members that the server may get later.
pub const LONGEST_REQUEST_BYTES: u32 = 256 << 20;
/// ZooKeeper: bytes of all large requests in flight.
pub const LARGE_REQUESTS_BYTES_MAX: u64 = 100 << 20;

/// Sessions, connected or not.
pub const SESSIONS_MAX: u64 = 1_000_000;
/// Watches of all connections.
pub const WATCHES_MAX: u64 = 20_000_000;

/// ZooKeeper: commands between two snapshots.
pub const SNAPSHOT_COMMANDS: u64 = 100_000;
/// ZooKeeper: bytes of log between two snapshots.
pub const SNAPSHOT_LOG_BYTES: u64 = 4_194_304 << 10;
/// ZooKeeper: bytes set aside for the log at a time.
pub const LOG_SEGMENT_BYTES: u64 = 64 << 20;
/// Bytes of a snapshot on its way to another member that are sent at a time.
pub const SNAPSHOT_PIECE_BYTES: usize = 512 << 10;
/// ZooKeeper refuses to keep fewer snapshots than this.
pub const SNAPSHOTS_KEPT_MIN: u32 = 3;
/// ZooKeeper: a flush that takes longer is worth a warning.
pub const FLUSH_WARNING_MS: u32 = 1_000;

/// ZooKeeper: time between two looks at the containers and TTL nodes.
pub const CONTAINER_CHECK_INTERVAL_MS: u32 = 60_000;
/// ZooKeeper: containers and TTL nodes removed in a minute.
pub const CONTAINERS_PER_MINUTE_MAX: u32 = 10_000;

/// A member that hears nothing of a leader for this long, or up to twice as long, stands for election.
pub const ELECTION_TIMEOUT_MS: u32 = 300;
/// How often a leader is heard of: often enough that two lost heartbeats and a thread that waits for its turn make no election.
pub const HEARTBEAT_MS: u32 = 30;
/// The replication thread looks at its clock about this often.
pub const HEARTBEAT_MS_MIN: u32 = 10;
/// Bytes of one request in an ensemble. Members send each other an entry, which may be one request
/// of this length behind others, in one frame. While it is on its way nothing else of its sender
/// arrives: a longer one would take longer than an election timeout on a network of 1 Gbit/s, and
/// one client could bring down leader after leader.
pub const ENSEMBLE_REQUEST_BYTES_MAX: u32 = 32 << 20;

/// Most bytes of commands in one log entry, unless the last is longer; bounds what one cycle
/// applies at once.
pub const ENTRY_BYTES_MAX: usize = 1 << 20;

/// Bytes of the paths that one list of watches, or of sessions with their ephemeral znodes, tells
/// an operator.
pub const LISTED_BYTES_MAX: usize = 64 << 20;
/// ZooKeeper: port of the AdminServer.
pub const ADMIN_PORT: u16 = 8080;
/// ZooKeeper: port of the Prometheus metrics provider.
pub const METRICS_PORT: u16 = 7000;
/// ZooKeeper: what the AdminServer's command paths begin with.
pub const ADMIN_COMMAND_URL: &str = "/commands";

/// Shorter segments would only be more files. A request that does not fit into one gets a segment
/// of its own.
pub const LOG_SEGMENT_BYTES_MIN: u64 = 4 << 20;

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
    LONGEST_REQUEST_BYTES as usize + 2 * ENTRY_BYTES_MAX <= crate::peers::limits::FRAME_BYTES_MAX,
    "an entry fits into a frame"
);

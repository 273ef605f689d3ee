//! All limits of the traffic between servers.

pub use crate::config::limits::FRAME_BYTES_MAX;

/// Bytes queued for one peer; a frame that would exceed this is dropped and counted.
pub const QUEUED_BYTES_MAX: usize = 64 << 20;
/// Bytes of output gathered in one chunk, unless a single frame is longer.
pub const CHUNK_BYTES: usize = 64 << 10;
/// Chunks offered to the socket in one write. The system accepts 1024; its buffers are full long
/// before.
pub const CHUNKS_PER_WRITE_MAX: usize = 64;

/// Bytes read from a socket at a time.
pub const READ_BYTES: usize = 128 << 10;
/// Reads of one connection in a row before others are served.
pub const READS_MAX: usize = 16;
/// Capacity that an input buffer may keep when its contents are shorter.
pub const IDLE_BUFFER_BYTES: usize = 1 << 20;

/// How long dialling and the peer's greeting may take together, and how long a stranger may stay
/// without a greeting.
pub const GREETING_TIMEOUT_MS: i64 = 2_000;
/// Incoming connections that have not yet greeted and proven their identity. One more closes the
/// oldest; if the new one were refused, any host that opens connections could keep the members out.
pub const HALF_OPEN_MAX: usize = 32;
/// Incoming connections of servers that do not prove that they are members: they may be about to
/// join. One more closes the oldest.
pub const UNPROVEN_MAX: usize = 64;
/// Bytes of one frame of such a server.
pub const UNPROVEN_FRAME_BYTES_MAX: usize = 512 << 10;
/// How long a server that sent malformed frames is not admitted again.
pub const SHUN_MS: i64 = 1_000;
/// A server that connects is dialled at once, but not more often than this.
pub const HURRY_MS: i64 = 50;
/// Connections accepted at a time before other sockets are served.
pub const ACCEPTS_MAX: usize = 64;
/// Steps of handshakes of TLS that incoming connections take within [`HANDSHAKE_PAUSE_MS`]. A step
/// takes up to a millisecond of the thread that replicates, and any host can ask for one.
pub const HANDSHAKE_STEPS_MAX: usize = 4;
/// After this time the next steps are taken.
pub const HANDSHAKE_PAUSE_MS: i64 = 10;
/// Backlog: connections that the system keeps waiting for `accept`.
pub const LISTEN_BACKLOG: i32 = 128;

/// Time between the first two attempts to reach a peer…
pub const BACKOFF_MS_MIN: i64 = 20;
/// …which doubles up to this. It bounds how long the return of a peer goes unnoticed.
pub const BACKOFF_MS_MAX: i64 = 500;

/// After how many seconds without traffic the system probes a connection, and how often.
pub const KEEPALIVE_S: u32 = 1;
/// How long sent bytes may stay unacknowledged before the system ends the connection.
///
/// The system resends lost bytes after ever longer pauses, so after a network failure it would take
/// about as long again to recover; a new connection recovers within a second. A much lower limit
/// would cut off a member that does not read because its disk is slow.
pub const UNCONFIRMED_MS_MAX: u32 = 5_000;

const _: () = assert!(FRAME_BYTES_MAX <= u32::MAX as usize, "a length has four bytes");
const _: () = assert!(CHUNK_BYTES < QUEUED_BYTES_MAX);
const _: () = assert!(BACKOFF_MS_MIN <= BACKOFF_MS_MAX && BACKOFF_MS_MAX < GREETING_TIMEOUT_MS);
const _: () = assert!(READ_BYTES <= IDLE_BUFFER_BYTES);

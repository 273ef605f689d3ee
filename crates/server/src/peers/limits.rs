//! Every bound of the traffic between servers.

/// Bytes of one frame's payload. A frame carries a batch of commands or a piece of a snapshot, with
/// what goes around it. The longest holds a request that a server took while it was alone, before
/// it got its first other member.
pub const FRAME_BYTES_MAX: usize = (256 << 20) + (4 << 20);
/// Bytes that wait for one peer; a frame that would go beyond is dropped and counted.
pub const QUEUED_BYTES_MAX: usize = 64 << 20;
/// Bytes of output gathered in one piece of memory, unless a single frame is longer.
pub const CHUNK_BYTES: usize = 64 << 10;
/// Chunks offered to the socket in one write. The system takes 1024; its buffers are full long before.
pub const CHUNKS_PER_WRITE_MAX: usize = 64;

/// Bytes read from a socket at a time.
pub const READ_BYTES: usize = 128 << 10;
/// Reads of one connection in a row before others have their turn.
pub const READS_MAX: usize = 16;
/// Capacity that an input buffer may keep when it holds less than that.
pub const IDLE_BUFFER_BYTES: usize = 1 << 20;

/// How long dialling and the peer's greeting may take together, and how long a stranger may stay without a greeting.
pub const GREETING_TIMEOUT_MS: i64 = 2_000;
/// Incoming connections that have not said and proven who they are. One more closes the oldest, for
/// refusing the new one would let anybody who opens connections keep the members out.
pub const HALF_OPEN_MAX: usize = 32;
/// Incoming connections of servers that do not prove that they are members: they may be on their
/// way to become some. One more closes the oldest.
pub const UNPROVEN_MAX: usize = 64;
/// Bytes of one frame of such a server.
pub const UNPROVEN_FRAME_BYTES_MAX: usize = 512 << 10;
/// A server whose frames make no sense is not let in again for so long.
pub const SHUN_MS: i64 = 1_000;
/// A server that connects is dialled at once, but not more often than this.
pub const HURRY_MS: i64 = 50;
/// Connections accepted at a time before others have their turn.
pub const ACCEPTS_MAX: usize = 64;
/// Connections the system keeps waiting for `accept`.
pub const LISTEN_BACKLOG: i32 = 128;

/// Time between the first two attempts to reach a peer…
pub const BACKOFF_MS_MIN: i64 = 20;
/// …which doubles up to this. It bounds how long a peer that comes back goes unnoticed.
pub const BACKOFF_MS_MAX: i64 = 500;

/// After how many seconds without traffic the system probes a connection, and how often.
pub const KEEPALIVE_S: u32 = 1;
/// How long sent bytes may stay unconfirmed before the system ends the connection.
///
/// The system repeats lost bytes after ever longer pauses, and would find a healed network as long after as it was broken; a new
/// connection finds it within a second. Much less would cut off a member which does not read because its disk is slow.
pub const UNCONFIRMED_MS_MAX: u32 = 5_000;

const _: () = assert!(FRAME_BYTES_MAX <= u32::MAX as usize, "a length has four bytes");
const _: () = assert!(CHUNK_BYTES < QUEUED_BYTES_MAX);
const _: () = assert!(BACKOFF_MS_MIN <= BACKOFF_MS_MAX && BACKOFF_MS_MAX < GREETING_TIMEOUT_MS);
const _: () = assert!(READ_BYTES <= IDLE_BUFFER_BYTES);

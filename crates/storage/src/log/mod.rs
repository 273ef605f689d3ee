//! The log: records in append order. Everything flushed survives a crash.
//!
//! [`Log::append`] encodes into memory; [`Log::flush`] makes it all durable with one write and one
//! sync. Records are stored in segments of a fixed length (see `segment.rs`); `record.rs` has the
//! layout of a record, and `recover.rs` handles what a crash leaves behind. The log is read only
//! when it is opened.

mod error;
mod needed;
mod record;
mod recover;
mod reserve;
mod segment;
mod segment_pool;

pub use error::{AppendError, CompactError, FlushError, OpenError, PrepareError};
pub use record::{DATA_BYTES_MAX, Position, Record, Tag};
pub use recover::{Recovered, Repaired};
pub use segment::{FORMAT_VERSION, HeaderError};
pub use segment_pool::StepError;

pub(crate) use record::HEAD_BYTES;
pub(crate) use segment::{RECORDS_START, Scanner, Segment, file_name, parse_file_name};

use crate::disk::{Disk, DiskFile};
use crate::io_failure::IoFailure;
use needed::Needed;
use record::encode_empty;
use segment_pool::{SegmentPool, SharedReserve};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Smallest configurable segment length in bytes. A record longer than a segment still gets one of
/// its own.
pub const SEGMENT_BYTES_MIN: u64 = 4 << 10;
/// Largest configurable segment length in bytes; see [`SEGMENT_BYTES_MIN`].
pub const SEGMENT_BYTES_MAX: u64 = 1 << 30;
/// The first segment is at most this long: zeroing a large one would delay the first start.
const FIRST_SEGMENT_BYTES: u64 = 4 << 20;
/// Flushing shrinks a buffer that a large batch grew beyond this.
const BUFFER_BYTES_KEPT: usize = 8 << 20;

// A segment must hold the largest record, its seal and its header within 32-bit offsets.
const _: () = assert!(DATA_BYTES_MAX as u64 + SEGMENT_BYTES_MAX < u32::MAX as u64);

/// Options of a log.
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// Length of a segment (ZooKeeper's `preAllocSize`), between [`SEGMENT_BYTES_MIN`] and
    /// [`SEGMENT_BYTES_MAX`].
    pub segment_bytes: u64,
    /// `false` (ZooKeeper's `forceSync=no`): a flush only passes the bytes to the operating system.
    /// They survive the end of the process, but a power loss may lose any part of what was written
    /// since the log was opened.
    pub fsync: bool,
    /// Maximum number of old segments kept for reuse.
    pub recycle_max: usize,
    /// Whether a thread prepares the next segment and frees old ones. Without it, call
    /// [`Log::prepare`] regularly, or an append has to wait while the next segment is prepared.
    pub background: bool,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { segment_bytes: 64 << 20, fsync: true, recycle_max: 4, background: true }
    }
}

/// The open log. Only one process may have it open at a time; [`DataDir`](crate::DataDir) ensures
/// that.
pub struct Log {
    fsync: bool,
    current: Segment,
    /// Offset of the next record in `current`. Invariant: a seal still fits there.
    offset: u32,
    /// Encoded but not yet written; ends at `offset` of `current`.
    buffer: Vec<u8>,
    /// The same for segments filled since the last flush.
    full: Vec<Full>,
    needed: Needed,
    /// A reset is not yet flushed. Until it is, the entries it voids count on disk, so nothing may
    /// be freed.
    reset_due: bool,
    /// The latest `HardState` record of each group.
    hard_states: BTreeMap<u64, HardState>,
    /// `hard_states` must be rewritten before the next record, since `current` may lack some of
    /// them: the log was just opened, and its tail may have been cut, or `current` is new.
    hard_states_due: bool,
    /// End of the last place with all of `hard_states`. Once this is on disk, earlier segments may
    /// be freed.
    hard_states_end: Option<Position>,
    /// Segments before this number hold no `HardState` that is still needed.
    free_limit: u32,
    /// The log is on disk up to here. Written into every record.
    synced_to: Position,
    failure: Option<FlushError>,
    recovered: Recovered,
    reserve: SharedReserve,
}

/// A segment filled since the last flush, with its unwritten bytes.
struct Full {
    path: PathBuf,
    file: Box<dyn DiskFile>,
    start: u32,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy)]
struct HardState {
    term: u64,
    vote: u64,
    commit: u64,
}

/// Whether `dir` contains a log or part of one. A missing directory has none.
///
/// # Errors
/// The directory cannot be listed.
pub fn is_in(disk: &dyn Disk, dir: &Path) -> Result<bool, OpenError> {
    match disk.list(dir) {
        Ok(names) => Ok(names.iter().any(|name| parse_file_name(name).is_some())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(IoFailure::new(dir, "list", source).into()),
    }
}

impl Log {
    /// Opens the log in `dir`, which must exist, passes every record to `visit` in append order,
    /// and repairs a tail torn by a crash. Creates the log if it does not exist.
    ///
    /// The visitor may see entries at the front that were already compacted away, up to a segment's
    /// worth; entries that a later one replaces or a later `Reset` voids; and a `HardState`
    /// repeatedly.
    ///
    /// # Errors
    /// See [`OpenError`]. The records already visited must then not be used.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: LogOptions,
        visit: &mut dyn FnMut(Record<'_>),
    ) -> Result<Self, OpenError> {
        let LogOptions { segment_bytes, fsync, recycle_max, background } = options;
        if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&segment_bytes) {
            return Err(OpenError::SegmentBytes {
                found: segment_bytes,
                min: SEGMENT_BYTES_MIN,
                max: SEGMENT_BYTES_MAX,
            });
        }
        let names = disk.list(dir).map_err(IoFailure::of(dir, "list"))?;
        let sequences = recover::sequences(dir, &names)?;
        let mut reserve = SegmentPool::open(Arc::clone(&disk), dir, segment_bytes, recycle_max, &names)?;
        let mut hard_states = BTreeMap::new();
        let mut remember = |record: Record<'_>| {
            if let Record::HardState { group, term, vote, commit } = record {
                hard_states.insert(group, HardState { term, vote, commit });
            }
            visit(record);
        };
        let found = recover::recover(disk.as_ref(), dir, &sequences, &mut reserve, &mut remember)?;
        let (current, offset) = match found.current {
            Some(current) => current,
            None => (reserve.take_first(segment_bytes.min(FIRST_SEGMENT_BYTES))?, RECORDS_START),
        };
        let mut log = Self {
            fsync,
            synced_to: current.at(offset),
            current,
            offset,
            buffer: Vec::new(),
            full: Vec::new(),
            needed: found.needed,
            reset_due: false,
            hard_states,
            hard_states_due: true,
            hard_states_end: None,
            free_limit: 0,
            failure: None,
            recovered: found.recovered,
            reserve: SharedReserve::new(reserve),
        };
        if background {
            log.reserve.start().map_err(IoFailure::of(dir, "start a thread for"))?;
        }
        Ok(log)
    }

    /// What opening the log found.
    #[must_use]
    pub fn recovered(&self) -> &Recovered {
        &self.recovered
    }

    /// Bytes appended but not yet flushed.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        self.buffer.len() + self.full.iter().map(|full| full.bytes.len()).sum::<usize>()
    }

    /// Number of segment files of the log, including the current one.
    #[must_use]
    pub fn segments(&self) -> usize {
        self.needed.sealed() + 1
    }

    /// Appends a record in memory. It is durable after the next [`Log::flush`].
    ///
    /// # Errors
    /// See [`AppendError`]; only [`AppendError::Failed`] is final.
    pub fn append(&mut self, record: &Record<'_>) -> Result<(), AppendError> {
        self.check()?;
        if let Record::Entry { data, .. } = record
            && data.len() > DATA_BYTES_MAX
        {
            return Err(AppendError::TooLong { bytes: data.len() });
        }
        let due = if self.hard_states_due { self.hard_states_len() } else { 0 };
        let end = u64::from(self.offset) + (due + record.encoded_len() + HEAD_BYTES) as u64;
        if end > self.current.len {
            self.rotate(record.encoded_len())?;
        }
        if self.hard_states_due {
            self.put_hard_states();
        }
        self.put(record);
        self.needed.count(record);
        match *record {
            Record::Entry { .. } => {}
            Record::HardState { group, term, vote, commit } => {
                self.hard_states.insert(group, HardState { term, vote, commit });
            }
            Record::Reset { .. } => self.reset_due = true,
        }
        Ok(())
    }

    /// Appends, in memory, that all entries of `group` so far are void and that its log continues
    /// after a snapshot ending at `index` and `term`. The next flush makes that durable, together
    /// with everything else appended; only then does [`Log::compact`] free the void entries. The
    /// snapshot MUST be durable before that flush: nothing else is left.
    ///
    /// The group's `HardState` stays valid, so that no vote is forgotten; its `commit` may precede
    /// the snapshot.
    ///
    /// # Errors
    /// Like [`Log::append`], except [`AppendError::TooLong`].
    pub fn reset(&mut self, group: u64, index: u64, term: u64) -> Result<(), AppendError> {
        self.append(&Record::Reset { group, index, term })
    }

    /// Makes everything appended durable: one write and one sync per segment touched.
    ///
    /// # Errors
    /// Final: every later call returns the same error.
    pub fn flush(&mut self) -> Result<(), FlushError> {
        self.check()?;
        if self.buffer.is_empty() && self.full.is_empty() {
            return Ok(());
        }
        if let Err(failure) = self.write_and_sync() {
            self.failure = Some(failure.clone());
            return Err(failure);
        }
        self.reset_due = false;
        self.full.clear();
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_BYTES_KEPT);
        let written_to = self.current.at(self.offset);
        if self.fsync {
            self.synced_to = written_to;
        }
        if self.hard_states_end.take_if(|end| *end <= written_to).is_some() {
            // `hard_states_end` always lies in the segment that was, and still is, current.
            self.free_limit = self.current.sequence;
        }
        Ok(())
    }

    /// Discards the entries of `group` before `first_index_kept`. Whole segments are freed, oldest
    /// first, once no group needs anything in them. A segment filled since the last flush waits for
    /// the next call, and all wait while a reset is not flushed.
    ///
    /// # Errors
    /// Some old segments were not freed; the next call retries. Nothing is lost. With a background
    /// thread, [`Log::take_background_error`] reports such errors instead.
    pub fn compact(&mut self, group: u64, first_index_kept: u64) -> Result<(), CompactError> {
        self.needed.keep_from(group, first_index_kept);
        if self.failure.is_some() || self.reset_due {
            return Ok(());
        }
        while let Some(oldest) = self.needed.take_unneeded(self.free_limit) {
            self.reserve.with(|reserve| reserve.free(oldest.sequence, oldest.len));
        }
        if self.reserve.has_worker() { Ok(()) } else { self.reserve.with(SegmentPool::free_all) }
    }

    /// Does one step of the background work, zeroing at most about `budget_bytes` of the next
    /// segment. Returns `true` when the next segment is ready and no old one waits to be freed.
    /// Only needed without a background thread.
    ///
    /// # Errors
    /// Nothing is lost; the next call retries, or at the latest the append that needs the segment.
    pub fn prepare(&mut self, budget_bytes: usize) -> Result<bool, StepError> {
        self.reserve.with(|reserve| reserve.step(budget_bytes))
    }

    /// The background thread's last error since the previous call. The thread retries once a
    /// second.
    #[must_use]
    pub fn take_background_error(&self) -> Option<StepError> {
        self.reserve.take_error()
    }

    /// Flushes and appends a mark that vouches for the last flush, so that damage to it can be
    /// distinguished from a crash. Omitting the call loses nothing.
    ///
    /// # Errors
    /// Like [`Log::flush`].
    pub fn close(mut self) -> Result<(), FlushError> {
        self.flush()?;
        let fits = u64::from(self.offset) + 2 * HEAD_BYTES as u64 <= self.current.len;
        if self.fsync && fits && self.offset > RECORDS_START {
            self.put_empty(Tag::Mark);
            self.flush()?;
        }
        Ok(())
    }

    fn check(&self) -> Result<(), FlushError> {
        self.failure.clone().map_or(Ok(()), Err)
    }

    fn put(&mut self, record: &Record<'_>) {
        let at = self.current.at(self.offset);
        record.encode(&mut self.buffer, at, self.synced_to, self.current.seed);
        self.offset += record.encoded_len() as u32;
    }

    fn put_empty(&mut self, tag: Tag) {
        let at = self.current.at(self.offset);
        encode_empty(&mut self.buffer, tag, at, self.synced_to, self.current.seed);
        self.offset += HEAD_BYTES as u32;
    }

    fn put_hard_states(&mut self) {
        for (group, HardState { term, vote, commit }) in self.hard_states.clone() {
            self.put(&Record::HardState { group, term, vote, commit });
        }
        self.hard_states_due = false;
        self.hard_states_end = Some(self.current.at(self.offset));
    }

    fn hard_states_len(&self) -> usize {
        let record = Record::HardState { group: 0, term: 0, vote: 0, commit: 0 };
        self.hard_states.len() * record.encoded_len()
    }

    /// Switches to the next segment, which will have room for a record of `record_len` bytes. It
    /// gets the space before it changes anything, so that a full disk leaves the log unchanged.
    fn rotate(&mut self, record_len: usize) -> Result<(), AppendError> {
        let len = RECORDS_START as usize + self.hard_states_len() + record_len + HEAD_BYTES;
        let next = match self.reserve.with(|reserve| reserve.take(len as u64)) {
            Ok(next) => next,
            Err(PrepareError::NoSpace { path, bytes }) => return Err(AppendError::NoSpace { path, bytes }),
            Err(PrepareError::Io(failure)) => return Err(self.fail(failure).into()),
            Err(PrepareError::Exhausted) => {
                let source = io::Error::other("all segment numbers are used");
                return Err(self.fail(IoFailure::new(&self.current.path, "extend", source)).into());
            }
        };
        self.put_empty(Tag::Seal);
        let full = std::mem::replace(&mut self.current, next);
        let bytes = std::mem::take(&mut self.buffer);
        let start = self.offset - bytes.len() as u32;
        let Segment { sequence, len, path, file, .. } = full;
        self.needed.seal(sequence, len);
        self.full.push(Full { path, file, start, bytes });
        self.offset = RECORDS_START;
        self.hard_states_due = true;
        Ok(())
    }

    fn fail(&mut self, failure: IoFailure) -> FlushError {
        let failure = FlushError { failure, offset: 0 };
        self.failure = Some(failure.clone());
        failure
    }

    fn write_and_sync(&self) -> Result<(), FlushError> {
        let failure = |path: &Path, action, offset, source| FlushError {
            failure: IoFailure::new(path, action, source),
            offset,
        };
        let start = self.offset - self.buffer.len() as u32;
        for full in &self.full {
            let written = full.file.write_at(&full.bytes, u64::from(full.start));
            written.map_err(|source| failure(&full.path, "write", full.start, source))?;
        }
        let written = self.current.file.write_at(&self.buffer, u64::from(start));
        written.map_err(|source| failure(&self.current.path, "write", start, source))?;
        if !self.fsync {
            return Ok(());
        }
        for full in &self.full {
            full.file.sync_data().map_err(|source| failure(&full.path, "sync", full.start, source))?;
        }
        self.current.file.sync_data().map_err(|source| failure(&self.current.path, "sync", start, source))
    }
}

//! The log: records in the order they were appended, of which everything flushed survives a crash.
//!
//! [`Log::append`] encodes into memory, [`Log::flush`] makes all of it durable by one write and one sync. The records stand in
//! segments of a fixed length (see `segment.rs`), the drawing of a record is in `record.rs`, and what a crash may
//! leave behind is dealt with in `recover.rs`. The log is never read while it is written; it is read when it is opened.

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
use needed::Needed;
use record::encode_empty;
use recover::failed;
use segment_pool::{SegmentPool, SharedReserve};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Smallest and largest segment that may be asked for. A record longer than that still gets a segment of its own.
pub const SEGMENT_BYTES_MIN: u64 = 4 << 10;
/// See [`SEGMENT_BYTES_MIN`].
pub const SEGMENT_BYTES_MAX: u64 = 1 << 30;
/// The very first segment is at most this long: zeroing a large one would delay the first start.
const FIRST_SEGMENT_BYTES: u64 = 4 << 20;
/// A buffer that a large batch has grown beyond this is given back after the flush.
const BUFFER_BYTES_KEPT: usize = 8 << 20;

// A segment must have room for the largest record, its seal and its header within 32-bit offsets.
const _: () = assert!(DATA_BYTES_MAX as u64 + SEGMENT_BYTES_MAX < u32::MAX as u64);

/// How a log is kept.
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// Length of a segment (ZooKeeper's `preAllocSize`), between [`SEGMENT_BYTES_MIN`] and [`SEGMENT_BYTES_MAX`].
    pub segment_bytes: u64,
    /// `false` (ZooKeeper's `forceSync=no`): a flush only hands the bytes to the operating system. They survive the end of the
    /// process, but a power loss may take any part of what was written since the log was opened.
    pub fsync: bool,
    /// Old segments kept to be written again, at most.
    pub recycle_max: usize,
    /// Whether a thread makes the next segment ready and frees old ones. Without it [`Log::prepare`] must be called now and
    /// then, or going over to the next segment takes its time within an append.
    pub background: bool,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { segment_bytes: 64 << 20, fsync: true, recycle_max: 4, background: true }
    }
}

/// The open log. One process at a time may have it open; [`DataDir`](crate::DataDir) sees to that.
pub struct Log {
    fsync: bool,
    current: Segment,
    /// Where the next record will stand in `current`. Invariant: a seal still fits there.
    offset: u32,
    /// Encoded and not yet written; belongs to the end of `current`, up to `offset`.
    buffer: Vec<u8>,
    /// The same for segments that became full since the last flush.
    full: Vec<Full>,
    needed: Needed,
    /// A reset is not yet flushed. Until it is, the entries it voids count on disk, so nothing may be freed.
    reset_due: bool,
    /// The latest `HardState` record of each group.
    hard_states: BTreeMap<u64, HardState>,
    /// `hard_states` must be written again before the next record, since `current` may lack some of them: the log was just
    /// opened, and its tail may have been cut.
    hard_states_due: bool,
    /// Behind the last place where all of `hard_states` stand. Once this is on disk, segments before it may go.
    hard_states_end: Option<Position>,
    /// Segments before this number hold no `HardState` that counts.
    free_limit: u32,
    /// Up to here the log is on disk. Written into every record.
    synced_to: Position,
    failure: Option<FlushError>,
    recovered: Recovered,
    reserve: SharedReserve,
}

/// A segment that became full, with what is not yet written of it.
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

/// Whether there is a log in `dir`, or a part of one. A directory that is missing has none.
///
/// # Errors
/// The directory cannot be listed.
pub fn is_in(disk: &dyn Disk, dir: &Path) -> Result<bool, OpenError> {
    match disk.list(dir) {
        Ok(names) => Ok(names.iter().any(|name| parse_file_name(name).is_some())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(failed(dir, "list", source)),
    }
}

impl Log {
    /// Opens the log in `dir`, which must exist, gives every record to `visit` in the order it was appended, and repairs a tail
    /// torn by a crash. A log that does not exist is created.
    ///
    /// The visitor may meet entries that were to be forgotten, at the front, up to a segment's worth; entries that a later one
    /// replaces or a later `Reset` makes void; and a `HardState` repeatedly.
    ///
    /// # Errors
    /// See [`OpenError`]. What was visited must then not be used.
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
        let names = disk.list(dir).map_err(|source| failed(dir, "list", source))?;
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
            log.reserve.start().map_err(|source| failed(dir, "start a thread for", source))?;
        }
        Ok(log)
    }

    /// What was found when the log was opened.
    #[must_use]
    pub fn recovered(&self) -> &Recovered {
        &self.recovered
    }

    /// Bytes appended and not yet flushed.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        self.buffer.len() + self.full.iter().map(|full| full.bytes.len()).sum::<usize>()
    }

    /// Files the log consists of, the one being written included.
    #[must_use]
    pub fn segments(&self) -> usize {
        self.needed.sealed() + 1
    }

    /// Takes a record into memory. It is durable after the next [`Log::flush`].
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

    /// Takes into memory that all entries of `group` appended so far are void and that its log goes on behind a snapshot ending at
    /// `index` and `term`. The next flush makes that durable, together with what else was appended; only then does
    /// [`Log::compact`] free what has become void. The snapshot MUST be durable before that flush: nothing else is left.
    ///
    /// The group's `HardState` stays in force, so that a vote is never forgotten; its `commit` may lie before the snapshot.
    ///
    /// # Errors
    /// As [`Log::append`]; never [`AppendError::TooLong`].
    pub fn reset(&mut self, group: u64, index: u64, term: u64) -> Result<(), AppendError> {
        self.append(&Record::Reset { group, index, term })
    }

    /// Makes everything appended durable: one write and one sync, or one of each per segment when segments became full.
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
            // `hard_states_end` always lies in the segment that was then, and so is still now, the current one.
            self.free_limit = self.current.sequence;
        }
        Ok(())
    }

    /// Forgets the entries of `group` before `first_index_kept`. Whole segments are freed, oldest first, as soon as no group needs
    /// anything in them; a segment that became full since the last flush waits for the next call, and all wait while a reset
    /// is not flushed.
    ///
    /// # Errors
    /// Old segments kept their space; the next call tries again. Nothing is lost. With a background thread errors
    /// are found by [`Log::take_background_error`] instead.
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

    /// Does one piece of the work that is not urgent, zeroing at most about `budget_bytes` of the next segment. `true`: the next
    /// segment is ready and no old one waits to be freed. Only needed without a background thread.
    ///
    /// # Errors
    /// Nothing is lost; the work is tried again when it is next asked for, at the latest by the append that needs it.
    pub fn prepare(&mut self, budget_bytes: usize) -> Result<bool, StepError> {
        self.reserve.with(|reserve| reserve.step(budget_bytes))
    }

    /// What the background thread last failed with since this was last asked. It goes on trying, once a second.
    #[must_use]
    pub fn take_background_error(&self) -> Option<StepError> {
        self.reserve.take_error()
    }

    /// Flushes and leaves a mark that vouches for the last flush, so that damage to it can be told from a crash. Not calling it
    /// loses nothing.
    ///
    /// # Errors
    /// As [`Log::flush`].
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

    /// Goes over to the next segment, which will have room for a record of `record_len`. First the space, then the change, so that
    /// a full disk changes nothing.
    fn rotate(&mut self, record_len: usize) -> Result<(), AppendError> {
        let len = RECORDS_START as usize + self.hard_states_len() + record_len + HEAD_BYTES;
        let next = match self.reserve.with(|reserve| reserve.take(len as u64)) {
            Ok(next) => next,
            Err(PrepareError::NoSpace { path, bytes }) => return Err(AppendError::NoSpace { path, bytes }),
            Err(PrepareError::Io { path, action, source }) => {
                return Err(self.fail(path, action, source).into());
            }
            Err(PrepareError::Exhausted) => {
                let source = Arc::new(io::Error::other("all segment numbers are used"));
                return Err(self.fail(self.current.path.clone(), "extend", source).into());
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

    fn fail(&mut self, path: PathBuf, action: &'static str, source: Arc<io::Error>) -> FlushError {
        let failure = FlushError { path, action, offset: 0, source };
        self.failure = Some(failure.clone());
        failure
    }

    fn write_and_sync(&self) -> Result<(), FlushError> {
        let failure = |path: &Path, action, offset, source| FlushError {
            path: path.to_owned(),
            action,
            offset,
            source: Arc::new(source),
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

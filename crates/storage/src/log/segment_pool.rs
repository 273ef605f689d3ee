//! Segments not in use: the next one, prepared ahead of time, and old ones for reuse.
//!
//! A segment is zeroed, named, given its header and synced before the log needs it, so that
//! switching to it costs nothing. An old segment becomes a spare by a rename and needs no zeroing,
//! since its old records cannot validate under a new salt. Files that are not segments of the log:
//! `*.spare` are old segments, and `next.new` is one being zeroed.

use super::error::{CompactError, PrepareError};
use super::record::Seed;
use super::segment::{Segment, encode_header, file_name};
use crate::disk::{Disk, DiskFile, Mode, is_full};
use crate::io_failure::IoFailure;
use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Bytes zeroed and synced at a time in the background: few, since the log's own flushes wait for
/// them on the same disk.
const SLICE_BYTES: usize = 512 << 10;
/// Pause of the background thread between two slices, in which the log can use the disk and the
/// pool.
const PAUSE: Duration = Duration::from_millis(1);
/// Pause of the background thread after an error.
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(1);
const NEW_NAME: &str = "next.new";
const SPARE_SUFFIX: &str = ".spare";

pub(crate) struct SegmentPool {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    segment_bytes: u64,
    spares_max: usize,
    /// The number of the next segment the log will request. Invariant: `ready` has this number.
    next_sequence: u32,
    ready: Option<Segment>,
    job: Option<Job>,
    /// File names of spares, of `segment_bytes` each.
    spares: Vec<String>,
    /// Segments the log no longer needs, with their lengths, oldest first. They are removed in this
    /// order, each durably before the next, so that the segments on disk never have a gap.
    freed: VecDeque<(u32, u64)>,
}

/// A file being prepared as the next segment.
struct Job {
    path: PathBuf,
    file: Box<dyn DiskFile>,
    len: u64,
    zeroed: u64,
    /// The file already reads as zeros, or as records with another salt, up to its end; zeroing the
    /// rest only improves speed.
    usable: bool,
}

impl SegmentPool {
    /// Finds spares that an earlier run left, and removes unusable files.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        segment_bytes: u64,
        spares_max: usize,
        names: &[String],
    ) -> Result<Self, PrepareError> {
        let mut spares = Vec::new();
        let mut removed = false;
        for name in names.iter().filter(|name| *name == NEW_NAME || name.ends_with(SPARE_SUFFIX)) {
            let path = dir.join(name);
            let len = disk.open(&path, Mode::Read).and_then(|file| file.len());
            let len = len.map_err(|source| refused(&path, segment_bytes, "open", source))?;
            if name != NEW_NAME && len == segment_bytes && spares.len() < spares_max {
                spares.push(name.clone());
            } else {
                disk.remove(&path).map_err(|source| refused(&path, segment_bytes, "remove", source))?;
                removed = true;
            }
        }
        if removed {
            disk.sync_dir(dir).map_err(|source| refused(dir, segment_bytes, "sync", source))?;
        }
        let dir = dir.to_owned();
        let freed = VecDeque::new();
        Ok(Self {
            disk,
            dir,
            segment_bytes,
            spares_max,
            next_sequence: 1,
            ready: None,
            job: None,
            spares,
            freed,
        })
    }

    /// Sets the number of the next segment, and the segment itself if it is ready on disk.
    pub(crate) fn resume(&mut self, next_sequence: u32, ready: Option<Segment>) {
        assert!(
            ready.as_ref().is_none_or(|segment| segment.sequence == next_sequence),
            "the ready segment is the next one"
        );
        self.next_sequence = next_sequence;
        self.ready = ready;
    }

    /// Does one bounded step of the pending work. Returns `true` when nothing is left to do.
    pub(crate) fn step(&mut self, budget_bytes: usize) -> Result<bool, StepError> {
        if !self.freed.is_empty() {
            self.free_oldest()?;
        } else if self.ready.is_none() {
            self.advance(self.segment_bytes, budget_bytes)?;
        }
        Ok(self.freed.is_empty() && self.ready.is_some())
    }

    /// Returns the next segment, with at least `len` bytes, preparing it now if it is not ready.
    pub(crate) fn take(&mut self, len: u64) -> Result<Segment, PrepareError> {
        if self.ready.as_ref().is_some_and(|ready| ready.len < len) {
            self.retire_ready()?;
        }
        if self.job.as_ref().is_some_and(|job| job.len < len) {
            self.job = None;
        }
        if let Some(job) = self.job.as_mut().filter(|job| job.usable) {
            job.zeroed = job.len;
        }
        while self.ready.is_none() {
            self.advance(len.max(self.segment_bytes), usize::MAX)?;
        }
        let segment = self.ready.take().expect("the loop ends when one is ready");
        self.next_sequence = segment.sequence.checked_add(1).ok_or(PrepareError::Exhausted)?;
        Ok(segment)
    }

    /// Returns the very first segment, smaller than others so that the first start is quick.
    pub(crate) fn take_first(&mut self, len: u64) -> Result<Segment, PrepareError> {
        while self.ready.is_none() {
            self.advance(len, usize::MAX)?;
        }
        self.take(0)
    }

    /// Queues a segment the log no longer needs; all older ones were queued before.
    pub(crate) fn free(&mut self, sequence: u32, len: u64) {
        assert!(
            self.freed.back().is_none_or(|(last, _)| *last < sequence),
            "segments are freed oldest first"
        );
        self.freed.push_back((sequence, len));
    }

    /// Removes from the log, at once, a segment that contains only the remains of an unfinished
    /// write.
    pub(crate) fn discard(&mut self, sequence: u32, len: u64) -> Result<(), CompactError> {
        let path = self.dir.join(file_name(sequence));
        let spare = format!("{sequence:016x}{SPARE_SUFFIX}");
        if len == self.segment_bytes && (self.spares.len() < self.spares_max || self.spares.contains(&spare))
        {
            match self.disk.rename(&path, &self.dir.join(&spare)) {
                // An earlier attempt completed the rename and failed in the sync.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other.map_err(IoFailure::of(&path, "rename"))?,
            }
            self.disk.sync_dir(&self.dir).map_err(IoFailure::of(&path, "remove"))?;
            if !self.spares.contains(&spare) {
                self.spares.push(spare);
            }
            return Ok(());
        }
        match self.disk.remove(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other.map_err(IoFailure::of(&path, "remove"))?,
        }
        Ok(self.disk.sync_dir(&self.dir).map_err(IoFailure::of(&path, "remove"))?)
    }

    fn free_oldest(&mut self) -> Result<(), CompactError> {
        if let Some((sequence, len)) = self.freed.front().copied() {
            self.discard(sequence, len)?;
            self.freed.pop_front();
        }
        Ok(())
    }

    /// Frees all queued segments.
    pub(crate) fn free_all(&mut self) -> Result<(), CompactError> {
        while !self.freed.is_empty() {
            self.free_oldest()?;
        }
        Ok(())
    }

    /// Discards the ready segment: a longer one is needed under its number.
    fn retire_ready(&mut self) -> Result<(), PrepareError> {
        let Some(ready) = self.ready.take() else { return Ok(()) };
        Ok(self.discard(ready.sequence, ready.len).map_err(|error| error.0)?)
    }

    fn advance(&mut self, len: u64, budget_bytes: usize) -> Result<(), PrepareError> {
        let mut job = match self.job.take() {
            Some(job) => job,
            None => self.start(len)?,
        };
        let path = job.path.clone();
        let result = if job.zeroed < job.len {
            zero_slice(&mut job, budget_bytes).map(|()| self.job = Some(job))
        } else {
            self.finish(job).map(|segment| self.ready = Some(segment))
        };
        result.map_err(|(action, source)| self.abandon(&path, len, action, source))
    }

    fn start(&mut self, len: u64) -> Result<Job, PrepareError> {
        if len == self.segment_bytes
            && let Some(name) = self.spares.pop()
        {
            let path = self.dir.join(name);
            let file =
                self.disk.open(&path, Mode::Write).map_err(|source| refused(&path, len, "open", source))?;
            return Ok(Job { path, file, len, zeroed: len, usable: true });
        }
        let path = self.dir.join(NEW_NAME);
        let made =
            self.disk.open(&path, Mode::Create).map_err(|source| ("create", source)).and_then(|file| {
                let usable = file.allocate(len).map_err(|source| ("reserve space", source))?;
                Ok(Job { path: path.clone(), file, len, zeroed: 0, usable })
            });
        made.map_err(|(action, source)| self.abandon(&path, len, action, source))
    }

    /// Writes the header and, once that is on disk, gives the file its name in the log.
    fn finish(&mut self, job: Job) -> Result<Segment, (&'static str, io::Error)> {
        let (sequence, salt) = (self.next_sequence, self.disk.entropy());
        job.file.write_at(&encode_header(sequence, salt, job.len), 0).map_err(|source| ("write", source))?;
        job.file.sync_data().map_err(|source| ("sync", source))?;
        let path = self.dir.join(file_name(sequence));
        self.disk.rename(&job.path, &path).map_err(|source| ("rename", source))?;
        self.disk.sync_dir(&self.dir).map_err(|source| ("sync the name of", source))?;
        Ok(Segment { sequence, len: job.len, seed: Seed::of_salt(salt), path, file: job.file })
    }

    /// Removes the file at `path`, so that a full disk regains its space.
    fn abandon(&self, path: &Path, bytes: u64, action: &'static str, source: io::Error) -> PrepareError {
        // The operation has already failed; the next start removes or reuses a file that cannot be
        // removed now.
        let _ = self.disk.remove(path);
        refused(path, bytes, action, source)
    }
}

/// A segment of `bytes` bytes cannot be prepared.
fn refused(path: &Path, bytes: u64, action: &'static str, source: io::Error) -> PrepareError {
    if is_full(&source) {
        return PrepareError::NoSpace { path: path.to_owned(), bytes };
    }
    IoFailure::new(path, action, source).into()
}

fn zero_slice(job: &mut Job, budget_bytes: usize) -> Result<(), (&'static str, io::Error)> {
    static ZEROS: [u8; 1 << 20] = [0; 1 << 20];
    // At least a page, so that the work completes however small the budget.
    let end = job.len.min(job.zeroed.saturating_add(budget_bytes.max(4096) as u64));
    while job.zeroed < end {
        let len = (end - job.zeroed).min(ZEROS.len() as u64) as usize;
        job.file.write_at(&ZEROS[..len], job.zeroed).map_err(|source| ("zero", source))?;
        job.zeroed += len as u64;
    }
    job.file.sync_data().map_err(|source| ("sync", source))
}

/// A step of the pool's work failed.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// Preparing the next segment.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// Freeing an old segment.
    #[error(transparent)]
    Compact(#[from] CompactError),
}

/// The pool, and the thread that works on it while the log flushes.
pub(crate) struct SharedReserve {
    shared: Arc<Shared>,
    worker: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

struct State {
    reserve: SegmentPool,
    stopping: bool,
    /// The background thread's last error, until it is taken.
    error: Option<StepError>,
}

impl SharedReserve {
    pub(crate) fn new(reserve: SegmentPool) -> Self {
        let state = Mutex::new(State { reserve, stopping: false, error: None });
        Self { shared: Arc::new(Shared { state, wake: Condvar::new() }), worker: None }
    }

    /// Starts the thread.
    pub(crate) fn start(&mut self) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        self.worker =
            Some(std::thread::Builder::new().name("log-reserve".into()).spawn(move || shared.work())?);
        Ok(())
    }

    pub(crate) fn has_worker(&self) -> bool {
        self.worker.is_some()
    }

    /// Uses the pool, waiting at most for one slice of the thread's work, and wakes the thread
    /// afterwards.
    pub(crate) fn with<R>(&self, use_it: impl FnOnce(&mut SegmentPool) -> R) -> R {
        let result = use_it(&mut self.shared.lock().reserve);
        self.shared.wake.notify_one();
        result
    }

    pub(crate) fn take_error(&self) -> Option<StepError> {
        self.shared.lock().error.take()
    }
}

impl Drop for SharedReserve {
    fn drop(&mut self) {
        self.shared.lock().stopping = true;
        self.shared.wake.notify_one();
        if let Some(worker) = self.worker.take() {
            // The panic hook has already reported a panic of the worker.
            let _ = worker.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut state = self.lock();
        while !state.stopping {
            let pause = match state.reserve.step(SLICE_BYTES) {
                Ok(true) => None,
                Ok(false) => Some(PAUSE),
                Err(error) => {
                    state.error = Some(error);
                    Some(PAUSE_AFTER_ERROR)
                }
            };
            if state.stopping {
                break;
            }
            state = match pause {
                Some(pause) => self.wake.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner).0,
                None => self.wake.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

//! When a snapshot is taken, and how it is written without stopping the group.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use consensus::membership::SnapshotMeta;
use group::{GroupId, Replica};
use state::snapshot::SnapshotCursor;
use storage::disk::Disk;
use storage::log::Log;
use storage::snapshot::{self, SnapshotError, SnapshotName, SnapshotWriter};

use super::recovery::{Files, put_meta};
use super::snapshot_leases::{LEASED_BYTES_MAX, SnapshotLeases};
use crate::config::{ServerId, limits};
use crate::inbox::ControlRequest;
use crate::shared::Shared;

/// Znodes written in one slice, while the machine is held for reading: about a tenth of a
/// millisecond.
const SLICE_NODES: usize = 500;

/// The writer sleeps this many times as long as it worked. At full speed it would take one of two
/// cores, and every client would notice.
const REST: u32 = 1;

/// Most log, in bytes, that a start may have to read and hold in memory, even if ZooKeeper's keys
/// name a larger limit: entries take the same memory until they are applied.
const LOG_BYTES_MAX: u64 = 256 << 20;

/// Bytes of applied entries kept in memory for followers that were away.
const RETAINED_BYTES_MAX: u64 = 64 << 20;

/// Bytes of log between two trims of the engine's memory. A group of one keeps no more than this.
const RETAINED_STEP_BYTES: u64 = 1 << 20;

/// Time from the beginning of one snapshot to the beginning of the next, unless there is much log.
const PAUSE: Duration = Duration::from_secs(5);

/// Bytes of log that cause a snapshot even within [`PAUSE`].
const LOG_BYTES_IN_PAUSE_MAX: u64 = 128 << 20;

/// Wait before the next attempt after a snapshot failed.
const RETRY: Duration = Duration::from_secs(30);

/// Decides when snapshots are taken, and owns the one being written.
pub(super) struct Snapshots {
    /// Whose snapshots they are.
    group: GroupId,
    files: Files,
    dir: PathBuf,
    commands_max: u64,
    bytes_max: u64,
    /// Bytes of the log of all groups when the last snapshot began.
    begun_at_bytes: u64,
    /// The group has entries since the last snapshot began.
    has_entries: bool,
    /// Bytes of log since the engine's memory was last trimmed.
    retained_bytes: u64,
    /// The replica's count of commands when the last snapshot began.
    begun_at: u64,
    begun_when: Instant,
    /// Commands after which the next snapshot is due: random between half of `snapCount` and all of
    /// it, so that members do not all take theirs at once.
    due_after: u64,
    /// In ms of the server's clock.
    retry_at_ms: Option<i64>,
    asked: bool,
    running: Option<Running>,
    /// Snapshots begun since the start.
    begun: u64,
    /// Trim points, oldest first: the last index at each, and the bytes of log before it (see
    /// [`trim`](Self::trim)).
    retained: VecDeque<(u64, u64)>,
    purged_at: Instant,
    leases: SnapshotLeases,
    /// Tells the writer to abandon its snapshot.
    given_up: Arc<AtomicBool>,
}

struct Running {
    number: u64,
    meta: SnapshotMeta,
    /// `None` where there are no threads: the snapshot has then ended already, and the control
    /// request that says so waits in the inbox.
    thread: Option<JoinHandle<()>>,
}

impl Snapshots {
    pub(super) fn new(shared: &Shared, group: GroupId, files: Files, dir: PathBuf) -> Snapshots {
        let storage = &shared.config.storage;
        let mut snapshots = Snapshots {
            group,
            files,
            dir,
            commands_max: storage.snapshot_commands.max(2),
            bytes_max: storage.snapshot_log_bytes.unwrap_or(LOG_BYTES_MAX).min(LOG_BYTES_MAX),
            begun_at_bytes: 0,
            has_entries: false,
            retained_bytes: 0,
            begun_at: 0,
            begun_when: Instant::now(),
            due_after: 0,
            retry_at_ms: None,
            asked: false,
            running: None,
            begun: 0,
            retained: VecDeque::new(),
            purged_at: Instant::now(),
            leases: SnapshotLeases::default(),
            given_up: Arc::default(),
        };
        snapshots.draw();
        snapshots
    }

    fn draw(&mut self) {
        let half = self.commands_max / 2;
        let entropy = self.files.disk.entropy();
        self.due_after = half + entropy % (self.commands_max - half) + 1;
    }

    /// Counts the bytes of a log entry of the group.
    pub(super) fn count_bytes(&mut self, bytes: usize) {
        self.has_entries = true;
        self.retained_bytes += bytes as u64;
    }

    /// Records that another member fetches a snapshot.
    pub(super) fn extend_lease(&mut self, server: ServerId, name: SnapshotName, now_ms: i64) {
        self.leases.extend(server, name, now_ms);
    }

    /// The first entry that the engine must keep in memory: `first_index`, or less if a snapshot
    /// lease needs older entries.
    fn first_kept(&self, first_index: u64, replica: &mut Replica) -> u64 {
        let bytes = replica.status().retained_bytes;
        let needed = self.leases.first_needed().filter(|_| bytes <= RETAINED_BYTES_MAX + LEASED_BYTES_MAX);
        needed.map_or(first_index, |needed| needed.min(first_index))
    }

    /// Requests a snapshot; it begins as soon as none is being written.
    pub(super) fn ask(&mut self) {
        self.asked = true;
    }

    /// Requests a snapshot unless one is being written.
    pub(super) fn replace(&mut self) {
        self.asked |= self.running.is_none();
    }

    /// Whether the log has become so long that the group, which has entries in it, must allow its
    /// beginning to be dropped. `log_bytes` counts the entries of all groups.
    pub(super) fn is_log_too_long(&self, log_bytes: u64) -> bool {
        self.has_entries && log_bytes - self.begun_at_bytes >= self.bytes_max
    }

    /// Trims the engine's memory and begins a snapshot if one is due. `log_bytes` counts the
    /// entries of all groups.
    pub(super) fn consider(&mut self, shared: &Arc<Shared>, replica: &mut Replica, log_bytes: u64) {
        self.leases.expire(shared.clock.elapsed_ms());
        self.trim(replica);
        self.purge_hourly(shared);
        let commands = replica.applied_commands() - self.begun_at;
        // A hundred thousand writes are a fraction of a second. Snapshots without a pause would
        // keep the disk busy under every flush, so within the pause only `LOG_BYTES_IN_PAUSE_MAX`
        // causes one: a start reads that much quickly. An operator who sets a lower count wants
        // snapshots often.
        let rested = self.commands_max < limits::SNAPSHOT_COMMANDS
            || self.begun_when.elapsed() >= PAUSE
            || log_bytes - self.begun_at_bytes >= LOG_BYTES_IN_PAUSE_MAX;
        let due = self.asked || (commands >= self.due_after && rested) || self.is_log_too_long(log_bytes);
        let held_back = self.retry_at_ms.is_some_and(|at_ms| shared.clock.elapsed_ms() < at_ms);
        if due && self.running.is_none() && !held_back && !replica.has_work() {
            self.begin(shared, replica, log_bytes);
        }
    }

    /// Drops applied entries from the engine's memory. Only followers request them: some are kept
    /// for those that were away for a while, and a follower that needs older ones is offered a
    /// snapshot at least this new, which this member can take at any time.
    fn trim(&mut self, replica: &mut Replica) {
        if self.retained_bytes < RETAINED_STEP_BYTES {
            return;
        }
        let index = replica.applied_index();
        self.retained.push_back((index, std::mem::take(&mut self.retained_bytes)));
        let retained_bytes_max = if replica.is_alone() { 0 } else { RETAINED_BYTES_MAX };
        let mut retained_bytes: u64 = self.retained.iter().map(|(_, bytes)| bytes).sum();
        let mut dropped = None;
        while retained_bytes > retained_bytes_max
            && let Some((index, bytes)) = self.retained.pop_front()
        {
            retained_bytes -= bytes;
            dropped = Some(index);
        }
        if let Some(dropped) = dropped
            && let Some(meta) = replica.snapshot_meta(index)
        {
            let first_index_kept = self.first_kept(dropped + 1, replica);
            replica.compact(&meta, first_index_kept);
        }
    }

    fn begin(&mut self, shared: &Arc<Shared>, replica: &mut Replica, log_bytes: u64) {
        let index = replica.applied_index();
        if index == 0 {
            // A server that belongs to no ensemble yet has nothing to keep, and a snapshot without
            // members could not be read again.
            self.asked = false;
            return;
        }
        let Some(meta) = replica.snapshot_meta(index) else { return };
        let (cursor, zxid) = {
            let mut machine = shared.namespace(self.group).machine.write();
            (machine.begin_snapshot(), machine.last_zxid())
        };
        self.asked = false;
        self.begun_at_bytes = log_bytes;
        self.has_entries = false;
        self.begun += 1;
        self.begun_at = replica.applied_commands();
        self.begun_when = Instant::now();
        self.draw();
        let name =
            SnapshotName { group: self.group.0, index: meta.position.index, term: meta.position.term, zxid };
        let job = Job {
            shared: Arc::clone(shared),
            disk: Arc::clone(&self.files.disk),
            dir: self.dir.clone(),
            name,
            meta: meta.clone(),
            number: self.begun,
            given_up: Arc::clone(&self.given_up),
            rests: self.files.background,
        };
        if !self.files.background {
            job.run(cursor);
            self.running = Some(Running { number: self.begun, meta, thread: None });
            return;
        }
        let run = move || {
            lower_priority();
            job.run(cursor);
        };
        match std::thread::Builder::new().name("snapshot".into()).spawn(run) {
            Ok(thread) => self.running = Some(Running { number: self.begun, meta, thread: Some(thread) }),
            Err(e) => {
                tracing::error!("no snapshot: cannot start a thread: {e}");
                shared.namespace(self.group).machine.write().end_snapshot();
                self.retry_at_ms = Some(shared.clock.elapsed_ms() + RETRY.as_millis() as i64);
            }
        }
    }

    /// Handles the end of the writer: compacts and purges after success, schedules a retry after
    /// failure.
    pub(super) fn done(
        &mut self,
        shared: &Shared,
        number: u64,
        result: Result<u64, String>,
        replica: &mut Replica,
        log: &mut Log,
    ) {
        let Some(Running { meta, thread, .. }) = self.running.take_if(|running| running.number == number)
        else {
            return;
        };
        let _ = thread.map(JoinHandle::join);
        if let Err(why) = result {
            tracing::error!(
                "no snapshot: {why}. The log keeps everything; the next attempt is in {} s",
                RETRY.as_secs()
            );
            self.retry_at_ms = Some(shared.clock.elapsed_ms() + RETRY.as_millis() as i64);
            self.asked = true;
            return;
        }
        self.retry_at_ms = None;
        let first_index_kept =
            if replica.is_alone() { meta.position.index + 1 } else { replica.status().first_index };
        replica.compact(&meta, first_index_kept);
        if shared.config.storage.purge_interval_hours.is_none() {
            self.purge(shared);
        }
        self.forget_log(shared, log);
    }

    /// `autopurge.purgeInterval`: old snapshots are purged by the clock. Without the key they are
    /// purged after each new one.
    fn purge_hourly(&mut self, shared: &Shared) {
        let Some(hours) = shared.config.storage.purge_interval_hours else { return };
        if self.purged_at.elapsed() >= Duration::from_secs(u64::from(hours) * 3600) {
            self.purged_at = Instant::now();
            self.purge(shared);
        }
    }

    fn purge(&self, shared: &Shared) {
        let kept = shared.config.storage.snapshots_kept as usize;
        let lent = |name: &SnapshotName| self.leases.holds(name);
        if let Err(e) = snapshot::purge(self.files.disk.as_ref(), &self.dir, self.group.0, kept, &lent) {
            tracing::warn!("{e}");
        }
    }

    /// Drops the part of the log that even the oldest remaining snapshot does not need: if the
    /// newest is damaged, an older one and the log still give the whole state.
    fn forget_log(&self, shared: &Shared, log: &mut Log) {
        let kept = shared.config.storage.snapshots_kept as usize;
        let oldest = match snapshot::list(self.files.disk.as_ref(), &self.dir, self.group.0) {
            // A snapshot that is kept only by a lease is not one to start from.
            Ok(names) => {
                let mut own =
                    names.iter().enumerate().filter(|(n, name)| *n < kept || !self.leases.holds(name));
                own.next_back().map(|(_, name)| name.index)
            }
            Err(e) => return tracing::warn!("{e}"),
        };
        if let Some(index) = oldest
            && let Err(e) = log.compact(self.group.0, index + 1)
        {
            tracing::warn!("{e}");
        }
        if let Some(index) = oldest {
            shared.namespace(self.group).counts.first_index.store(index + 1, Relaxed);
        }
    }

    /// Abandons a snapshot being written, which costs only its work: the server stops, or its state
    /// is about to be replaced.
    pub(super) fn give_up(&mut self) {
        self.given_up.store(true, Relaxed);
        if let Some(running) = self.running.take() {
            let _ = running.thread.map(JoinHandle::join);
        }
        self.given_up.store(false, Relaxed);
    }

    /// Resets the counts for a new replica, which counts its commands and bytes from 0.
    pub(super) fn begin_anew(&mut self) {
        self.give_up();
        (self.begun_at, self.retained_bytes) = (0, 0);
        self.retained.clear();
    }

    /// Removes an unusable snapshot that came from another member.
    pub(super) fn discard(&self, name: &SnapshotName) {
        let path = name.path(&self.dir);
        let removed = self.disk().remove(&path).and_then(|()| self.disk().sync_dir(&self.dir));
        if let Err(e) = removed {
            tracing::warn!("{}: cannot remove it: {e}", path.display());
        }
    }

    /// Whose snapshots they are.
    pub(super) fn group(&self) -> GroupId {
        self.group
    }

    /// The directory of the snapshots.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The files, and whether background threads work on them.
    pub(super) fn files(&self) -> &Files {
        &self.files
    }

    /// The disk that the snapshots are on.
    pub(super) fn disk(&self) -> &Arc<dyn Disk> {
        &self.files.disk
    }
}

/// One snapshot being written.
struct Job {
    shared: Arc<Shared>,
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    name: SnapshotName,
    meta: SnapshotMeta,
    number: u64,
    given_up: Arc<AtomicBool>,
    /// Whether it has a thread of its own, which must leave the processor to others.
    rests: bool,
}

impl Job {
    fn run(self, cursor: SnapshotCursor) {
        let begun = Instant::now();
        let written = self.write(cursor);
        // The copies kept for the snapshot are dropped after the machine is released.
        let namespace = self.shared.namespace(GroupId(self.name.group));
        let kept = namespace.machine.write().end_snapshot();
        drop(kept);
        let result = match written {
            Ok(true) => {
                let counts = &namespace.counts;
                counts.snapshot_time.record(begun.elapsed().as_micros() as u64);
                counts.snapshot_zxid.store(self.name.zxid, Relaxed);
                counts.snapshot_index.store(self.name.index, Relaxed);
                counts.snapshot_finished_ms.store(self.shared.clock.wall_ms(), Relaxed);
                tracing::info!(
                    zxid = format_args!("{:#x}", self.name.zxid),
                    ms = begun.elapsed().as_millis() as u64,
                    "snapshot written"
                );
                Ok(self.name.index)
            }
            Ok(false) => Err("the server stops".to_owned()),
            Err(e) => Err(e.to_string()),
        };
        self.shared.inbox.ask(ControlRequest::SnapshotDone {
            group: namespace.group,
            number: self.number,
            result,
        });
    }

    /// Writes the snapshot in slices; `false` if the server stops or the snapshot is abandoned
    /// first.
    fn write(&self, mut cursor: SnapshotCursor) -> Result<bool, SnapshotError> {
        let mut writer = SnapshotWriter::create(Arc::clone(&self.disk), &self.dir, self.name)?;
        let mut bytes = Vec::new();
        put_meta(&self.meta, &mut bytes);
        let machine = &self.shared.namespace(GroupId(self.name.group)).machine;
        let mut done = false;
        while !done {
            if self.given_up.load(Relaxed) || self.shared.is_stopping() {
                return Ok(false);
            }
            let begun = Instant::now();
            done = machine.read().snapshot_slice(&mut cursor, SLICE_NODES, &mut bytes);
            writer.write(&bytes)?;
            bytes.clear();
            if self.rests {
                std::thread::sleep(begun.elapsed() * REST);
            }
        }
        writer.finish()?;
        Ok(true)
    }
}

/// Gives the calling thread the lowest processor priority, so that serving clients goes first.
fn lower_priority() {
    // On Linux, unlike POSIX, the value belongs to the thread. If it is refused, the snapshot only
    // competes more with the clients.
    let _ = rustix::process::setpriority_process(None, 19);
}

//! How a group's snapshots are written without stopping it. When one is due is decided by
//! [`SnapshotSchedule`].

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Instant;

use consensus::membership::SnapshotMeta;
use group::snapshot_schedule::{RETAINED_BYTES_MAX, SnapshotFacts, SnapshotSchedule, SnapshotTerms};
use group::{GroupId, Replica};
use state::snapshot::SnapshotCursor;
use storage::disk::Disk;
use storage::log::Log;
use storage::snapshot::{self, SnapshotError, SnapshotName, SnapshotWriter};

use super::recovery::{Files, put_meta};
use super::snapshot_leases::{LEASED_BYTES_MAX, SnapshotLeases};
use crate::config::{ServerId, limits};
use crate::inbox::{ControlRequest, SnapshotWaiter, WrittenSnapshot};
use crate::shared::Shared;

/// Znodes written in one slice, while the machine is held for reading: about a tenth of a
/// millisecond.
const SLICE_NODES: usize = 500;

/// The writer sleeps this many times as long as it worked. At full speed it would take one of two
/// cores, and every client would notice.
const REST: u32 = 1;

/// Decides when snapshots are taken, and owns the one being written.
pub(super) struct Snapshots {
    /// Whose snapshots they are.
    group: GroupId,
    files: Files,
    dir: PathBuf,
    schedule: SnapshotSchedule,
    running: Option<Running>,
    /// Who waits for the next one.
    waiting: Vec<SnapshotWaiter>,
    /// Snapshots begun since the start.
    begun: u64,
    /// When old snapshots were last purged, in ms of the server's clock.
    purged_ms: i64,
    leases: SnapshotLeases,
    /// Tells the writer to abandon its snapshot.
    given_up: Arc<AtomicBool>,
}

struct Running {
    number: u64,
    name: SnapshotName,
    meta: SnapshotMeta,
    /// Who waits for it.
    waiting: Vec<SnapshotWaiter>,
    /// `None` where there are no threads: the snapshot has then ended already, and the control
    /// request that says so waits in the inbox.
    thread: Option<JoinHandle<()>>,
}

impl Snapshots {
    pub(super) fn new(shared: &Shared, group: GroupId, files: Files, dir: PathBuf) -> Snapshots {
        let storage = &shared.config.storage;
        let terms = SnapshotTerms {
            commands_max: storage.snapshot_commands,
            pause_commands_min: limits::SNAPSHOT_COMMANDS,
            log_bytes_max: storage.snapshot_log_bytes,
        };
        let now_ms = shared.clock.elapsed_ms();
        Snapshots {
            group,
            schedule: SnapshotSchedule::new(terms, now_ms, files.disk.entropy()),
            files,
            dir,
            running: None,
            waiting: Vec::new(),
            begun: 0,
            purged_ms: now_ms,
            leases: SnapshotLeases::default(),
            given_up: Arc::default(),
        }
    }

    /// Counts the bytes of a log entry of the group.
    pub(super) fn count_bytes(&mut self, bytes: usize) {
        self.schedule.count(bytes);
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
        self.schedule.ask();
    }

    /// As [`ask`](Self::ask), for one who may wait to be told how that snapshot ended.
    pub(super) fn ask_for(&mut self, waiter: Option<SnapshotWaiter>) {
        self.ask();
        self.waiting.extend(waiter);
    }

    /// Requests a snapshot unless one is being written.
    pub(super) fn replace(&mut self) {
        if self.running.is_none() {
            self.schedule.ask();
        }
    }

    /// Whether the group keeps the beginning of a log that has grown, though it has had few
    /// commands since its last snapshot.
    pub(super) fn keeps_log_for_little(&self, replica: &Replica, log_bytes: u64) -> bool {
        self.schedule.keeps_log_for_little(replica.applied_commands(), log_bytes)
    }

    /// Whether the log has become so long that the group, which has entries in it, must allow its
    /// beginning to be dropped. `log_bytes` counts the entries of all groups.
    pub(super) fn is_log_too_long(&self, log_bytes: u64) -> bool {
        self.schedule.is_log_too_long(log_bytes)
    }

    /// Trims the engine's memory and begins a snapshot if one is due. `all_commands` and
    /// `log_bytes` count those of all groups.
    pub(super) fn consider(
        &mut self,
        shared: &Arc<Shared>,
        replica: &mut Replica,
        all_commands: u64,
        log_bytes: u64,
    ) {
        self.leases.expire(shared.clock.elapsed_ms());
        self.trim(replica, log_bytes);
        self.purge_hourly(shared);
        let (now_ms, commands) = (shared.clock.elapsed_ms(), replica.applied_commands());
        let facts = SnapshotFacts { now_ms, commands, all_commands, log_bytes };
        if self.schedule.is_due(facts) && self.running.is_none() && !replica.has_work() {
            self.begin(shared, replica, facts);
        }
    }

    /// Drops applied entries from the engine's memory, if a snapshot at least this new can replace
    /// them, which this member can take at any time.
    fn trim(&mut self, replica: &mut Replica, log_bytes: u64) {
        let index = replica.applied_index();
        if let Some(first_kept) = self.schedule.trim(index, log_bytes, replica.is_alone())
            && let Some(meta) = replica.snapshot_meta(index)
        {
            let first_index_kept = self.first_kept(first_kept, replica);
            replica.compact(&meta, first_index_kept);
        }
    }

    fn begin(&mut self, shared: &Arc<Shared>, replica: &mut Replica, facts: SnapshotFacts) {
        let index = replica.applied_index();
        if index == 0 {
            // A server that belongs to no ensemble yet has nothing to keep, and a snapshot without
            // members could not be read again.
            self.schedule.drop_request();
            tell(&mut self.waiting, &Err("the server belongs to no ensemble yet".to_owned()));
            return;
        }
        let Some(meta) = replica.snapshot_meta(index) else { return };
        let (cursor, zxid) = {
            let mut machine = shared.namespace(self.group).machine.write();
            (machine.begin_snapshot(), machine.last_zxid())
        };
        self.schedule.begin(facts, self.files.disk.entropy());
        self.begun += 1;
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
        let waiting = std::mem::take(&mut self.waiting);
        let mut running = Running { number: self.begun, name, meta, waiting, thread: None };
        if !self.files.background {
            job.run(cursor);
            self.running = Some(running);
            return;
        }
        let run = move || {
            lower_priority();
            job.run(cursor);
        };
        match std::thread::Builder::new().name("snapshot".into()).spawn(run) {
            Ok(thread) => {
                running.thread = Some(thread);
                self.running = Some(running);
            }
            Err(e) => {
                tracing::error!("no snapshot: cannot start a thread: {e}");
                tell(&mut running.waiting, &Err(format!("cannot start a thread: {e}")));
                shared.namespace(self.group).machine.write().end_snapshot();
                self.schedule.failed(shared.clock.elapsed_ms());
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
        let Some(mut running) = self.running.take_if(|running| running.number == number) else { return };
        let _ = running.thread.map(JoinHandle::join);
        let written =
            |_: &u64| WrittenSnapshot { path: running.name.path(&self.dir), zxid: running.name.zxid };
        tell(&mut running.waiting, &result.as_ref().map(written).map_err(String::clone));
        if let Err(why) = result {
            let wait_ms = self.schedule.failed(shared.clock.elapsed_ms());
            tracing::error!(
                "no snapshot: {why}. The log keeps everything; the next attempt is in {} s",
                wait_ms / 1_000
            );
            return;
        }
        self.schedule.succeeded();
        let meta = running.meta;
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
        let now_ms = shared.clock.elapsed_ms();
        if now_ms - self.purged_ms >= i64::from(hours) * 3_600_000 {
            self.purged_ms = now_ms;
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
        self.schedule.restart();
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

/// Tells all who wait how a snapshot ended.
fn tell(waiting: &mut Vec<SnapshotWaiter>, ended: &Result<WrittenSnapshot, String>) {
    waiting.drain(..).for_each(|waiter| waiter.tell(ended.clone()));
}

/// Gives the calling thread the lowest processor priority, so that serving clients goes first.
fn lower_priority() {
    // On Linux, unlike POSIX, the value belongs to the thread. If it is refused, the snapshot only
    // competes more with the clients.
    let _ = rustix::process::setpriority_process(None, 19);
}

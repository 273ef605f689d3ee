//! From the files to a machine and an engine that remember everything that was acknowledged.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use consensus::engine::{Engine, Settings, Start};
use consensus::entry::{HardState, Position};
use consensus::membership::SnapshotMeta;
use consensus::paxos::PaxosEngine;
use consensus::raft::RaftEngine;
use group::message::FORWARD_BYTES_MAX;
use group::{GroupId, Replica};
use state::command::{BatchHeader, CLUSTER_KEY_BYTES, Features, is_batch};
use state::machine::Machine;
use state::snapshot::Loader;
use storage::data_dir::DataDir;
use storage::disk::{Disk, Mode, RealDisk};
use storage::log::{Log, LogOptions};
use storage::snapshot::{self, SnapshotError, SnapshotName, SnapshotReader};

use super::identity::{Identity, IdentityError};
use super::log_owner;
use super::log_tail::Tails;
pub(crate) use super::recovery_error::RecoveryError;
use super::reseed;
use super::standalone;
use crate::config::limits::ENTRY_BYTES_MAX;
use crate::config::{Config, EngineKind, ServerId, Storage};
use group::founding_meta;
use group::timers::TICK_MS;

/// The number of a server that is alone, whatever its configuration calls it: it can get another
/// number and keep its data.
const SERVER_ALONE: ServerId = 1;

/// The file by which an operator tells a server to begin with no data; ZooKeeper's name.
const INITIALIZE: &str = "initialize";

/// Loading logs its progress once it has taken this long, and then at this interval.
const PROGRESS: Duration = Duration::from_secs(1);

/// Bytes of the length in front of the engine's part of a snapshot.
const META_LENGTH_BYTES: usize = 4;

/// Where the files are, and which thread does the work on them that is not urgent.
#[derive(Clone)]
pub(crate) struct Files {
    pub(crate) disk: Arc<dyn Disk>,
    /// Whether separate threads write snapshots and prepare log segments. Without them the cycle
    /// that needs it does the work, so that a test can stop the simulated world at any disk
    /// operation.
    pub(crate) background: bool,
}

impl Files {
    /// The file system of this machine.
    pub(crate) fn real() -> Files {
        Files { disk: Arc::new(RealDisk), background: true }
    }

    /// Bytes for the secret of a new cluster: unpredictable, except in a simulation, which must be
    /// reproducible.
    pub(super) fn secret(&self) -> Result<[u8; CLUSTER_KEY_BYTES], getrandom::Error> {
        let mut key = [0; CLUSTER_KEY_BYTES];
        if self.background {
            getrandom::fill(&mut key)?;
        } else {
            key.chunks_mut(8).for_each(|part| part.copy_from_slice(&self.disk.entropy().to_be_bytes()));
        }
        Ok(key)
    }
}

/// What was recovered from the disk.
pub(crate) struct Recovered {
    /// By the group's number.
    pub(crate) machines: Vec<Machine>,
    pub(crate) parts: RecoveredParts,
}

/// Everything recovered except the machines.
pub(crate) struct RecoveredParts {
    /// By the group's number.
    pub(crate) replicas: Vec<Replica>,
    /// The identity of this server.
    pub(crate) identity: Identity,
    pub(crate) log: Log,
    pub(crate) files: Files,
    pub(crate) snapshot_dir: PathBuf,
    /// Holds the locks on the directories.
    pub(crate) data_dir: DataDir,
    /// What reading the files took.
    pub(crate) loading: Loading,
}

/// What reading the files at the start took.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Loading {
    /// Time to load the snapshot, in µs.
    pub(crate) snapshot_us: u64,
    /// Time to read the log after it, in µs.
    pub(crate) log_us: u64,
    /// Entries in that log.
    pub(crate) entries: u64,
}

/// The contents of a data directory, before an engine takes them.
pub(super) struct Opened {
    /// By the group's number.
    pub(super) groups: Vec<OpenedGroup>,
    pub(super) identity: Identity,
    pub(super) log: Log,
    pub(super) snapshot_dir: PathBuf,
    pub(super) data_dir: DataDir,
    pub(super) loading: Loading,
}

/// The state of one group.
pub(super) struct OpenedGroup {
    pub(super) machine: Machine,
    /// What the machine does not have yet.
    pub(super) start: Start,
}

/// Opens the data directory and reads its contents. If the data of a member of several are damaged,
/// they are set aside and the member starts without them.
///
/// # Errors
/// The data cannot be used, or do not match the configuration.
pub(crate) fn recover(files: Files, config: &Config, features: Features) -> Result<Recovered, RecoveryError> {
    let opened = open(&files, config).or_else(|why| {
        reseed::set_aside(files.disk.as_ref(), config, why)?;
        open(&files, config)
    })?;
    standalone::check(config, &opened)?;
    let Opened { groups, identity, log, snapshot_dir, data_dir, loading } = opened;
    let (mut machines, mut replicas) = (Vec::new(), Vec::new());
    for (id, OpenedGroup { machine, start }) in (0..).map(GroupId).zip(groups) {
        machines.push(machine);
        replicas.push(replica(config, &identity, id, features, start, files.disk.entropy()));
    }
    let parts = RecoveredParts { replicas, identity, log, files, snapshot_dir, data_dir, loading };
    Ok(Recovered { machines, parts })
}

/// Under `db.autocreate=false`, whether a server may start without data. A disk that is not mounted
/// shows an empty directory too.
fn check_wanted(disk: &dyn Disk, storage: &Storage) -> Result<(), RecoveryError> {
    let dir = &storage.data_dir;
    if Identity::load(disk, dir)?.is_some() || log_owner::has_snapshots(disk, dir)? {
        return Ok(());
    }
    match disk.open(&dir.join(INITIALIZE), Mode::Read) {
        Ok(_) => Ok(()),
        Err(_) => Err(RecoveryError::Empty { dir: dir.clone(), marker: dir.join(INITIALIZE) }),
    }
}

/// Like [`recover`], for callers that need no engine. Neither sets damaged data aside nor checks
/// the voters.
pub(super) fn open(files: &Files, config: &Config) -> Result<Opened, RecoveryError> {
    let disk = files.disk.as_ref();
    let storage = &config.storage;
    let log_dir = (storage.log_dir != storage.data_dir).then_some(storage.log_dir.as_path());
    if !storage.create_dirs {
        for dir in [&storage.data_dir, &storage.log_dir] {
            disk.list(dir).map_err(|source| RecoveryError::NoDirectory { dir: dir.clone(), source })?;
        }
    }
    let data_dir = DataDir::open(disk, &storage.data_dir, log_dir)?;
    log_owner::check(disk, storage)?;
    let new = newcomer(disk, config)?;
    if new.member.is_some() && !storage.create_data {
        check_wanted(disk, storage)?;
    }
    data_dir.create(disk)?;
    let snapshot_dir = data_dir.snapshot().to_owned();
    snapshot::remove_unfinished(disk, &snapshot_dir)?;
    let identity = Identity::open(disk, &storage.data_dir, &storage.log_dir, new)?;
    let identity = standalone::found(disk, config, identity)?;
    let begun = Instant::now();
    let ids = || (0..config.groups.into()).map(GroupId);
    let newest: Vec<Newest> = ids()
        .map(|id| newest_snapshot(disk, &snapshot_dir, id, &identity))
        .collect::<Result<_, RecoveryError>>()?;
    let snapshot_us = begun.elapsed().as_micros() as u64;
    if !storage.force_sync {
        tracing::warn!("forceSync=no: a power loss can take acknowledged writes");
    }
    let options = LogOptions {
        segment_bytes: storage.segment_bytes,
        fsync: storage.force_sync,
        background: files.background,
        ..LogOptions::default()
    };
    let mut tails = Tails::after(newest.iter().map(|newest| newest.meta.position.index));
    let mut log =
        Log::open(Arc::clone(&files.disk), data_dir.log(), options, &mut |record| tails.take(record))?;
    tails.check(data_dir.log())?;
    log_owner::begun(disk, &identity, &storage.data_dir)?;
    if !storage.create_data {
        // The file was meant for this start; if it stayed, the next start would take it for the
        // operator's order again.
        let _ = disk.remove(&storage.data_dir.join(INITIALIZE));
    }
    for ((id, tail), newest) in ids().zip(&mut tails.of_groups).zip(&newest) {
        let position = newest.meta.position;
        if tail.contradicts(position) {
            tail.entries.clear();
            log.reserve(std::iter::once(0))?;
            log.reset(id.0, position.index, position.term)?;
            log.flush()?;
        }
    }
    if let Some(repaired) = &log.recovered().repaired {
        tracing::warn!(
            "{}: the log ends at byte {}; {} records of an interrupted flush were cut off, none of them acknowledged",
            repaired.path.display(),
            repaired.offset,
            repaired.dropped
        );
    }
    let mut groups = Vec::new();
    for (tail, Newest { meta, machine, unread }) in tails.of_groups.into_iter().zip(newest) {
        // A gap left by a snapshot that the disk could not read just now is not damage.
        let start = tail.start(meta, data_dir.log()).map_err(|why| unread.unwrap_or(why))?;
        let has_data = start.hard_state != HardState::default() || !start.entries.is_empty();
        if identity.awaits_reseed() && (has_data || start.snapshot.position.index > 0) {
            return Err(RecoveryError::Leftover { dir: data_dir.log().to_owned() });
        }
        groups.push(OpenedGroup { machine, start });
    }
    let log_us = (begun.elapsed().as_micros() as u64).saturating_sub(snapshot_us);
    let entries = groups.iter().map(|group| group.start.entries.len() as u64).sum();
    let loading = Loading { snapshot_us, log_us, entries };
    Ok(Opened { groups, identity, log, snapshot_dir, data_dir, loading })
}

/// The replica of a group's member with that identity. Without a member id it has an engine that
/// does nothing, and that must get no messages.
pub(super) fn replica(
    config: &Config,
    identity: &Identity,
    id: GroupId,
    features: Features,
    start: Start,
    seed: u64,
) -> Replica {
    let applied = start.snapshot.position.index;
    let settings = engine_settings(config, identity, id, seed);
    let member = settings.member;
    let engine: Box<dyn Engine> = if identity.engine == EngineKind::Paxos.to_string() {
        Box::new(PaxosEngine::new(settings, start))
    } else {
        Box::new(RaftEngine::new(settings, start))
    };
    let settings = group::Settings {
        member,
        boot: identity.boot,
        features: super::features_of(features, id),
        entry_bytes_max: ENTRY_BYTES_MAX,
        linearizable_reads: config.ensemble.as_ref().is_some_and(|ensemble| ensemble.linearizable_reads),
        may_lose_lead: config.ensemble.is_some(),
    };
    Replica::new(engine, settings, applied)
}

/// The identity of a server with this configuration and no data. A server that is alone takes the
/// number and engine of the data it finds.
fn newcomer(disk: &dyn Disk, config: &Config) -> Result<Identity, IdentityError> {
    let Some(ensemble) = &config.ensemble else {
        let known = Identity::find(disk, &config.storage.data_dir)?;
        let known = known.map(|known| (known.server, known.engine));
        let (server, engine) = known.unwrap_or_else(|| (SERVER_ALONE, EngineKind::Raft.to_string()));
        return Ok(Identity::new(disk, server, &engine, true));
    };
    let alone = ensemble.voters().eq([config.server_id]);
    Ok(Identity::new(disk, config.server_id, &ensemble.engine.to_string(), alone))
}

/// Ticks without a leader's message after which a member starts an election.
pub(super) fn election_ticks(config: &Config) -> u32 {
    config.ensemble.as_ref().map_or(1, |ensemble| ticks(ensemble.election_timeout_ms))
}

fn ticks(ms: u32) -> u32 {
    (ms / TICK_MS as u32).max(1)
}

fn engine_settings(config: &Config, identity: &Identity, id: GroupId, seed: u64) -> Settings {
    let member = identity.member.unwrap_or(group::first_member_of(identity.server));
    let mut settings = Settings::new(id.0, member, identity.boot, seed);
    settings.is_command = is_entry;
    match &config.ensemble {
        None => settings.uncommitted_bytes_max = u64::MAX,
        Some(ensemble) => {
            settings.election_ticks = ticks(ensemble.election_timeout_ms);
            settings.heartbeat_ticks = ticks(ensemble.heartbeat_ms);
        }
    }
    settings
}

/// Whether an entry from another member can be applied here, and forwarded in a frame.
fn is_entry(data: &[u8]) -> bool {
    data.len() <= FORWARD_BYTES_MAX + BatchHeader::ENCODED_LEN && is_batch(data)
}

/// What recovery begins with.
struct Newest {
    meta: SnapshotMeta,
    machine: Machine,
    /// Why a newer snapshot could not be read, if the disk failed and not the contents of the file:
    /// a later start may be able to read it.
    unread: Option<RecoveryError>,
}

/// Loads the newest readable snapshot, or the state of a new cluster. A damaged one is skipped: the
/// log is kept as far back as the oldest snapshot, so nothing is lost.
fn newest_snapshot(
    disk: &dyn Disk,
    dir: &Path,
    id: GroupId,
    identity: &Identity,
) -> Result<Newest, RecoveryError> {
    let names = snapshot::list(disk, dir, id.0)?;
    let (mut unread, mut damaged) = (None, None);
    for name in &names {
        match load(disk, dir, *name) {
            Ok((meta, machine)) => return Ok(Newest { meta, machine, unread }),
            Err(e) => {
                tracing::error!("{e}; trying the next older snapshot");
                let is_of_the_disk = matches!(e, RecoveryError::Snapshot(SnapshotError::Io(_)));
                let first = if is_of_the_disk { &mut unread } else { &mut damaged };
                first.get_or_insert(e);
            }
        }
    }
    match unread.or(damaged) {
        Some(e) => Err(e),
        None => {
            let (meta, machine) = (founding_meta(&identity.of_member()), Machine::new(disk.entropy()));
            Ok(Newest { meta, machine, unread: None })
        }
    }
}

/// Loads the machine from the snapshot that ends at `position`.
pub(super) fn load_snapshot_at(
    disk: &dyn Disk,
    dir: &Path,
    id: GroupId,
    position: Position,
) -> Result<Machine, RecoveryError> {
    let names = snapshot::list(disk, dir, id.0)?;
    let name = names.into_iter().find(|name| (name.index, name.term) == (position.index, position.term));
    let name = name.ok_or(RecoveryError::NoSnapshot { dir: dir.to_owned(), index: position.index })?;
    load(disk, dir, name).map(|(_, machine)| machine)
}

/// Loads the engine's part of a snapshot, and the machine.
pub(super) fn load(
    disk: &dyn Disk,
    dir: &Path,
    name: SnapshotName,
) -> Result<(SnapshotMeta, Machine), RecoveryError> {
    let path = name.path(dir);
    let mut reader = SnapshotReader::open(disk, dir, name)?;
    let mut progress = Progress::new();
    let mut loader = Loader::new(disk.entropy());
    let mut meta = None;
    let mut head = Vec::new();
    loop {
        progress.say(&reader);
        let Some(block) = reader.next_block()? else { break };
        let fed = if meta.is_some() {
            loader.feed(block)
        } else {
            head.extend_from_slice(block);
            let (found, rest) = take_meta(&head).ok_or_else(|| RecoveryError::Meta { path: path.clone() })?;
            meta = Some(found);
            loader.feed(rest)
        };
        fed.map_err(|source| RecoveryError::Load { path: path.clone(), source })?;
    }
    let meta = meta.ok_or_else(|| RecoveryError::Meta { path: path.clone() })?;
    let machine = loader.finish().map_err(|source| RecoveryError::Load { path, source })?;
    Ok((meta, machine))
}

/// Writes what the engine needs to know of a snapshot, length first, ahead of the machine's bytes.
pub(super) fn put_meta(meta: &SnapshotMeta, out: &mut Vec<u8>) {
    let start = out.len() + META_LENGTH_BYTES;
    out.extend_from_slice(&[0; META_LENGTH_BYTES]);
    meta.encode(out);
    let length = u32::try_from(out.len() - start).expect("a membership is small");
    out[start - META_LENGTH_BYTES..start].copy_from_slice(&length.to_be_bytes());
}

/// The inverse of [`put_meta`]; `None` if the bytes are cut short or are no membership.
fn take_meta(bytes: &[u8]) -> Option<(SnapshotMeta, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<META_LENGTH_BYTES>()?;
    let (meta, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    Some((SnapshotMeta::decode(Bytes::copy_from_slice(meta)).ok()?, rest))
}

/// Logs the progress of a long load.
struct Progress {
    next: Instant,
}

impl Progress {
    fn new() -> Progress {
        Progress { next: Instant::now() + PROGRESS }
    }

    fn say(&mut self, reader: &SnapshotReader) {
        let now = Instant::now();
        if now >= self.next {
            self.next = now + PROGRESS;
            let (read, all) = reader.progress();
            tracing::info!("loading the snapshot: {} of {} MiB", read >> 20, all >> 20);
        }
    }
}

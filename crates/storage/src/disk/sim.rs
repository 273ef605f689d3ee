//! An in-memory disk that crashes, tears writes, loses data and fails on demand, deterministically
//! by seed.
//!
//! Model: at a crash, bytes written but not synced are kept, lost, or torn per sector of 512 bytes
//! and inside a sector, independently of each other and of their order. Names created, renamed or
//! removed but not synced are kept or lost one by one. A failed sync loses an arbitrary part of
//! what it should have written, while reads continue to return it. Directories are durable as soon
//! as they are created.

use super::medium::{Contents, NameChange, Random, put};
use super::{Disk, DiskFile, DiskLock, Mode};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What fails at the chosen operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The operation fails with EIO; later ones work.
    Io,
    /// The operation fails with ENOSPC; later ones work.
    Full,
    /// Power is lost: the operation may or may not have happened, and all later ones fail until
    /// [`SimDisk::crash`].
    Crash,
}

/// The simulated disk; clones are handles to the same disk.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<State>>);

#[derive(Clone)]
struct State {
    random: Random,
    files: BTreeMap<u64, Contents>,
    next_file: u64,
    /// Names as programs see them.
    names: BTreeMap<PathBuf, u64>,
    /// Names as a crash would leave them if it lost all `name_changes`.
    names_synced: BTreeMap<PathBuf, u64>,
    /// Unsynced changes, in order.
    name_changes: Vec<NameChange>,
    directories: BTreeSet<PathBuf>,
    locks: BTreeSet<PathBuf>,
    operations: u64,
    fault: Option<(u64, Fault)>,
    powered: bool,
    /// Number of crashes; a file opened before a crash is unusable after it.
    life: u64,
    capacity_bytes: u64,
    on_sync: Option<Arc<dyn Fn() + Send + Sync>>,
}

impl SimDisk {
    /// An empty disk without a size limit.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            random: Random(seed),
            files: BTreeMap::new(),
            next_file: 0,
            names: BTreeMap::new(),
            names_synced: BTreeMap::new(),
            name_changes: Vec::new(),
            directories: BTreeSet::new(),
            locks: BTreeSet::new(),
            operations: 0,
            fault: None,
            powered: true,
            life: 0,
            capacity_bytes: u64::MAX,
            on_sync: None,
        })))
    }

    /// An independent copy of the disk's current state, which continues with another seed.
    #[must_use]
    pub fn fork(&self, seed: u64) -> Self {
        let mut state = self.state().clone();
        state.random = Random(seed);
        Self(Arc::new(Mutex::new(state)))
    }

    /// Number of operations so far, including reads.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Makes operation number `operation` (the next one is [`SimDisk::operations`]) fail. Only one
    /// fault can be pending.
    pub fn fault_at(&self, operation: u64, fault: Fault) {
        self.state().fault = Some((operation, fault));
    }

    /// Removes a pending fault.
    pub fn clear_fault(&self) {
        self.state().fault = None;
    }

    /// Whether a [`Fault::Crash`] occurred and [`SimDisk::crash`] was not called since.
    #[must_use]
    pub fn is_off(&self) -> bool {
        !self.state().powered
    }

    /// Loses power, decides by the seed which unsynced data survive, and restarts. Files opened
    /// before are unusable.
    pub fn crash(&self) {
        let mut guard = self.state();
        let state = &mut *guard;
        for contents in state.files.values_mut() {
            contents.settle(&mut state.random);
            contents.seen.clone_from(&contents.synced);
            contents.differs = false;
        }
        for change in std::mem::take(&mut state.name_changes) {
            if state.random.chance(1, 2) {
                change.apply(&mut state.names_synced);
            }
        }
        state.names.clone_from(&state.names_synced);
        let kept: BTreeSet<u64> = state.names.values().copied().collect();
        state.files.retain(|id, _| kept.contains(id));
        state.locks.clear();
        state.fault = None;
        state.powered = true;
        state.life += 1;
    }

    /// Calls `call` at the beginning of every file sync, so that a simulation can advance time.
    pub fn on_sync(&self, call: impl Fn() + Send + Sync + 'static) {
        self.state().on_sync = Some(Arc::new(call));
    }

    /// Limits the sum of all file lengths.
    pub fn set_capacity_bytes(&self, capacity_bytes: u64) {
        self.state().capacity_bytes = capacity_bytes;
    }

    /// The bytes of a file as programs see them; `None` when there is no such file.
    #[must_use]
    pub fn contents(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.state();
        Some(state.files[state.names.get(path)?].seen.clone())
    }

    /// Creates a file durably, without counting an operation.
    pub fn put(&self, path: &Path, bytes: &[u8]) {
        let mut state = self.state();
        let id = state.next_file;
        state.next_file += 1;
        state
            .files
            .insert(id, Contents { seen: bytes.to_vec(), synced: bytes.to_vec(), ..Contents::default() });
        state.names.insert(path.to_owned(), id);
        state.names_synced.insert(path.to_owned(), id);
        if let Some(parent) = path.parent() {
            state.add_directory(parent);
        }
    }

    /// Inverts one bit of the medium; `false` if the file is too short.
    pub fn flip_bit(&self, path: &Path, offset: u64, bit: u8) -> bool {
        let mut state = self.state();
        let Some(&id) = state.names.get(path) else { return false };
        let contents = state.files.get_mut(&id).expect("a name leads to a file");
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        for bytes in [&mut contents.seen, &mut contents.synced] {
            match bytes.get_mut(offset) {
                Some(byte) => *byte ^= 1 << (bit % 8),
                None => return false,
            }
        }
        true
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A test that failed while holding the lock must not hide its message behind a second
        // panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Counts an operation. `Ok(true)`: execute it, then report failure, since power is lost in the
    /// middle.
    fn step(&mut self) -> io::Result<bool> {
        if !self.powered {
            return Err(power_lost());
        }
        let operation = self.operations;
        self.operations += 1;
        match self.fault {
            Some((at, fault)) if at == operation => {
                self.fault = None;
                match fault {
                    Fault::Io => Err(io::Error::from_raw_os_error(5)),
                    Fault::Full => Err(io::Error::from_raw_os_error(28)),
                    Fault::Crash => {
                        self.powered = false;
                        Ok(true)
                    }
                }
            }
            _ => Ok(false),
        }
    }

    fn change_name(&mut self, change: NameChange) {
        change.clone().apply(&mut self.names);
        self.name_changes.push(change);
    }

    fn add_directory(&mut self, dir: &Path) {
        self.directories.extend(dir.ancestors().map(Path::to_owned));
    }

    fn used_bytes(&self) -> u64 {
        // An unlinked file that is still open is not counted: accurate enough for a test of a full
        // disk.
        self.names.values().map(|id| self.files[id].seen.len() as u64).sum()
    }

    fn grow(&mut self, id: u64, end: usize) -> io::Result<()> {
        let len = self.files[&id].seen.len();
        if end > len && self.used_bytes().saturating_add((end - len) as u64) > self.capacity_bytes {
            return Err(io::Error::from_raw_os_error(28));
        }
        Ok(())
    }
}

fn power_lost() -> io::Error {
    io::Error::other("simulated power loss")
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        let power_fails = state.step()?;
        let id = match (state.names.get(path).copied(), mode) {
            (Some(id), Mode::Read | Mode::Write) => id,
            (None, Mode::Read | Mode::Write) => return Err(not_found()),
            (_, Mode::Create | Mode::CreatePrivate) => {
                if path.parent().is_none_or(|parent| !state.directories.contains(parent)) {
                    return Err(not_found());
                }
                // Truncation replaces the file with a new one, which also models "old or empty"
                // after a crash.
                let id = state.next_file;
                state.next_file += 1;
                state.files.insert(id, Contents::default());
                state.change_name(NameChange { removed: None, set: Some((path.to_owned(), id)) });
                id
            }
        };
        let life = state.life;
        if power_fails { Err(power_lost()) } else { Ok(Box::new(SimFile { disk: self.clone(), id, life })) }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut state = self.state();
        let power_fails = state.step()?;
        if !state.directories.contains(dir) {
            return Err(not_found());
        }
        let paths = state.names.keys().chain(&state.directories);
        let mut names: Vec<String> = paths
            .filter(|path| path.parent() == Some(dir))
            .filter_map(|path| path.file_name().and_then(|name| name.to_str()).map(str::to_owned))
            .collect();
        names.sort_unstable();
        if power_fails { Err(power_lost()) } else { Ok(names) }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        let power_fails = state.step()?;
        let id = *state.names.get(from).ok_or_else(not_found)?;
        state.change_name(NameChange { removed: Some(from.to_owned()), set: Some((to.to_owned(), id)) });
        if power_fails { Err(power_lost()) } else { Ok(()) }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        let power_fails = state.step()?;
        if !state.names.contains_key(path) {
            return Err(not_found());
        }
        state.change_name(NameChange { removed: Some(path.to_owned()), set: None });
        if power_fails { Err(power_lost()) } else { Ok(()) }
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut guard = self.state();
        let state = &mut *guard;
        if state.step()? {
            return Err(power_lost());
        }
        let changes = std::mem::take(&mut state.name_changes);
        for change in changes {
            if change.is_in(dir) {
                change.apply(&mut state.names_synced);
            } else {
                state.name_changes.push(change);
            }
        }
        Ok(())
    }

    fn is_same_dir(&self, one: &Path, other: &Path) -> io::Result<bool> {
        let state = self.state();
        let exist = [one, other].iter().all(|dir| state.directories.contains(*dir));
        if exist { Ok(one == other) } else { Err(not_found()) }
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        let power_fails = state.step()?;
        state.add_directory(dir);
        if power_fails { Err(power_lost()) } else { Ok(()) }
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        let missing = !self.state().names.contains_key(path);
        if missing {
            self.open(path, Mode::Create)?;
        }
        let mut state = self.state();
        if state.step()? {
            return Err(power_lost());
        }
        let life = state.life;
        let free = state.locks.insert(path.to_owned());
        Ok(free.then(|| {
            Box::new(SimLock { disk: self.clone(), path: path.to_owned(), life }) as Box<dyn DiskLock>
        }))
    }

    fn entropy(&self) -> u64 {
        self.state().random.next()
    }
}

struct SimFile {
    disk: SimDisk,
    id: u64,
    life: u64,
}

impl SimFile {
    fn step(&self) -> io::Result<(MutexGuard<'_, State>, bool)> {
        let mut state = self.disk.state();
        if state.life != self.life {
            return Err(power_lost());
        }
        let power_fails = state.step()?;
        Ok((state, power_fails))
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let (state, power_fails) = self.step()?;
        if power_fails {
            return Err(power_lost());
        }
        let bytes = &state.files[&self.id].seen;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let len = buf.len().min(bytes.len() - start);
        buf[..len].copy_from_slice(&bytes[start..start + len]);
        Ok(len)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let (mut state, power_fails) = self.step()?;
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        state.grow(self.id, offset + bytes.len())?;
        let contents = state.files.get_mut(&self.id).expect("an open file exists");
        put(&mut contents.seen, offset, bytes);
        contents.writes.push((offset, bytes.to_vec()));
        if power_fails { Err(power_lost()) } else { Ok(()) }
    }

    fn sync_data(&self) -> io::Result<()> {
        let on_sync = self.disk.state().on_sync.clone();
        if let Some(call) = on_sync {
            call();
        }
        let mut guard = self.disk.state();
        let state = &mut *guard;
        if state.life != self.life {
            return Err(power_lost());
        }
        let result = state.step();
        let contents = state.files.get_mut(&self.id).expect("an open file exists");
        match result {
            Ok(false) => {
                contents.sync();
                Ok(())
            }
            Ok(true) => Err(power_lost()),
            Err(error) => {
                if state.powered {
                    contents.settle(&mut state.random);
                }
                Err(error)
            }
        }
    }

    fn len(&self) -> io::Result<u64> {
        let (state, power_fails) = self.step()?;
        if power_fails { Err(power_lost()) } else { Ok(state.files[&self.id].seen.len() as u64) }
    }

    fn allocate(&self, len: u64) -> io::Result<bool> {
        let (mut state, power_fails) = self.step()?;
        let len = usize::try_from(len).map_err(io::Error::other)?;
        state.grow(self.id, len)?;
        let contents = state.files.get_mut(&self.id).expect("an open file exists");
        put(&mut contents.seen, len, &[]);
        contents.writes.push((len, Vec::new()));
        if power_fails { Err(power_lost()) } else { Ok(true) }
    }
}

struct SimLock {
    disk: SimDisk,
    path: PathBuf,
    life: u64,
}

impl DiskLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.life == self.life {
            state.locks.remove(&self.path);
        }
    }
}

//! Which connections must be notified when a znode changes.
//!
//! Watches belong to one member and its connections; they are not replicated and not part of
//! snapshots. The table receives the changes of each applied command and produces events in
//! ZooKeeper's order. It sends nothing itself.
//!
//! ZooKeeper has two tables, which explains some of its rules: *data* watches (of exists, getData
//! and the persistent kinds) and *child* watches (of getChildren, and persistent ones). Here a path
//! has one entry with the watchers of both, and the modes tell in which tables a watcher is:
//!
//! | mode | data table | child table | fires |
//! |---|---|---|---|
//! | data | x | | once |
//! | children | | x | once |
//! | persistent | x | x | always |
//! | persistent recursive | x | | always, for descendants too, but never for a list of children |

mod catch_up;
mod event;
mod holders;
mod report;

use std::collections::BTreeMap;
use std::hash::Hasher as _;

use foldhash::SharedSeed;
use foldhash::fast::FoldHasher;
use hashbrown::{HashSet, HashTable};
use wire::event::{AddWatchMode, EventType, WatcherType};

use crate::auth::Identities;
use crate::change::{Change, ChangeKind};
use crate::path_lengths::PathLengths;
use crate::read::WatchedPart;
use holders::{Holders, Modes};

pub use catch_up::CatchUpError;
pub use event::EventOut;
pub use report::WatchSummary;

use event::{Announcement, Firing, Guard};

/// Identifies a watcher, which is a connection; the server chooses it and never reuses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatcherId(pub u64);

/// What a watch covers and how long it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchMode {
    /// Data and existence, once.
    Data,
    /// The list of children, once.
    Children,
    /// Data, existence and children of one node, until removed.
    Persistent,
    /// Data and existence of a node and its descendants, until removed.
    PersistentRecursive,
}

impl From<WatchedPart> for WatchMode {
    fn from(part: WatchedPart) -> Self {
        match part {
            WatchedPart::Data => Self::Data,
            WatchedPart::Children => Self::Children,
        }
    }
}

impl From<AddWatchMode> for WatchMode {
    fn from(mode: AddWatchMode) -> Self {
        match mode {
            AddWatchMode::Persistent => Self::Persistent,
            AddWatchMode::PersistentRecursive => Self::PersistentRecursive,
        }
    }
}

/// Limits on the number of watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchLimits {
    /// Maximum number of paths per watcher.
    pub paths_per_watcher_max: usize,
    /// Maximum number of pairs of watcher and path.
    pub paths_max: usize,
}

impl WatchLimits {
    /// As in ZooKeeper: limited only by memory.
    pub const NONE: Self = Self { paths_per_watcher_max: usize::MAX, paths_max: usize::MAX };
}

/// A watch was not added because a limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WatchLimitReached {
    /// The limit of this watcher.
    #[error("the connection watches {0} paths, which is its limit")]
    OfWatcher(usize),
    /// The limit of all watchers together.
    #[error("{0} watches are set, which is the limit of the server")]
    OfServer(usize),
}

/// Receives events.
pub type Deliver<'d> = dyn FnMut(WatcherId, &EventOut) + 'd;

/// The watches of one member.
pub struct WatchTable {
    limits: WatchLimits,
    seed: u64,
    shared_seed: SharedSeed,
    /// Positions in `entries` by the hash of their path.
    index: HashTable<u32>,
    /// Lengths of all paths in `entries`: for most changes the length of the path alone shows that
    /// it is not watched.
    lengths: PathLengths,
    /// A path is stored once, however many watchers it has. Invariant: a position is empty exactly
    /// when it is in `free`, and an entry has at least one watcher.
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
    /// Sorted, since the watchers of a path are notified in the order of their ids: with 10,000 of
    /// them a hash map took twice as long. Invariant: a watcher has a position in its `places`
    /// exactly when the entry there has the watcher.
    watchers: BTreeMap<WatcherId, Watcher>,
    counts: Counts,
}

struct Entry {
    path: Box<str>,
    holders: Holders,
}

#[derive(Default)]
struct Watcher {
    /// Encoded, as ACL checks need them.
    identities: Vec<u8>,
    places: HashSet<u32, foldhash::fast::FixedState>,
    /// Invariant: the number of those paths it watches in the data table.
    data_places: usize,
}

/// Numbers of watches by kind. Invariant: sums over all entries and watchers; `check` recounts
/// them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Counts {
    /// Pairs of watcher and path.
    pairs: usize,
    data: usize,
    children: usize,
    /// The paths watched recursively, once per watcher.
    recursive: PathLengths,
    /// Number of paths with a watcher in the data table.
    data_paths: usize,
    /// Number of watchers with a path in the data table.
    data_watchers: usize,
}

impl Counts {
    /// Records whether a path was in the data table and whether it is now.
    fn change_path(&mut self, was_in_data_table: bool, is_in_data_table: bool) {
        self.data_paths += usize::from(is_in_data_table);
        self.data_paths -= usize::from(was_in_data_table);
    }

    /// Records a change of a watcher's modes on one path.
    fn change(&mut self, watcher: &mut Watcher, from: Modes, to: Modes) {
        let was_counted = watcher.data_places > 0;
        watcher.data_places += usize::from(to.has_any(Modes::IN_DATA_TABLE));
        watcher.data_places -= usize::from(from.has_any(Modes::IN_DATA_TABLE));
        self.data_watchers += usize::from(watcher.data_places > 0);
        self.data_watchers -= usize::from(was_counted);
        let shift = |count: &mut usize, modes: Modes| {
            *count += usize::from(to.has_any(modes));
            *count -= usize::from(from.has_any(modes));
        };
        shift(&mut self.pairs, Modes::ALL);
        shift(&mut self.data, Modes::IN_DATA_TABLE);
        shift(&mut self.children, Modes::IN_CHILD_TABLE);
    }
}

impl WatchTable {
    /// An empty table. `hash_seed` is secret, so that paths cannot be chosen to collide.
    pub fn new(limits: WatchLimits, hash_seed: u64) -> Self {
        Self {
            limits,
            seed: hash_seed,
            shared_seed: SharedSeed::from_u64(hash_seed),
            index: HashTable::new(),
            lengths: PathLengths::default(),
            entries: Vec::new(),
            free: Vec::new(),
            watchers: BTreeMap::new(),
            counts: Counts::default(),
        }
    }

    /// Sets the identities of a watcher; to be called whenever it gains one. Until then it has
    /// none, and is notified only of nodes that every client may read.
    pub fn register(&mut self, watcher: WatcherId, identities: &Identities) {
        let known = self.watchers.entry(watcher).or_default();
        known.identities.clear();
        known.identities.extend_from_slice(identities.encoded());
    }

    /// Whether the watcher was registered and not dropped since.
    pub fn is_registered(&self, watcher: WatcherId) -> bool {
        self.watchers.contains_key(&watcher)
    }

    /// Whether there are no watches, so that changes need not be reported.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.counts.pairs == 0
    }

    /// Adds a watch. Adding it twice has no effect, so that it fires once.
    pub fn add(&mut self, path: &str, mode: WatchMode, watcher: WatcherId) -> Result<(), WatchLimitReached> {
        let hash = self.hash(path);
        let place = self.place(hash, path);
        let before = place.map_or(Modes::NONE, |place| self.entry(place).holders.get(watcher));
        if before == Modes::NONE {
            self.check_limits(watcher)?;
        }
        let place = place.unwrap_or_else(|| self.intern(hash, path));
        let after = before.with(Modes::of(mode));
        let known = self.watchers.entry(watcher).or_default();
        known.places.insert(place);
        entry_at(&mut self.entries, place).set(watcher, known, after, &mut self.counts);
        Ok(())
    }

    /// Whether the watcher has a watch of this type on the path.
    pub fn contains(&self, path: &str, watcher_type: WatcherType, watcher: WatcherId) -> bool {
        let Some(place) = self.place(self.hash(path), path) else { return false };
        self.entry(place).holders.get(watcher).has_any(Modes::meant_by(watcher_type))
    }

    /// Removes the watches of this type from the path; false if there are none.
    pub fn remove(&mut self, path: &str, watcher_type: WatcherType, watcher: WatcherId) -> bool {
        let Some(place) = self.place(self.hash(path), path) else { return false };
        let before = self.entry(place).holders.get(watcher);
        let after = before.without(Modes::meant_by(watcher_type));
        if after == before {
            return false;
        }
        let known = self.watchers.get_mut(&watcher).expect("a watcher with a watch is registered");
        entry_at(&mut self.entries, place).set(watcher, known, after, &mut self.counts);
        if after == Modes::NONE {
            known.places.remove(&place);
            self.drop_empty(place);
        }
        true
    }

    /// Removes a watcher with all its watches, when its connection is closed.
    pub fn drop_watcher(&mut self, watcher: WatcherId) {
        let Some(mut gone) = self.watchers.remove(&watcher) else { return };
        for place in std::mem::take(&mut gone.places) {
            entry_at(&mut self.entries, place).set(watcher, &mut gone, Modes::NONE, &mut self.counts);
            self.drop_empty(place);
        }
    }

    /// Fires the watches affected by a change, in ZooKeeper's order.
    pub fn change(&mut self, change: &Change<'_>, deliver: &mut Deliver<'_>) {
        if self.is_empty() {
            return;
        }
        let event_type = match change.kind {
            ChangeKind::Created => EventType::NodeCreated,
            ChangeKind::DataChanged => EventType::NodeDataChanged,
            ChangeKind::Deleted => EventType::NodeDeleted,
        };
        let Change { path, zxid, acl, parent_acl, grants, .. } = *change;
        let announcement = Announcement::new(event_type, path, zxid, Guard { acl, grants });
        let mut firing = Firing::new(announcement, deliver);
        self.fire(Table::Data, &mut firing);
        if change.kind == ChangeKind::Deleted {
            // A watcher notified of the deletion by its data watch is not notified again, but its
            // child watch is consumed.
            self.fire(Table::Children, &mut firing);
        }
        if change.kind != ChangeKind::DataChanged {
            let (parent, guard) = (wire::path::parent(path), Guard { acl: parent_acl, grants });
            let announcement = Announcement::new(EventType::NodeChildrenChanged, parent, zxid, guard);
            self.fire(Table::Children, &mut Firing::new(announcement, deliver));
        }
    }

    /// Fires the watches of one table on the path of the event.
    fn fire(&mut self, table: Table, firing: &mut Firing<'_, '_, '_>) {
        let path = firing.announcement.path();
        if self.lengths.has(path)
            && let Some(place) = self.place(self.hash(path), path)
        {
            self.fire_at(place, table, firing);
        }
        if table == Table::Data {
            for above in self.counts.recursive.candidates(path).filter(|above| above.len() < path.len()) {
                if let Some(place) = self.place(self.hash(above), above) {
                    self.fire_below(place, firing);
                }
            }
        }
    }

    fn fire_at(&mut self, place: u32, table: Table, firing: &mut Firing<'_, '_, '_>) {
        // Taken out of the table while its watchers are looked up there.
        let mut holders = std::mem::take(&mut self.entry_mut(place).holders);
        let was_in_data_table = holders.is_in_data_table();
        firing.next_group();
        holders.update(|watcher, before| {
            if !before.has_any(table.modes()) {
                return before;
            }
            let known = self.watchers.get_mut(&watcher).expect("a watcher with a watch is registered");
            firing.notify(watcher, &known.identities);
            let after = before.without(table.one_shot());
            self.counts.change(known, before, after);
            if after == Modes::NONE {
                known.places.remove(&place);
            }
            after
        });
        self.counts.change_path(was_in_data_table, holders.is_in_data_table());
        self.entry_mut(place).holders = holders;
        self.drop_empty(place);
    }

    /// Fires the recursive watches of an ancestor of the changed node.
    fn fire_below(&self, place: u32, firing: &mut Firing<'_, '_, '_>) {
        firing.next_group();
        for (watcher, modes) in self.entry(place).holders.iter() {
            if modes.has_any(Modes::RECURSIVE) {
                firing.notify(watcher, &self.watchers[&watcher].identities);
            }
        }
    }

    fn check_limits(&self, watcher: WatcherId) -> Result<(), WatchLimitReached> {
        let WatchLimits { paths_per_watcher_max, paths_max } = self.limits;
        let own = self.watchers.get(&watcher).map_or(0, |known| known.places.len());
        if own >= paths_per_watcher_max {
            return Err(WatchLimitReached::OfWatcher(own));
        }
        if self.counts.pairs >= paths_max {
            return Err(WatchLimitReached::OfServer(self.counts.pairs));
        }
        Ok(())
    }

    fn hash(&self, path: &str) -> u64 {
        hash(self.seed, &self.shared_seed, path)
    }

    fn place(&self, hash: u64, path: &str) -> Option<u32> {
        self.index.find(hash, |&place| &*self.entry(place).path == path).copied()
    }

    fn entry(&self, place: u32) -> &Entry {
        self.entries[place as usize].as_ref().expect("a place in use has an entry")
    }

    fn entry_mut(&mut self, place: u32) -> &mut Entry {
        entry_at(&mut self.entries, place)
    }

    fn intern(&mut self, hash_of_path: u64, path: &str) -> u32 {
        let entry = Some(Entry { path: path.into(), holders: Holders::default() });
        self.lengths.add(path);
        let place = match self.free.pop() {
            Some(place) => {
                self.entries[place as usize] = entry;
                place
            }
            None => {
                self.entries.push(entry);
                u32::try_from(self.entries.len() - 1).expect("fewer than 2^32 paths fit into memory")
            }
        };
        let (entries, seed, shared_seed) = (&self.entries, self.seed, &self.shared_seed);
        self.index.insert_unique(hash_of_path, place, |&other| {
            let other = entries[other as usize].as_ref().expect("a place in use has an entry");
            hash(seed, shared_seed, &other.path)
        });
        place
    }

    fn drop_empty(&mut self, place: u32) {
        if !self.entry(place).holders.is_empty() {
            return;
        }
        let hash = self.hash(&self.entry(place).path);
        match self.index.find_entry(hash, |&other| other == place) {
            Ok(entry) => drop(entry.remove()),
            Err(_) => unreachable!("a place in use is in the index"),
        }
        let gone = self.entries[place as usize].take().expect("it was found above");
        self.lengths.remove(&gone.path);
        self.free.push(place);
    }
}

fn entry_at(entries: &mut [Option<Entry>], place: u32) -> &mut Entry {
    entries[place as usize].as_mut().expect("a place in use has an entry")
}

impl Entry {
    /// Sets a watcher's modes on the path, and updates the counts.
    fn set(&mut self, watcher: WatcherId, known: &mut Watcher, after: Modes, counts: &mut Counts) {
        let before = self.holders.get(watcher);
        let was_in_data_table = self.holders.is_in_data_table();
        self.holders.set(watcher, after);
        counts.change_path(was_in_data_table, self.holders.is_in_data_table());
        counts.change(known, before, after);
        match (before.has_any(Modes::RECURSIVE), after.has_any(Modes::RECURSIVE)) {
            (false, true) => counts.recursive.add(&self.path),
            (true, false) => counts.recursive.remove(&self.path),
            _ => {}
        }
    }
}

/// ZooKeeper's two tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Table {
    Data,
    Children,
}

impl Table {
    fn modes(self) -> Modes {
        match self {
            Self::Data => Modes::IN_DATA_TABLE,
            Self::Children => Modes::IN_CHILD_TABLE,
        }
    }

    fn one_shot(self) -> Modes {
        match self {
            Self::Data => Modes::DATA,
            Self::Children => Modes::CHILDREN,
        }
    }
}

fn hash(seed: u64, shared_seed: &SharedSeed, path: &str) -> u64 {
    let mut hasher = FoldHasher::with_seed(seed, shared_seed);
    hasher.write(path.as_bytes());
    hasher.finish()
}

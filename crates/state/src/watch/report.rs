//! What operators are told of watches, and the recount of the table.

use super::holders::Modes;
use super::{Counts, WatchTable, WatcherId};

/// The figures of the `wchs` command. ZooKeeper counts its data table only, so this does as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchSummary {
    /// Connections with a watch.
    pub watchers: usize,
    /// Paths with a watch.
    pub paths: usize,
    /// Connections and paths paired.
    pub watches: usize,
}

impl WatchTable {
    /// All watches of both of ZooKeeper's tables, as in `zk_watch_count`.
    pub fn watch_count(&self) -> usize {
        self.counts.data + self.counts.children
    }

    /// Paths that a watcher watches in any way.
    pub fn paths_of(&self, watcher: WatcherId) -> usize {
        self.watchers.get(&watcher).map_or(0, |known| known.places.len())
    }

    /// The figures of `wchs`. Takes time in proportion to the table.
    pub fn summary(&self) -> WatchSummary {
        WatchSummary {
            watchers: self.by_watcher().count(),
            paths: self.by_path().count(),
            watches: self.counts.data,
        }
    }

    /// Paths in the data table with their watchers, for `wchp`. In no particular order.
    pub fn by_path(&self) -> impl Iterator<Item = (&str, Vec<WatcherId>)> {
        self.entries.iter().flatten().filter_map(|entry| {
            let in_table = entry.holders.iter().filter(|(_, modes)| modes.has_any(Modes::IN_DATA_TABLE));
            let watchers: Vec<_> = in_table.map(|(watcher, _)| watcher).collect();
            (!watchers.is_empty()).then_some((&*entry.path, watchers))
        })
    }

    /// Watchers with their paths in the data table, sorted, for `wchc`.
    pub fn by_watcher(&self) -> impl Iterator<Item = (WatcherId, Vec<&str>)> {
        self.watchers.iter().filter_map(|(&watcher, known)| {
            let entries = known.places.iter().map(|&place| self.entry(place));
            let in_table = entries.filter(|entry| entry.holders.get(watcher).has_any(Modes::IN_DATA_TABLE));
            let mut paths: Vec<_> = in_table.map(|entry| &*entry.path).collect();
            paths.sort_unstable();
            (!paths.is_empty()).then_some((watcher, paths))
        })
    }

    /// Recounts everything that is kept twice. Takes time in proportion to the table.
    ///
    /// # Panics
    /// When something does not agree, which is a bug in this module.
    pub fn check(&self) {
        let mut counts = Counts::default();
        for (place, entry) in self.entries.iter().enumerate() {
            let place = place as u32;
            assert_eq!(entry.is_none(), self.free.contains(&place), "an empty place is free");
            let Some(entry) = entry else { continue };
            assert_eq!(self.place(self.hash(&entry.path), &entry.path), Some(place), "an entry is indexed");
            assert!(!entry.holders.is_empty(), "an entry has a watcher");
            for (watcher, modes) in entry.holders.iter() {
                assert!(self.watchers[&watcher].places.contains(&place), "a watcher knows its paths");
                counts.change(Modes::NONE, modes);
            }
        }
        assert_eq!(counts, self.counts, "the counts are those of the entries");
        let places: usize = self.watchers.values().map(|known| known.places.len()).sum();
        assert_eq!(places, counts.pairs, "a watcher knows only its paths");
        assert_eq!(self.index.len() + self.free.len(), self.entries.len(), "the index has every entry once");
    }
}

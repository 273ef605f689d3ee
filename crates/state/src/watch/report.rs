//! Reports on watches for operators, and verification of the table.

use std::collections::BTreeMap;

use super::holders::Modes;
use super::{Counts, WatchTable, Watcher, WatcherId};
use crate::path_lengths::PathLengths;

/// The numbers of the `wchs` command. ZooKeeper counts only its data table, so this does as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchSummary {
    /// Number of connections with a watch.
    pub watchers: usize,
    /// Number of paths with a watch.
    pub paths: usize,
    /// Number of pairs of connection and path.
    pub watches: usize,
}

impl WatchTable {
    /// Number of watches in both of ZooKeeper's tables, as in `zk_watch_count`.
    pub fn watch_count(&self) -> usize {
        self.counts.data + self.counts.children
    }

    /// Number of paths that a watcher watches in any mode.
    pub fn paths_of(&self, watcher: WatcherId) -> usize {
        self.watchers.get(&watcher).map_or(0, |known| known.places.len())
    }

    /// The numbers of `wchs`. They are maintained, so this takes constant time.
    pub fn summary(&self) -> WatchSummary {
        WatchSummary {
            watchers: self.counts.data_watchers,
            paths: self.counts.data_paths,
            watches: self.counts.data,
        }
    }

    /// Passes the pairs of path and watcher in the data table to `tell`, in no particular order:
    /// those of at most `paths_max` paths from `cursor` on, which is 0 at first. Returns where to
    /// continue, or `None` at the end. The table may change between two calls; a pair that exists
    /// throughout is reported once.
    pub fn pairs_from(
        &self,
        cursor: usize,
        paths_max: usize,
        tell: &mut dyn FnMut(&str, WatcherId),
    ) -> Option<usize> {
        let end = cursor.saturating_add(paths_max).min(self.entries.len());
        for entry in self.entries[cursor.min(end)..end].iter().flatten() {
            let in_table = entry.holders.iter().filter(|(_, modes)| modes.has_any(Modes::IN_DATA_TABLE));
            in_table.for_each(|(watcher, _)| tell(&entry.path, watcher));
        }
        (end < self.entries.len()).then_some(end)
    }

    /// Recounts everything that is stored redundantly. Takes time proportional to the table.
    ///
    /// # Panics
    /// On an inconsistency, which is a bug in this module.
    pub fn check(&self) {
        let (mut counts, mut lengths) = (Counts::default(), PathLengths::default());
        let mut watchers: BTreeMap<WatcherId, Watcher> = BTreeMap::new();
        for (place, entry) in self.entries.iter().enumerate() {
            let place = place as u32;
            assert_eq!(entry.is_none(), self.free.contains(&place), "an empty place is free");
            let Some(entry) = entry else { continue };
            assert_eq!(self.place(self.hash(&entry.path), &entry.path), Some(place), "an entry is indexed");
            assert!(!entry.holders.is_empty(), "an entry has a watcher");
            for (watcher, modes) in entry.holders.iter() {
                assert!(self.watchers[&watcher].places.contains(&place), "a watcher knows its paths");
                counts.change(watchers.entry(watcher).or_default(), Modes::NONE, modes);
                if modes.has_any(Modes::RECURSIVE) {
                    counts.recursive.add(&entry.path);
                }
            }
            lengths.add(&entry.path);
            let mut in_data_table = entry.holders.iter().filter(|(_, m)| m.has_any(Modes::IN_DATA_TABLE));
            assert_eq!(entry.holders.is_in_data_table(), in_data_table.next().is_some());
            counts.change_path(false, entry.holders.is_in_data_table());
        }
        for (watcher, known) in &self.watchers {
            let counted = watchers.get(watcher).map_or(0, |recounted| recounted.data_places);
            assert_eq!(known.data_places, counted, "a watcher's paths in the data table are counted");
        }
        assert_eq!(counts, self.counts, "the counts are those of the entries");
        assert_eq!(lengths, self.lengths, "the lengths are those of the paths");
        let places: usize = self.watchers.values().map(|known| known.places.len()).sum();
        assert_eq!(places, counts.pairs, "a watcher knows only its paths");
        assert_eq!(self.index.len() + self.free.len(), self.entries.len(), "the index has every entry once");
    }
}

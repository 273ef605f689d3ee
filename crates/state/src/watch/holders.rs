//! The watchers of a path, and their modes.

use std::collections::BTreeMap;

use wire::event::WatcherType;

use super::{WatchMode, WatcherId};

/// The modes in which a watcher watches a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Modes(u8);

impl Modes {
    pub(super) const NONE: Self = Self(0);
    pub(super) const DATA: Self = Self(1);
    pub(super) const CHILDREN: Self = Self(1 << 1);
    /// One watch in both tables, added and removed as a whole.
    const PERSISTENT: Self = Self(1 << 2);
    pub(super) const RECURSIVE: Self = Self(1 << 3);
    pub(super) const IN_DATA_TABLE: Self = Self::DATA.with(Self::PERSISTENT).with(Self::RECURSIVE);
    pub(super) const IN_CHILD_TABLE: Self = Self::CHILDREN.with(Self::PERSISTENT);
    pub(super) const ALL: Self = Self::IN_DATA_TABLE.with(Self::IN_CHILD_TABLE);

    pub(super) fn of(mode: WatchMode) -> Self {
        match mode {
            WatchMode::Data => Self::DATA,
            WatchMode::Children => Self::CHILDREN,
            WatchMode::Persistent => Self::PERSISTENT,
            WatchMode::PersistentRecursive => Self::RECURSIVE,
        }
    }

    /// The modes that a checkWatches or removeWatches of this type covers.
    pub(super) fn meant_by(watcher_type: WatcherType) -> Self {
        match watcher_type {
            WatcherType::Children => Self::CHILDREN,
            WatcherType::Data => Self::DATA,
            WatcherType::Persistent => Self::PERSISTENT,
            WatcherType::PersistentRecursive => Self::RECURSIVE,
            WatcherType::Any => Self::ALL,
        }
    }

    pub(super) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(super) const fn has_any(self, of: Self) -> bool {
        self.0 & of.0 != 0
    }
}

/// With more watchers than this, a tree is faster than shifting the tail of a list.
const FEW_MAX: usize = 32;

/// The watchers of a path, by id. Most paths have one or a few, some have all.
#[derive(Debug)]
pub(super) enum Holders {
    /// Sorted by watcher.
    Few(Vec<(WatcherId, Modes)>),
    /// Not converted back when watchers leave: a path once watched by many will be again.
    Many(Box<Many>),
}

/// The watchers of a path with many of them.
#[derive(Debug)]
pub(super) struct Many {
    by_watcher: BTreeMap<WatcherId, Modes>,
    /// Invariant: the number of watchers in the data table. For few watchers it is counted on
    /// demand.
    in_data_table: usize,
}

impl Many {
    fn set(&mut self, watcher: WatcherId, modes: Modes) {
        let before = match modes {
            Modes::NONE => self.by_watcher.remove(&watcher),
            modes => self.by_watcher.insert(watcher, modes),
        };
        self.in_data_table += usize::from(modes.has_any(Modes::IN_DATA_TABLE));
        self.in_data_table -= usize::from(before.unwrap_or_default().has_any(Modes::IN_DATA_TABLE));
    }
}

impl Default for Holders {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Holders {
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Few(few) => few.is_empty(),
            Self::Many(many) => many.by_watcher.is_empty(),
        }
    }

    /// Whether the path has a watcher in the data table.
    pub(super) fn is_in_data_table(&self) -> bool {
        match self {
            Self::Few(few) => few.iter().any(|(_, modes)| modes.has_any(Modes::IN_DATA_TABLE)),
            Self::Many(many) => many.in_data_table > 0,
        }
    }

    pub(super) fn get(&self, watcher: WatcherId) -> Modes {
        match self {
            Self::Few(few) => match few.binary_search_by_key(&watcher, |&(known, _)| known) {
                Ok(at) => few[at].1,
                Err(_) => Modes::NONE,
            },
            Self::Many(many) => many.by_watcher.get(&watcher).copied().unwrap_or_default(),
        }
    }

    /// Sets the modes of a watcher; with none it is removed.
    pub(super) fn set(&mut self, watcher: WatcherId, modes: Modes) {
        match self {
            Self::Few(few) => match few.binary_search_by_key(&watcher, |&(known, _)| known) {
                Ok(at) if modes == Modes::NONE => drop(few.remove(at)),
                Ok(at) => few[at].1 = modes,
                Err(_) if modes == Modes::NONE => {}
                Err(_) if few.len() == FEW_MAX => {
                    let mut many = Box::new(Many { by_watcher: BTreeMap::new(), in_data_table: 0 });
                    few.drain(..).for_each(|(watcher, modes)| many.set(watcher, modes));
                    many.set(watcher, modes);
                    *self = Self::Many(many);
                }
                Err(at) => few.insert(at, (watcher, modes)),
            },
            Self::Many(many) => many.set(watcher, modes),
        }
    }

    /// Replaces the modes of every watcher, in the order of their ids; a watcher left without any
    /// is removed.
    pub(super) fn update(&mut self, mut update: impl FnMut(WatcherId, Modes) -> Modes) {
        let mut keep = |watcher: WatcherId, modes: &mut Modes| {
            *modes = update(watcher, *modes);
            *modes != Modes::NONE
        };
        match self {
            Self::Few(few) => few.retain_mut(|(watcher, modes)| keep(*watcher, modes)),
            Self::Many(many) => {
                let mut in_data_table = 0;
                many.by_watcher.retain(|&watcher, modes| {
                    let is_kept = keep(watcher, modes);
                    in_data_table += usize::from(modes.has_any(Modes::IN_DATA_TABLE));
                    is_kept
                });
                many.in_data_table = in_data_table;
            }
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (WatcherId, Modes)> {
        let (few, many) = match self {
            Self::Few(few) => (Some(few.iter().copied()), None),
            Self::Many(many) => {
                (None, Some(many.by_watcher.iter().map(|(&watcher, &modes)| (watcher, modes))))
            }
        };
        few.into_iter().flatten().chain(many.into_iter().flatten())
    }
}

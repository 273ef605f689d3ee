//! A simple independent model of the log: a list of the appended records, and how many of them were
//! flushed.

// Each test file uses only part of this.
#![allow(dead_code, unreachable_pub)]

pub mod snapshot;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use storage::disk::{Disk, SimDisk};
use storage::log::{AppendError, Log, LogOptions, OpenError, Record};

pub const DIR: &str = "/data/log";

/// Random numbers from a seed; the same on every run.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owned {
    Entry { group: u64, index: u64, term: u64, kind: u8, data: Vec<u8> },
    HardState { group: u64, term: u64, vote: u64, commit: u64 },
    Reset { group: u64, index: u64, term: u64 },
}

impl Owned {
    pub fn of(record: Record<'_>) -> Self {
        match record {
            Record::Entry { group, index, term, kind, data } => {
                Self::Entry { group, index, term, kind, data: data.to_vec() }
            }
            Record::HardState { group, term, vote, commit } => Self::HardState { group, term, vote, commit },
            Record::Reset { group, index, term } => Self::Reset { group, index, term },
        }
    }

    pub fn borrow(&self) -> Record<'_> {
        match self {
            Self::Entry { group, index, term, kind, data } => {
                Record::Entry { group: *group, index: *index, term: *term, kind: *kind, data }
            }
            Self::HardState { group, term, vote, commit } => {
                Record::HardState { group: *group, term: *term, vote: *vote, commit: *commit }
            }
            Self::Reset { group, index, term } => Record::Reset { group: *group, index: *index, term: *term },
        }
    }

    fn is_hard_state(&self) -> bool {
        matches!(self, Self::HardState { .. })
    }
}

/// The live entries: those that no later reset of their group voids.
pub fn live<'a>(records: impl IntoIterator<Item = &'a Owned>) -> Vec<&'a Owned> {
    let mut live: Vec<&Owned> = Vec::new();
    for record in records {
        match record {
            Owned::Entry { .. } => live.push(record),
            Owned::HardState { .. } => {}
            Owned::Reset { group: reset, .. } => {
                live.retain(|entry| !matches!(entry, Owned::Entry { group, .. } if group == reset));
            }
        }
    }
    live
}

pub fn options() -> LogOptions {
    LogOptions { segment_bytes: 4096, fsync: true, recycle_max: 2, background: false }
}

pub fn new_disk(seed: u64) -> SimDisk {
    let disk = SimDisk::new(seed);
    disk.create_dir(Path::new(DIR)).unwrap();
    disk
}

pub fn open(disk: &SimDisk, options: LogOptions) -> Result<(Log, Vec<Owned>), OpenError> {
    let mut seen = Vec::new();
    let log = Log::open(Arc::new(disk.clone()), Path::new(DIR), options, &mut |record| {
        seen.push(Owned::of(record))
    })?;
    Ok((log, seen))
}

#[derive(Clone, Default)]
pub struct Model {
    /// Every appended record that may be on disk, in order. Every record has a unique term.
    pub appended: Vec<Owned>,
    /// Number of them that were flushed.
    pub flushed: usize,
    first_kept: BTreeMap<u64, u64>,
    /// Terms of entries that were reported to the log as not needed.
    forgettable: BTreeSet<u64>,
    /// All records have one length, so that an old one left by a torn write would be exactly where
    /// the log looks next.
    uniform: bool,
    next_index: BTreeMap<u64, u64>,
    terms: u64,
}

impl Model {
    /// Every second seed uses records of one length.
    pub fn new(seed: u64) -> Self {
        Self { uniform: seed % 2 == 1, ..Self::default() }
    }

    /// Compares the records of a reopened log with those that may and must exist, and continues
    /// from them.
    pub fn check(&mut self, seen: &[Owned], context: &str) {
        let fits = (self.flushed..=self.appended.len())
            .rev()
            .find(|end| self.explains(&self.appended[..*end], seen));
        let Some(end) = fits else {
            panic!(
                "{context}: no prefix of the appended records explains the log\nflushed: {} of {}\nseen: {}",
                self.flushed,
                brief(&self.appended),
                brief(seen)
            );
        };
        self.appended.truncate(end);
        self.flushed = end;
        self.next_index.clear();
        for record in &self.appended {
            if let Owned::Entry { group, index, .. } | Owned::Reset { group, index, .. } = record {
                self.next_index.insert(*group, index + 1);
            }
        }
    }

    /// Whether `seen` is exactly the end of `prefix`, less forgettable and void entries, with hard
    /// states repeated in order; and whether its live entries are those of `prefix`, less forgotten
    /// ones.
    fn explains(&self, prefix: &[Owned], seen: &[Owned]) -> bool {
        let expected: Vec<&Owned> = prefix.iter().filter(|record| !record.is_hard_state()).collect();
        let shown: Vec<&Owned> = seen.iter().filter(|record| !record.is_hard_state()).collect();
        let forgettable =
            |record: &&Owned| matches!(record, Owned::Entry { term, .. } if self.forgettable.contains(term));
        let (expected_live, shown_live) = (live(prefix), live(seen));
        let Some(forgotten) = expected_live.len().checked_sub(shown_live.len()) else { return false };
        expected.ends_with(&shown)
            && expected_live[forgotten..] == shown_live[..]
            && expected_live[..forgotten].iter().all(forgettable)
            && hard_states(prefix) == hard_states(seen)
            && hard_states_rise(seen)
            && seen.iter().all(|record| prefix.contains(record))
    }

    /// Appends one random record to the log and the model; `false` if the disk is full.
    pub fn append(&mut self, log: &mut Log, dice: &mut Dice) -> Result<bool, AppendError> {
        self.terms += 1;
        let group = 1 + dice.below(2);
        let next = self.next_index.get(&group).copied().unwrap_or(1);
        let record = if dice.below(5) == 0 {
            Owned::HardState { group, term: self.terms, vote: dice.below(9), commit: dice.below(100) }
        } else if dice.below(30) == 0 {
            // Mostly ahead of the log, as on a member that was long disconnected; also among its
            // entries.
            Owned::Reset { group, index: (next + dice.below(30)).saturating_sub(10), term: self.terms }
        } else {
            let conflict = dice.below(12) == 0;
            let index = if conflict { next.saturating_sub(dice.below(4)).max(1) } else { next };
            let len = match dice.below(40) {
                _ if self.uniform => 7,
                0 => 6000,
                1..=4 => 1500,
                _ => dice.below(300),
            };
            let data = (0..len).map(|i| (i + self.terms) as u8 | 1).collect();
            Owned::Entry { group, index, term: self.terms, kind: dice.below(4) as u8, data }
        };
        match log.append(&record.borrow()) {
            Ok(()) => {}
            Err(AppendError::NoSpace { .. }) => return Ok(false),
            Err(error) => {
                // A failed log may or may not have written it to disk.
                self.appended.push(record);
                return Err(error);
            }
        }
        self.note(&record);
        self.appended.push(record);
        Ok(true)
    }

    fn note(&mut self, record: &Owned) {
        match *record {
            Owned::Entry { group, index, term, .. } => {
                self.next_index.insert(group, index + 1);
                if self.first_kept.get(&group).is_some_and(|first| index < *first) {
                    self.forgettable.insert(term);
                }
            }
            Owned::HardState { .. } => {}
            Owned::Reset { group, index, .. } => {
                self.next_index.insert(group, index + 1);
                let kept = self.first_kept.entry(group).or_insert(0);
                *kept = (*kept).min(index + 1);
            }
        }
    }

    pub fn compact(&mut self, log: &mut Log, dice: &mut Dice) -> bool {
        let group = 1 + dice.below(2);
        let next = self.next_index.get(&group).copied().unwrap_or(1);
        let first = next.saturating_sub(dice.below(8));
        let kept = self.first_kept.entry(group).or_insert(0);
        *kept = first.max(*kept);
        for record in &self.appended {
            if let Owned::Entry { group: of, index, term, .. } = record
                && (*of, index < kept) == (group, true)
            {
                self.forgettable.insert(*term);
            }
        }
        log.compact(group, first).is_ok()
    }

    /// Does one random step. `Err`: the log is no longer usable.
    pub fn step(&mut self, log: &mut Log, dice: &mut Dice) -> Result<(), ()> {
        match dice.below(20) {
            0..=12 => self.append(log, dice).map(|_| ()).map_err(|_| ()),
            13..=16 => {
                log.flush().map_err(|_| ())?;
                self.flushed = self.appended.len();
                Ok(())
            }
            17 => {
                self.compact(log, dice);
                Ok(())
            }
            _ => {
                let _ = log.prepare(1024);
                Ok(())
            }
        }
    }
}

fn hard_states(records: &[Owned]) -> BTreeMap<u64, &Owned> {
    records
        .iter()
        .filter_map(|record| match record {
            Owned::HardState { group, .. } => Some((*group, record)),
            Owned::Entry { .. } | Owned::Reset { .. } => None,
        })
        .collect()
}

fn hard_states_rise(records: &[Owned]) -> bool {
    let mut last = BTreeMap::new();
    records.iter().all(|record| match record {
        Owned::HardState { group, term, .. } => {
            last.insert(*group, *term).is_none_or(|before| before <= *term)
        }
        Owned::Entry { .. } | Owned::Reset { .. } => true,
    })
}

fn brief(records: &[Owned]) -> String {
    let lines = records.iter().map(|record| match record {
        Owned::Entry { group, index, term, data, .. } => format!("e{group}:{index}#{term}({})", data.len()),
        Owned::HardState { group, term, .. } => format!("h{group}#{term}"),
        Owned::Reset { group, index, term } => format!("r{group}:{index}#{term}"),
    });
    format!("{} records: {}", records.len(), lines.collect::<Vec<_>>().join(" "))
}

//! Commands that have their place in the leader's order, in the entries that carry them to the log.

use std::collections::VecDeque;

use bytes::Bytes;
use consensus::engine::Engine;
use state::command::{BatchHeader, Features};

use crate::replica::{Name, Origin};

/// A command that is not yet proposed and can still be refused.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchedCommand {
    pub(crate) origin: Origin,
    pub(crate) name: Name,
}

/// An entry in the making: a batch header and commands.
#[derive(Debug)]
struct Batch {
    bytes: Vec<u8>,
    waiting: Vec<BatchedCommand>,
}

/// The entries to be proposed, oldest first; only the last may still grow.
#[derive(Debug)]
pub(crate) struct Gathered {
    /// An entry is closed once it holds this many bytes; a larger command gets an entry of its own.
    entry_bytes_max: usize,
    features: Features,
    batches: VecDeque<Batch>,
    /// Bytes of the commands at hand, for which a new entry reserves memory.
    expected_bytes: usize,
    /// The memory of the last proposed entry's list, empty.
    spare: Vec<BatchedCommand>,
}

impl Gathered {
    /// No commands. `features` is stamped on every entry.
    pub(crate) fn new(entry_bytes_max: usize, features: Features) -> Gathered {
        Gathered { entry_bytes_max, features, batches: VecDeque::new(), expected_bytes: 0, spare: Vec::new() }
    }

    /// Commands of at most `bytes` bytes follow.
    pub(crate) fn expect(&mut self, bytes: usize) {
        self.expected_bytes = bytes;
    }

    /// Adds a command, and what a refusal of it must name if a client waits for it.
    pub(crate) fn add(&mut self, now_ms: i64, command: &[u8], waiting: Option<BatchedCommand>) {
        let is_full = |last: &Batch| last.bytes.len() + command.len() > self.entry_bytes_max;
        if self.batches.back().is_none_or(is_full) {
            self.open(now_ms, command.len());
        }
        let batch = self.batches.back_mut().expect("an entry is open");
        batch.bytes.extend_from_slice(command);
        batch.waiting.extend(waiting);
        self.expected_bytes = self.expected_bytes.saturating_sub(command.len());
    }

    /// Opens an entry that has room for a command of `len` bytes and those expected behind it.
    fn open(&mut self, now_ms: i64, len: usize) {
        let room = self.expected_bytes.min(self.entry_bytes_max).max(len);
        let mut bytes = Vec::with_capacity(BatchHeader::ENCODED_LEN + room);
        BatchHeader { time_ms: now_ms, zxid_floor: 0, features: self.features }.put(&mut bytes);
        self.batches.push_back(Batch { bytes, waiting: std::mem::take(&mut self.spare) });
    }

    /// Whether there are no commands.
    pub(crate) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// The size of each entry in bytes.
    pub(crate) fn entry_bytes(&self) -> impl Iterator<Item = usize> + '_ {
        self.batches.iter().map(|batch| batch.bytes.len())
    }

    /// Number of commands that can be refused.
    pub(crate) fn commands(&self) -> usize {
        self.batches.iter().map(|batch| batch.waiting.len()).sum()
    }

    /// Proposes the entries in order. What `engine` refuses stays.
    pub(crate) fn propose(&mut self, engine: &mut dyn Engine) {
        self.expected_bytes = 0;
        while let Some(mut batch) = self.batches.pop_front() {
            if let Err(refused) = engine.propose(Bytes::from(std::mem::take(&mut batch.bytes))) {
                batch.bytes = refused.data.into();
                self.batches.push_front(batch);
                return;
            }
            batch.waiting.clear();
            self.spare = batch.waiting;
        }
    }

    /// Drops all commands.
    pub(crate) fn clear(&mut self) {
        self.batches.clear();
    }

    /// Drops all commands; returns those that clients wait for.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = BatchedCommand> + use<> {
        std::mem::take(&mut self.batches).into_iter().flat_map(|batch| batch.waiting)
    }
}

//! Building a machine from a snapshot, in one pass over its bytes.

use wire::jute::{Malformed, Reader};

use super::ensemble;
use super::tree::TreeLoader;
use super::{ACLS, END, HEAD, MAGIC, NODES, QUOTAS, SESSIONS, WITH_GRANTS, WITHOUT_MEMBERS};
use crate::data_tree;
use crate::ensemble::Ensemble;
use crate::machine::Machine;
use crate::tree::ImageError;

/// Why bytes are not a snapshot.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The first bytes are not those of a snapshot.
    #[error("this is not a snapshot")]
    Magic,
    /// The snapshot has an unknown version.
    #[error("the snapshot has version {0}, this server knows {WITH_GRANTS}")]
    Version(u8),
    /// A block that is not allowed at this position.
    #[error("a block of kind {kind} after one of kind {after}")]
    Order {
        /// The block's kind.
        kind: u8,
        /// The kind of the block before it; 0 at the start.
        after: u8,
    },
    /// A block's content does not match its kind.
    #[error("a block of kind {kind}: {cause}")]
    Block {
        /// The block's kind.
        kind: u8,
        /// What is wrong.
        #[source]
        cause: Malformed,
    },
    /// A session id that would mean another kind of owner.
    #[error("{0:#x} is not a session id")]
    SessionId(i64),
    /// A node that cannot be decoded.
    #[error("node {number}: {cause}")]
    Image {
        /// Index of the node, counted from 0.
        number: u64,
        /// What is wrong.
        #[source]
        cause: ImageError,
    },
    /// The parts of the data tree do not fit together.
    #[error(transparent)]
    Tree(#[from] data_tree::LoadError),
    /// The snapshot is truncated.
    #[error("the snapshot is truncated")]
    Incomplete,
    /// The snapshot has bytes after its end.
    #[error("bytes after the end of the snapshot")]
    Excess,
    /// The number of nodes in the end block differs from the number loaded.
    #[error("{announced} nodes are announced, {loaded} were loaded")]
    NodeCount {
        /// The number in the end block.
        announced: u64,
        /// The number loaded.
        loaded: u64,
    },
}

/// Builds a machine from the bytes of a snapshot, in pieces of any size. Damaged or hostile bytes
/// give an error; they cannot make it use more memory than a small multiple of their length.
pub struct Loader {
    last_zxid: i64,
    ensemble: Ensemble,
    tree: TreeLoader,
    /// Bytes of an incomplete block.
    pending: Vec<u8>,
    /// Kind of the last block; 0 before the first.
    last_kind: u8,
}

/// Length of a block's head.
const BLOCK_HEAD: usize = 5;

impl Loader {
    /// An empty loader. `hash_seed` as for [`Machine::new`].
    pub fn new(hash_seed: u64) -> Self {
        Self {
            last_zxid: 0,
            ensemble: Ensemble::default(),
            tree: TreeLoader::new(hash_seed),
            pending: Vec::new(),
            last_kind: 0,
        }
    }

    /// Number of nodes loaded so far.
    pub fn nodes(&self) -> u64 {
        self.tree.nodes()
    }

    /// Processes the next bytes. After an error the loader is unusable.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<(), LoadError> {
        if !self.pending.is_empty() {
            let mut pending = std::mem::take(&mut self.pending);
            pending.extend_from_slice(bytes);
            let taken = self.blocks(&pending)?;
            pending.drain(..taken);
            self.pending = pending;
            return Ok(());
        }
        let taken = self.blocks(bytes)?;
        bytes = &bytes[taken..];
        self.pending.extend_from_slice(bytes);
        Ok(())
    }

    /// The machine, if the snapshot is complete.
    pub fn finish(self) -> Result<Machine, LoadError> {
        if self.last_kind != END || !self.pending.is_empty() {
            return Err(LoadError::Incomplete);
        }
        Ok(Machine::loaded(self.tree.finish()?, self.ensemble, self.last_zxid))
    }

    /// Loads the complete blocks at the start of `bytes` and returns their total length.
    fn blocks(&mut self, bytes: &[u8]) -> Result<usize, LoadError> {
        let mut taken = 0;
        while let Some((head, rest)) = bytes[taken..].split_first_chunk::<BLOCK_HEAD>() {
            let [a, b, c, d, kind] = *head;
            let length = u32::from_be_bytes([a, b, c, d]) as usize;
            self.check_order(kind)?;
            let Some(payload) = rest.get(..length) else { break };
            self.block(kind, payload)?;
            self.last_kind = kind;
            taken += BLOCK_HEAD + length;
        }
        Ok(taken)
    }

    fn check_order(&self, kind: u8) -> Result<(), LoadError> {
        let after = self.last_kind;
        let may_repeat = matches!(kind, SESSIONS | ACLS | QUOTAS | NODES);
        match kind {
            _ if after == END => Err(LoadError::Excess),
            HEAD if after == 0 => Ok(()),
            _ if after == 0 => Err(LoadError::Magic),
            SESSIONS..=END if kind > after || (kind == after && may_repeat) => Ok(()),
            _ => Err(LoadError::Order { kind, after }),
        }
    }

    fn block(&mut self, kind: u8, payload: &[u8]) -> Result<(), LoadError> {
        let mut input = Reader::new(payload);
        let malformed = |cause| LoadError::Block { kind, cause };
        match kind {
            HEAD => self.head(&mut input),
            SESSIONS => ensemble::take_sessions(&mut self.ensemble, &mut input),
            ACLS => self.tree.acls(&mut input),
            QUOTAS => self.tree.quotas(&mut input).map_err(malformed),
            NODES => self.tree.nodes_of(payload, |session| self.ensemble.has_session(session)),
            _ => {
                let announced = input.i64().map_err(malformed)?.cast_unsigned();
                input.finish().map_err(malformed)?;
                let loaded = self.tree.nodes();
                if announced != loaded {
                    return Err(LoadError::NodeCount { announced, loaded });
                }
                Ok(())
            }
        }
    }

    fn head(&mut self, input: &mut Reader<'_>) -> Result<(), LoadError> {
        let malformed = |cause| LoadError::Block { kind: HEAD, cause };
        if input.take(MAGIC.len()).map_err(malformed)? != MAGIC {
            return Err(LoadError::Magic);
        }
        let version = input.u8().map_err(malformed)?;
        if !(WITHOUT_MEMBERS..=WITH_GRANTS).contains(&version) {
            return Err(LoadError::Version(version));
        }
        self.last_zxid = input.i64().map_err(malformed)?;
        self.ensemble = ensemble::take_head(input, version > WITHOUT_MEMBERS).map_err(malformed)?;
        input.finish().map_err(malformed)
    }
}

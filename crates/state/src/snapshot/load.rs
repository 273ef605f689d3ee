//! Building a machine from a snapshot, in one pass over its bytes.

use wire::jute::{Malformed, Reader};

use super::{ACLS, END, HEAD, MAGIC, NODES, QUOTAS, SESSIONS, VERSION, WITHOUT_MEMBERS};
use crate::acl_table::{AclId, AclLoadError};
use crate::command::{CLUSTER_KEY_BYTES, SessionTerms};
use crate::machine::{Machine, RESERVED};
use crate::members::Members;
use crate::quota::{Count, LIMITS_NAME, QUOTA_ROOT};
use crate::tree::{self, ImageError, NodeId, NodeImage, Owner};

/// Why bytes are not a snapshot.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The first bytes are not those of a snapshot.
    #[error("this is not a snapshot")]
    Magic,
    /// The snapshot has an unknown version.
    #[error("the snapshot has version {0}, this server knows {VERSION}")]
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
    /// An inconsistent ACL.
    #[error(transparent)]
    Acl(#[from] AclLoadError),
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
    /// A node that does not fit the earlier nodes.
    #[error(transparent)]
    Node(#[from] tree::LoadError),
    /// A node whose ACL is not in the snapshot.
    #[error("node {0} has an unknown ACL")]
    UnknownAcl(NodeId),
    /// An ephemeral node whose session is not in the snapshot.
    #[error("the owner {owner:#x} of node {id} is not a session")]
    UnknownOwner {
        /// The node.
        id: NodeId,
        /// The session it names.
        owner: i64,
    },
    /// A quota's count without its node, or duplicated.
    #[error("the quota on {0:?} has no stats node")]
    Quota(String),
    /// A node that every tree has is missing.
    #[error("{0} is missing")]
    Reserved(&'static str),
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
    machine: Machine,
    /// Bytes of an incomplete block.
    pending: Vec<u8>,
    /// Kind of the last block; 0 before the first.
    last_kind: u8,
    nodes: u64,
    quotas: Vec<(String, i64, i64, bool)>,
}

/// Length of a block's head.
const BLOCK_HEAD: usize = 5;

impl Loader {
    /// An empty loader. `hash_seed` as for [`Machine::new`].
    pub fn new(hash_seed: u64) -> Self {
        Self {
            machine: Machine::empty(hash_seed),
            pending: Vec::new(),
            last_kind: 0,
            nodes: 0,
            quotas: Vec::new(),
        }
    }

    /// Number of nodes loaded so far.
    pub fn nodes(&self) -> u64 {
        self.nodes
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
    pub fn finish(mut self) -> Result<Machine, LoadError> {
        if self.last_kind != END || !self.pending.is_empty() {
            return Err(LoadError::Incomplete);
        }
        for path in RESERVED {
            self.machine.tree.find(path).ok_or(LoadError::Reserved(path))?;
        }
        self.load_limits();
        for (path, count, bytes, hides_data) in std::mem::take(&mut self.quotas) {
            let stats = format!("{QUOTA_ROOT}{path}/zookeeper_stats");
            let is_loaded = self.machine.find(&stats).is_some_and(|node| {
                self.machine.quotas.load_count(&stats, Count { node, count, bytes, hides_data })
            });
            if !is_loaded {
                return Err(LoadError::Quota(path));
            }
        }
        self.machine.acls.drop_unused();
        Ok(self.machine)
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
            SESSIONS => self.sessions(&mut input),
            ACLS => self.acls(&mut input),
            QUOTAS => self.quotas(&mut input).map_err(malformed),
            NODES => self.nodes_of(payload),
            _ => {
                let announced = input.i64().map_err(malformed)?.cast_unsigned();
                input.finish().map_err(malformed)?;
                if announced != self.nodes {
                    return Err(LoadError::NodeCount { announced, loaded: self.nodes });
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
        if !(WITHOUT_MEMBERS..=VERSION).contains(&version) {
            return Err(LoadError::Version(version));
        }
        self.machine.last_zxid = input.i64().map_err(malformed)?;
        if input.bool().map_err(malformed)? {
            let key = input.take(CLUSTER_KEY_BYTES).map_err(malformed)?;
            self.machine.cluster_key = Some(key.try_into().expect("as many bytes as were taken"));
        }
        if version > WITHOUT_MEMBERS {
            self.machine.members = Members::take(input).map_err(malformed)?;
        }
        input.finish().map_err(malformed)
    }

    fn sessions(&mut self, input: &mut Reader<'_>) -> Result<(), LoadError> {
        let malformed = |cause| LoadError::Block { kind: SESSIONS, cause };
        while !input.is_empty() {
            let id = input.i64().map_err(malformed)?;
            let terms = SessionTerms::take(input).map_err(malformed)?;
            if !matches!(Owner::from_stored(id), Owner::Ephemeral(_)) {
                return Err(LoadError::SessionId(id));
            }
            self.machine.sessions.insert(id, terms);
        }
        Ok(())
    }

    fn acls(&mut self, input: &mut Reader<'_>) -> Result<(), LoadError> {
        let malformed = |cause| LoadError::Block { kind: ACLS, cause };
        while !input.is_empty() {
            let id = input.i32().map_err(malformed)?.cast_unsigned();
            let bytes = input.buffer().map_err(malformed)?.ok_or(Malformed::Null).map_err(malformed)?;
            wire::acl::AclList::from_raw(bytes).map_err(malformed)?;
            self.machine.acls.load(AclId::from_u32(id), bytes)?;
        }
        Ok(())
    }

    fn quotas(&mut self, input: &mut Reader<'_>) -> Result<(), Malformed> {
        while !input.is_empty() {
            self.quotas.push((input.str()?.to_owned(), input.i64()?, input.i64()?, input.bool()?));
        }
        Ok(())
    }

    fn nodes_of(&mut self, mut payload: &[u8]) -> Result<(), LoadError> {
        while !payload.is_empty() {
            let image = NodeImage::decode(&mut payload)
                .map_err(|cause| LoadError::Image { number: self.nodes, cause })?;
            self.node(image)?;
            self.nodes += 1;
        }
        Ok(())
    }

    fn node(&mut self, image: NodeImage<'_>) -> Result<(), LoadError> {
        if (self.nodes == 0) != (image.id == NodeId::ROOT) {
            return Err(tree::LoadError::Order { id: image.id, after: NodeId::ROOT }.into());
        }
        self.machine.tree.load(image)?;
        if !self.machine.acls.retain(image.acl) {
            return Err(LoadError::UnknownAcl(image.id));
        }
        match Owner::from_stored(image.owner) {
            Owner::Persistent => {}
            Owner::Ephemeral(session) => {
                if image.id == NodeId::ROOT || !self.machine.sessions.own(session, image.id) {
                    return Err(LoadError::UnknownOwner { id: image.id, owner: session });
                }
            }
            Owner::Container | Owner::Ttl { .. } => self.machine.reapable.insert(image.id),
        }
        Ok(())
    }

    fn load_limits(&mut self) {
        let machine = &mut self.machine;
        let root = machine.tree.find(QUOTA_ROOT).expect("reserved nodes were checked");
        let mut nodes = Vec::new();
        machine.walk(root, &mut |id| nodes.push(id));
        // Only the paths of limits are built: paths may be deep, and the other nodes are many.
        for id in nodes.into_iter().filter(|id| machine.tree.node(*id).name() == LIMITS_NAME) {
            let path = machine.path(id);
            machine.quotas.load_limits(&path, machine.tree.node(id).data());
        }
    }
}

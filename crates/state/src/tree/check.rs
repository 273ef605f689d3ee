//! Verification of all invariants of a tree by recounting; and the digest.

use super::node::{BLOB_BYTES_MIN, NOWHERE, Owner, Record};
use super::{NodeId, ROOT_PATH_BYTES, Tree};
use crate::acl_table::AclTable;

/// A violated invariant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Violation(String);

macro_rules! ensure {
    ($holds:expr, $($why:tt)+) => {
        if !$holds {
            return Err(Violation(format!($($why)+)));
        }
    };
}

/// Recounts children, listings, index, sizes and the order of ids. Takes time proportional to the
/// tree.
pub fn tree(tree: &Tree) -> Result<(), Violation> {
    let mut names_by_parent: Vec<Vec<&str>> = Vec::new();
    let (mut data_bytes, mut with_changes, mut with_directory, mut with_blob) = (0, 0, 0, 0);
    let mut path_lens = vec![0u64; tree.arena.end() as usize];
    for id in tree.arena.ids() {
        let record = tree.record(id);
        names_by_parent.resize(id as usize + 1, Vec::new());
        with_changes += usize::from(record.changes != NOWHERE);
        with_directory += usize::from(record.directory != NOWHERE);
        let data = tree.data(record).unwrap_or_default().len();
        data_bytes += data as u64;
        let is_blob = record.blob != NOWHERE;
        with_blob += usize::from(is_blob);
        ensure!(is_blob == (data >= BLOB_BYTES_MIN), "{data} bytes of znode {id} in the wrong place");
        ensure!(!is_blob || record.short_data() == Some(&[]), "znode {id} has data in two places");
        if id == NodeId::ROOT.0 {
            ensure!(record.parent == 0 && record.name().is_empty(), "the root has a parent or a name");
            data_bytes += ROOT_PATH_BYTES;
            continue;
        }
        node(tree, id, record)?;
        path_lens[id as usize] = path_lens[record.parent as usize] + 1 + record.name().len() as u64;
        data_bytes += path_lens[id as usize];
        names_by_parent[record.parent as usize].push(record.name());
    }
    for (id, names) in names_by_parent.iter_mut().enumerate() {
        names.sort_unstable();
        if let Some(record) = tree.arena.get(id as u32) {
            listing(tree, NodeId(id as u32), record, names, path_lens[id])?;
        }
    }
    let len = tree.arena.ids().count();
    ensure!(len == tree.len(), "{len} znodes, counted as {}", tree.len());
    ensure!(tree.index.len() == len - 1, "{} in the index of {len} znodes", tree.index.len());
    ensure!(data_bytes == tree.data_bytes, "{data_bytes} bytes, counted as {}", tree.data_bytes);
    ensure!(with_changes == tree.changes.len(), "changes without a znode");
    ensure!(with_directory == tree.directories.len(), "directories without a znode");
    ensure!(with_blob == tree.blobs.len(), "data without a znode");
    Ok(())
}

fn node(tree: &Tree, id: u32, record: &Record) -> Result<(), Violation> {
    let name = record.name();
    ensure!(record.parent < id, "znode {id} has the larger parent {}", record.parent);
    let parent = tree.arena.get(record.parent);
    ensure!(parent.is_some(), "znode {id} has no parent {}", record.parent);
    let is_ephemeral = parent.is_some_and(|p| matches!(Owner::from_stored(p.owner), Owner::Ephemeral(_)));
    ensure!(!is_ephemeral, "the parent {} of znode {id} is ephemeral", record.parent);
    let found = tree.child(NodeId(record.parent), name);
    ensure!(found == Some(NodeId(id)), "znode {id} is not found as {name:?} under {}", record.parent);
    Ok(())
}

fn listing(tree: &Tree, id: NodeId, record: &Record, names: &[&str], path_len: u64) -> Result<(), Violation> {
    let listing = tree.children(id);
    ensure!(listing.iter().eq(names.iter().copied()), "the listing of {id} differs from its children");
    ensure!(tree.node(id).child_count() as usize == names.len(), "{id} has {} children", names.len());
    if let Some(directory) = tree.directory_of(record) {
        ensure!(u64::from(directory.path_len) == path_len, "the path of {id} has {path_len} bytes");
    }
    Ok(())
}

/// A hash of the whole tree: equal trees have equal digests, whatever the order of creation and the
/// ids; ACLs count by their bytes. Detects divergence between members; it does not resist forgery.
///
/// Takes time proportional to the tree.
pub fn digest(tree: &Tree, acls: &AclTable) -> u64 {
    let mut path_hashes = Vec::new();
    let mut digest = 0u64;
    for id in tree.arena.ids() {
        let record = tree.record(id);
        path_hashes.resize(id as usize + 1, 0);
        let path = mix_bytes(path_hashes[record.parent as usize], record.name_bytes());
        path_hashes[id as usize] = path;
        digest = digest.wrapping_add(node_digest(tree, id, record, path, acls));
    }
    digest
}

fn node_digest(tree: &Tree, id: u32, record: &Record, path: u64, acls: &AclTable) -> u64 {
    let image = tree.image(id, record);
    let numbers = [
        image.owner,
        image.czxid,
        image.mzxid,
        image.pzxid,
        image.ctime,
        image.mtime,
        i64::from(image.version),
        i64::from(image.cversion),
        i64::from(image.aversion),
        i64::from(image.data.is_some()),
    ];
    let hash = numbers.iter().fold(path, |hash, &number| mix(hash, number as u64));
    let hash = mix_bytes(hash, image.data.unwrap_or_default());
    mix_bytes(hash, acls.bytes(image.acl))
}

/// One step of splitmix64, which spreads each bit over all others; a fixed function, so that
/// members of different versions compute the same.
fn mix(hash: u64, word: u64) -> u64 {
    let mut z = (hash ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn mix_bytes(hash: u64, bytes: &[u8]) -> u64 {
    let words = bytes.chunks(8).map(|chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        u64::from_le_bytes(word)
    });
    words.fold(mix(hash, bytes.len() as u64), mix)
}

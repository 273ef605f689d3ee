//! The tree compared with an obviously correct model: a map from paths to znodes.

use std::collections::BTreeMap;

use super::testing::Random;
use super::{NodeId, NodeImage, Owner, SnapshotCursor, TTL_MS_MAX, Tree, check};
use crate::acl_table::{AclId, AclTable};

#[derive(Clone, Debug, PartialEq, Eq)]
struct Znode {
    data: Option<Vec<u8>>,
    acl: AclId,
    owner: i64,
    czxid: i64,
    mzxid: i64,
    pzxid: i64,
    ctime: i64,
    mtime: i64,
    version: i32,
    creates: i32,
    deletes: i32,
    aversion: i32,
}

type Model = BTreeMap<String, Znode>;

fn parent_of(path: &str) -> &str {
    match path.rfind('/') {
        Some(0) | None => "/",
        Some(slash) => &path[..slash],
    }
}

fn children_of<'a>(model: &'a Model, path: &str) -> Vec<&'a str> {
    let prefix = if path == "/" { "/".to_owned() } else { format!("{path}/") };
    let below = model.range(prefix.clone()..).take_while(|(path, _)| path.starts_with(&prefix));
    let names = below.map(|(path, _)| &path[prefix.len()..]);
    names.filter(|name| !name.is_empty() && !name.contains('/')).collect()
}

/// A tree, its model, a second tree loaded from an earlier snapshot of the first, and possibly a
/// snapshot in progress with the model as of its beginning.
struct World {
    random: Random,
    tree: Tree,
    model: Model,
    twin: Option<Tree>,
    snapshot: Option<Pending>,
    acls: AclTable,
    acl_ids: Vec<AclId>,
    zxid: i64,
    snapshots_done: u32,
}

struct Pending {
    cursor: SnapshotCursor,
    model: Model,
    ids: BTreeMap<String, NodeId>,
    digest: u64,
    images: Vec<u8>,
}

impl World {
    fn new(seed: u64) -> World {
        let root = Znode {
            data: Some(Vec::new()),
            acl: AclId::OPEN,
            owner: 0,
            czxid: 0,
            mzxid: 0,
            pzxid: 0,
            ctime: 0,
            mtime: 0,
            version: 0,
            creates: 0,
            deletes: 0,
            aversion: 0,
        };
        let mut acls = AclTable::new(1);
        let acl_ids = vec![AclId::OPEN, acls.acquire(b"first"), acls.acquire(b"second")];
        World {
            random: Random::new(seed),
            tree: Tree::new(seed),
            model: Model::from([("/".to_owned(), root)]),
            twin: None,
            snapshot: None,
            acls,
            acl_ids,
            zxid: 1 << 32,
            snapshots_done: 0,
        }
    }

    fn some_path(&mut self) -> String {
        let at = self.random.below(self.model.len() as u64) as usize;
        self.model.keys().nth(at).expect("below the number of keys").clone()
    }

    fn some_data(&mut self) -> Option<Vec<u8>> {
        match self.random.below(5) {
            0 => None,
            1 => Some(Vec::new()),
            _ => Some(vec![self.random.next() as u8; self.random.below(40) as usize]),
        }
    }

    fn some_owner(&mut self) -> Owner {
        match self.random.below(8) {
            0 => Owner::Ephemeral(0x0100_0000_0000_0001 + self.random.below(9) as i64),
            1 => Owner::Container,
            2 => Owner::Ttl { ttl_ms: TTL_MS_MAX - self.random.below(9) as i64 },
            _ => Owner::Persistent,
        }
    }

    /// The id of a path, checked to be the same in tree and twin.
    fn id(&self, path: &str) -> NodeId {
        let id = self.tree.find(path).expect("the model has it");
        if let Some(twin) = &self.twin {
            assert_eq!(twin.find(path), Some(id), "id of {path}");
        }
        id
    }

    fn both(&mut self, mut change: impl FnMut(&mut Tree)) {
        change(&mut self.tree);
        if let Some(twin) = &mut self.twin {
            change(twin);
        }
    }

    fn create(&mut self) {
        let parent = self.some_path();
        if matches!(Owner::from_stored(self.model[&parent].owner), Owner::Ephemeral(_)) {
            return;
        }
        let name = match self.random.below(4) {
            0 => format!("ü{}", self.random.below(30)),
            _ => format!("n{:010}", self.model[&parent].creates),
        };
        let path = if parent == "/" { format!("/{name}") } else { format!("{parent}/{name}") };
        if self.model.contains_key(&path) {
            return;
        }
        let (data, owner, time) = (self.some_data(), self.some_owner().to_stored(), self.zxid / 3);
        let acl = self.acl_ids[self.random.below(3) as usize];
        let (zxid, parent_id) = (self.zxid, self.id(&parent));
        self.both(|tree| {
            let id = tree.create(parent_id, &name, data.as_deref(), acl, owner, zxid, time);
            assert!(id > parent_id);
        });
        let above = self.model.get_mut(&parent).expect("it was chosen from the model");
        above.creates += 1;
        above.pzxid = zxid;
        let znode = Znode {
            data,
            acl,
            owner,
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            ctime: time,
            mtime: time,
            version: 0,
            creates: 0,
            deletes: 0,
            aversion: 0,
        };
        self.model.insert(path, znode);
    }

    fn delete(&mut self) {
        let path = self.some_path();
        if path == "/" || !children_of(&self.model, &path).is_empty() {
            return;
        }
        let (id, zxid) = (self.id(&path), self.zxid);
        self.both(|tree| tree.delete(id, zxid));
        self.model.remove(&path);
        let above = self.model.get_mut(parent_of(&path)).expect("a parent outlives its children");
        above.deletes += 1;
        above.pzxid = zxid;
        assert_eq!(self.tree.find(&path), None);
    }

    fn set_data(&mut self) {
        let (path, data) = (self.some_path(), self.some_data());
        let (id, zxid, time) = (self.id(&path), self.zxid, self.zxid / 2);
        self.both(|tree| tree.set_data(id, data.as_deref(), zxid, time));
        let znode = self.model.get_mut(&path).expect("it was chosen from the model");
        (znode.data, znode.mzxid, znode.mtime) = (data, zxid, time);
        znode.version += 1;
    }

    fn set_acl(&mut self) {
        let path = self.some_path();
        let acl = self.acl_ids[self.random.below(3) as usize];
        let id = self.id(&path);
        self.both(|tree| tree.set_acl(id, acl));
        let znode = self.model.get_mut(&path).expect("it was chosen from the model");
        znode.acl = acl;
        znode.aversion += 1;
    }

    fn step_snapshot(&mut self) {
        let Some(mut pending) = self.snapshot.take() else {
            let ids = self.model.keys().map(|path| (path.clone(), self.id(path))).collect();
            let digest = check::digest(&self.tree, &self.acls);
            let cursor = self.tree.begin_snapshot();
            self.snapshot =
                Some(Pending { cursor, model: self.model.clone(), ids, digest, images: Vec::new() });
            return;
        };
        if self.random.below(50) == 0 {
            self.tree.end_snapshot();
            return;
        }
        let size = 1 + self.random.below(30) as usize;
        let images = &mut pending.images;
        if self.tree.snapshot_slice(&mut pending.cursor, size, &mut |image| image.encode(images)) {
            self.tree.end_snapshot();
            self.compare_snapshot(&pending);
            self.snapshots_done += 1;
        } else {
            self.snapshot = Some(pending);
        }
    }

    fn compare_snapshot(&self, pending: &Pending) {
        let loaded = load(&pending.images, 77).expect("a snapshot can be loaded");
        assert_same(&loaded, &pending.model);
        assert_eq!(check::digest(&loaded, &self.acls), pending.digest);
        for (path, id) in &pending.ids {
            assert_eq!(loaded.find(path), Some(*id), "id of {path}");
        }
    }

    /// Replaces the twin with a tree loaded from a current snapshot.
    fn renew_twin(&mut self) {
        if self.snapshot.is_some() {
            return;
        }
        let mut images = Vec::new();
        let mut cursor = self.tree.begin_snapshot();
        while !self.tree.snapshot_slice(&mut cursor, 64, &mut |image| image.encode(&mut images)) {}
        assert!(self.tree.end_snapshot().is_empty(), "nothing changed meanwhile");
        self.twin = Some(load(&images, self.zxid as u64).expect("a snapshot can be loaded"));
    }

    fn step(&mut self, create_bias: u64) {
        self.zxid += 1;
        match self.random.below(100) {
            op if op < create_bias => self.create(),
            0..70 => self.delete(),
            70..80 => self.set_data(),
            80..85 => self.set_acl(),
            85 => self.renew_twin(),
            _ => self.step_snapshot(),
        }
    }

    fn assert_same(&self) {
        assert_same(&self.tree, &self.model);
        if let Some(twin) = &self.twin {
            assert_same(twin, &self.model);
            assert_eq!(check::digest(twin, &self.acls), check::digest(&self.tree, &self.acls));
        }
    }
}

fn load(mut images: &[u8], seed: u64) -> Result<Tree, Box<dyn std::error::Error>> {
    let mut tree = Tree::new(seed);
    while !images.is_empty() {
        tree.load(NodeImage::decode(&mut images)?)?;
    }
    Ok(tree)
}

fn assert_same(tree: &Tree, model: &Model) {
    check::tree(tree).expect("the tree is consistent");
    assert_eq!(tree.len(), model.len());
    for path in model.keys() {
        let mut below = 0;
        tree.visit_below(tree.find(path).expect("it exists"), &mut |_| below += 1);
        let prefix = if path == "/" { "/".to_owned() } else { format!("{path}/") };
        let expected = model.keys().filter(|other| other.starts_with(&prefix) && *other != path).count();
        assert_eq!(below, expected, "below {path}");
    }
    let mut bytes = 0;
    for (path, znode) in model {
        let id = tree.find(path).unwrap_or_else(|| panic!("{path} is missing"));
        let mut written = String::new();
        tree.write_path(id, &mut written);
        assert_eq!(&written, path);
        let names = children_of(model, path);
        assert!(tree.children(id).iter().eq(names.iter().copied()), "children of {path}");
        let node = tree.node(id);
        assert_eq!((node.data(), node.acl(), node.owner()), (znode.data.as_deref(), znode.acl, znode.owner));
        let stat = node.stat();
        assert_eq!((stat.czxid, stat.mzxid, stat.pzxid), (znode.czxid, znode.mzxid, znode.pzxid), "{path}");
        assert_eq!((stat.ctime, stat.mtime), (znode.ctime, znode.mtime));
        assert_eq!((stat.version, stat.aversion), (znode.version, znode.aversion));
        assert_eq!(stat.cversion, znode.creates + znode.deletes, "clients see creations and deletions");
        assert_eq!(node.stored_cversion(), znode.creates);
        assert_eq!(stat.num_children as usize, names.len());
        assert_eq!(stat.data_length as usize, znode.data.as_ref().map_or(0, Vec::len));
        bytes += path.len() + stat.data_length as usize;
    }
    assert_eq!(tree.data_bytes(), bytes as u64);
}

/// Randomly grows and shrinks a tree, mostly with a snapshot in progress and a twin loaded from a
/// snapshot: tree, twin, snapshots and model must match in every field, tree and twin also in every
/// id.
#[test]
fn agrees_with_a_map() {
    let mut snapshots_done = 0;
    for seed in 0..30 {
        let mut world = World::new(seed);
        for round in 0..6 {
            let create_bias = if round % 2 == 0 { 55 } else { 15 };
            for _ in 0..250 {
                world.step(create_bias);
            }
            world.assert_same();
        }
        snapshots_done += world.snapshots_done;
    }
    assert!(snapshots_done > 200, "{snapshots_done} snapshots compared");
}

/// Enough znodes for many chunks of the arena, deleted from below and created again.
#[test]
fn freed_ids_are_reused_in_order() {
    let mut tree = Tree::new(0);
    let create = |tree: &mut Tree, parent: NodeId, name: String| {
        tree.create(parent, &name, Some(b"x"), AclId::OPEN, 0, 1, 1)
    };
    let low = create(&mut tree, NodeId::ROOT, "low".to_owned());
    let ids: Vec<NodeId> = (0..20_000).map(|i| create(&mut tree, low, format!("c{i}"))).collect();
    let high = create(&mut tree, NodeId::ROOT, "high".to_owned());
    for &id in &ids[1000..12_000] {
        tree.delete(id, 2);
    }
    check::tree(&tree).expect("the tree is consistent");

    assert!(create(&mut tree, high, "child".to_owned()) > high, "a child is never below its parent");
    for &free in &ids[1000..12_000] {
        let id = create(&mut tree, low, format!("again{free}"));
        assert_eq!(id, free, "the smallest free id above the parent");
    }
    check::tree(&tree).expect("the tree is consistent");
}

/// While the snapshot is written, all existing znodes are deleted and others take their ids.
#[test]
fn a_snapshot_omits_later_znodes() {
    let mut tree = Tree::new(0);
    for i in 0..1000 {
        tree.create(NodeId::ROOT, &format!("old{i:04}"), Some(b"old"), AclId::OPEN, 0, 1, 1);
    }
    let mut cursor = tree.begin_snapshot();
    let mut names = Vec::new();
    let mut step = 0;
    loop {
        let is_done = tree.snapshot_slice(&mut cursor, 10, &mut |image| {
            assert_ne!(image.data, Some(&b"new"[..]));
            names.push(image.name.to_owned());
        });
        if is_done {
            break;
        }
        for i in (step * 10..1000).take(10) {
            tree.delete(tree.find(&format!("/old{:04}", 999 - i)).expect("not deleted yet"), 2);
            tree.create(NodeId::ROOT, &format!("new{i:04}"), Some(b"new"), AclId::OPEN, 0, 3, 3);
        }
        step += 1;
    }
    assert!(!tree.end_snapshot().is_empty());
    let expected: Vec<String> = (0..1000).map(|i| format!("old{i:04}")).collect();
    assert_eq!(names[1..], expected, "after the root, unchanged");
    check::tree(&tree).expect("the tree is consistent");
}

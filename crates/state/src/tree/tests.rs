//! Individual properties of the tree, one test each.

use super::{CONTAINER_OWNER, ImageError, LoadError, NodeId, NodeImage, Owner, Tree, check};
use crate::acl_table::{AclId, AclTable};

const IMAGE: NodeImage<'static> = NodeImage {
    id: NodeId(1),
    parent: NodeId::ROOT,
    name: "a",
    data: None,
    acl: AclId::OPEN,
    owner: 0,
    czxid: 5,
    mzxid: 5,
    pzxid: 5,
    ctime: 6,
    mtime: 6,
    version: 0,
    cversion: 0,
    aversion: 0,
};

fn image(id: u32, parent: u32, name: &str) -> NodeImage<'_> {
    NodeImage { id: NodeId(id), parent: NodeId(parent), name, ..IMAGE }
}

fn create(tree: &mut Tree, parent: NodeId, name: &str, zxid: i64) -> NodeId {
    tree.create(parent, name, Some(b"data"), AclId::OPEN, 0, zxid, 10)
}

#[test]
fn the_sequence_counts_creations_and_cversion_also_deletions() {
    let mut tree = Tree::new(0);
    let a = create(&mut tree, NodeId::ROOT, "a", 1);
    for i in 0..3 {
        let child = create(&mut tree, a, "child", 2 + 2 * i);
        tree.delete(child, 3 + 2 * i);
    }
    create(&mut tree, a, "stays", 20);
    assert_eq!(tree.node(a).stored_cversion(), 4, "the next sequential child gets 4");
    let stat = tree.node(a).stat();
    assert_eq!((stat.cversion, stat.num_children, stat.pzxid), (7, 1, 20));
    assert_eq!((stat.mzxid, stat.version), (1, 0), "children do not change the data");
}

#[test]
fn a_deletion_changes_the_parents_pzxid_but_set_data_does_not() {
    let mut tree = Tree::new(0);
    let a = create(&mut tree, NodeId::ROOT, "a", 1);
    let b = create(&mut tree, a, "b", 2);
    tree.set_data(b, None, 3, 30);
    tree.set_acl(b, AclId::OPEN);
    assert_eq!(tree.node(a).stat().pzxid, 2);
    let stat = tree.node(b).stat();
    assert_eq!((stat.mzxid, stat.mtime, stat.version, stat.aversion), (3, 30, 1, 1));
    tree.delete(b, 4);
    assert_eq!(tree.node(a).stat().pzxid, 4);
}

#[test]
fn null_data_differ_from_empty_data() {
    let mut tree = Tree::new(0);
    let a = tree.create(NodeId::ROOT, "a", None, AclId::OPEN, 0, 1, 1);
    assert_eq!(tree.node(a).data(), None);
    tree.set_data(a, Some(b""), 2, 2);
    assert_eq!(tree.node(a).data(), Some(&b""[..]));
    tree.set_data(a, Some(b"x"), 2, 2);
    tree.set_data(a, None, 3, 3);
    assert_eq!(tree.node(a).data(), None);
    assert_eq!(tree.node(a).name(), "a");
    assert_eq!(tree.node(a).stat().data_length, 0);
}

#[test]
fn owners_are_stored_as_zookeeper_does() {
    for (owner, stored, shown) in [
        (Owner::Persistent, 0, 0),
        (Owner::Container, CONTAINER_OWNER, 0),
        (Owner::Ttl { ttl_ms: 5 }, 0xff00_0000_0000_0005_u64 as i64, 0),
        (Owner::Ephemeral(0x0200_0000_0000_0001), 0x0200_0000_0000_0001, 0x0200_0000_0000_0001),
        (
            Owner::Ephemeral(0xfe00_0000_0000_0001_u64 as i64),
            0xfe00_0000_0000_0001_u64 as i64,
            -0x1ff_ffff_ffff_ffff,
        ),
    ] {
        assert_eq!(owner.to_stored(), stored);
        assert_eq!(Owner::from_stored(stored), owner);
        assert_eq!(owner.session(), shown);
    }
}

/// A new ZooKeeper answers `stat /` with cversion -1 and `mntr` with 44 bytes.
#[test]
fn builtin_znodes_are_not_counted_at_their_parents() {
    let mut tree = Tree::new(0);
    let zookeeper = tree.create_builtin(NodeId::ROOT, "zookeeper", AclId::OPEN);
    tree.create_builtin(zookeeper, "quota", AclId::OPEN);
    tree.create_builtin(zookeeper, "config", AclId::OPEN);
    assert_eq!(tree.node(NodeId::ROOT).stat().cversion, -1);
    assert_eq!(tree.node(zookeeper).stat().cversion, -2);
    assert_eq!(tree.data_bytes(), 44);
    check::tree(&tree).expect("the tree is consistent");
}

#[test]
fn a_version_never_becomes_minus_one() {
    let mut tree = Tree::new(0);
    tree.load(NodeImage { version: i32::MAX, aversion: -2, ..IMAGE }).expect("it fits");
    tree.set_data(NodeId(1), None, 1, 1);
    tree.set_acl(NodeId(1), AclId::OPEN);
    assert_eq!(tree.node(NodeId(1)).version(), i32::MIN);
    assert_eq!(tree.node(NodeId(1)).aversion(), 0, "-1 is skipped");
}

#[test]
#[should_panic(expected = "without children")]
fn a_parent_cannot_be_deleted() {
    let mut tree = Tree::new(0);
    let a = create(&mut tree, NodeId::ROOT, "a", 1);
    create(&mut tree, a, "b", 2);
    tree.delete(a, 3);
}

#[test]
#[should_panic(expected = "has a child")]
fn a_name_is_unique_among_siblings() {
    let mut tree = Tree::new(0);
    create(&mut tree, NodeId::ROOT, "a", 1);
    create(&mut tree, NodeId::ROOT, "a", 2);
}

#[test]
#[should_panic(expected = "no znode has the id")]
fn a_deleted_id_is_not_found() {
    let mut tree = Tree::new(0);
    let a = create(&mut tree, NodeId::ROOT, "a", 1);
    tree.delete(a, 2);
    tree.node(a);
}

/// Each replicated field changes the digest; the order in which znodes are loaded does not.
#[test]
fn the_digest_covers_every_field() {
    let mut acls = AclTable::new(0);
    let other_acl = acls.acquire(b"other");
    let digest = |images: &[NodeImage<'_>]| {
        let mut tree = Tree::new(3);
        for &image in images {
            tree.load(image).expect("it fits");
        }
        check::digest(&tree, &acls)
    };
    let base = NodeImage { data: Some(b"d"), ..IMAGE };
    let mut digests = vec![
        digest(&[base]),
        digest(&[NodeImage { name: "b", ..base }]),
        digest(&[NodeImage { data: None, ..base }]),
        digest(&[NodeImage { data: Some(b""), ..base }]),
        digest(&[NodeImage { data: Some(b"d\0"), ..base }]),
        digest(&[NodeImage { acl: other_acl, ..base }]),
        digest(&[NodeImage { owner: 1, ..base }]),
        digest(&[NodeImage { czxid: 9, ..base }]),
        digest(&[NodeImage { mzxid: 9, ..base }]),
        digest(&[NodeImage { pzxid: 9, ..base }]),
        digest(&[NodeImage { ctime: 9, ..base }]),
        digest(&[NodeImage { mtime: 9, ..base }]),
        digest(&[NodeImage { version: 9, ..base }]),
        digest(&[NodeImage { cversion: 9, ..base }]),
        digest(&[NodeImage { aversion: 9, ..base }]),
        digest(&[base, image(2, 0, "b")]),
        digest(&[base, image(2, 1, "b")]),
    ];
    assert_eq!(
        digest(&[base, image(2, 0, "b")]),
        digest(&[image(1, 0, "b"), NodeImage { id: NodeId(7), ..base }])
    );
    digests.sort_unstable();
    digests.dedup();
    assert_eq!(digests.len(), 17);
}

#[test]
fn loading_refuses_inconsistent_images() {
    let load = |images: &[NodeImage<'_>]| {
        let mut tree = Tree::new(0);
        let result = images.iter().try_for_each(|&image| tree.load(image));
        check::tree(&tree).expect("a refused image leaves a consistent tree");
        result.expect_err("it is refused")
    };
    let (a, id, parent) = (image(1, 0, "a"), NodeId(2), NodeId(1));
    assert_eq!(load(&[a, a]), LoadError::Order { id: parent, after: parent });
    assert_eq!(load(&[a, image(0, 0, "")]), LoadError::Order { id: NodeId::ROOT, after: parent });
    assert_eq!(load(&[image(2, 1, "a")]), LoadError::ParentMissing { id, parent });
    assert_eq!(load(&[image(2, 2, "a")]), LoadError::ParentMissing { id, parent: id });
    assert_eq!(load(&[image(u32::MAX, 0, "a")]), LoadError::IdTooLarge(NodeId(u32::MAX)));
    let ephemeral = NodeImage { owner: 7, ..a };
    assert_eq!(load(&[ephemeral, image(2, 1, "b")]), LoadError::ParentEphemeral { id, parent });
    let name = "a".to_owned();
    assert_eq!(load(&[a, image(2, 0, "a")]), LoadError::DuplicateName { id, sibling: parent, name });
    assert_eq!(
        load(&[image(0, 0, "r")]),
        LoadError::NotTheRoot { parent: NodeId::ROOT, name: "r".to_owned() }
    );
    for name in ["", ".", "..", "a/b", "\0", "\u{1}", "\u{e000}"] {
        let refused = LoadError::InvalidName { id: parent, name: name.to_owned() };
        assert_eq!(load(&[image(1, 0, name)]), refused);
    }
}

#[test]
fn loading_accepts_unusual_names() {
    let mut tree = Tree::new(0);
    for (id, name) in [(1, "..."), (2, "a b"), (3, "ä"), (4, ".a"), (200_000, "far away")] {
        tree.load(image(id, 0, name)).expect("a valid name");
        assert_eq!(tree.child(NodeId::ROOT, name), Some(NodeId(id)));
    }
    assert_eq!(tree.create(NodeId::ROOT, "next", None, AclId::OPEN, 0, 1, 1), NodeId(5));
}

#[test]
fn an_image_round_trips() {
    let extremes = NodeImage {
        id: NodeId(u32::MAX),
        parent: NodeId(u32::MAX - 1),
        name: "ü",
        data: Some(b"\0\xff"),
        acl: AclId::from_u32(u32::MAX),
        owner: CONTAINER_OWNER,
        czxid: i64::MIN,
        mzxid: i64::MAX,
        pzxid: 0,
        ctime: i64::MAX,
        mtime: i64::MIN,
        version: i32::MIN,
        cversion: i32::MIN,
        aversion: i32::MAX,
    };
    let root = NodeImage { data: Some(b""), ..image(0, 0, "") };
    let mut out = Vec::new();
    for image in [IMAGE, extremes, root] {
        image.encode(&mut out);
    }
    let mut rest = &out[..];
    for image in [IMAGE, extremes, root] {
        assert_eq!(NodeImage::decode(&mut rest), Ok(image));
    }
    assert!(rest.is_empty());
    assert_eq!(NodeImage::decode(&mut rest), Err(ImageError::Truncated));

    let mut one = Vec::new();
    extremes.encode(&mut one);
    for end in 0..one.len() {
        assert_eq!(NodeImage::decode(&mut &one[..end]), Err(ImageError::Truncated), "cut at {end}");
    }
}

/// The bytes of an image are part of the snapshot format: they stay readable forever.
#[test]
fn the_bytes_of_an_image_do_not_change() {
    let image = NodeImage { data: Some(b"xy"), owner: 1, mzxid: 7, version: 1, cversion: 3, ..IMAGE };
    let mut out = Vec::new();
    image.encode(&mut out);
    let expected = b"\x0f\x01\x00\x0a\x0c\0\0\0\0\0\0\0\x01\x04\x00\x02\x00\x00\x06\x01a\x02xy";
    assert_eq!(out, expected);
}

proptest::proptest! {
    /// Any bytes are refused or decoded, and a decoded image round-trips.
    #[test]
    fn any_bytes_can_be_decoded(flags in 0u8..40, bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..80)) {
        let mut input = vec![flags];
        input.extend(bytes);
        if let Ok(image) = NodeImage::decode(&mut &input[..]) {
            let mut out = Vec::new();
            image.encode(&mut out);
            proptest::prop_assert_eq!(NodeImage::decode(&mut &out[..]), Ok(image));
            let _ = Tree::new(0).load(image);
        }
    }
}

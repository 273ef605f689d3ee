//! Multis: all operations or none.
//!
//! The operations of a multi are planned one after another on a [`Staging`]: the tree as it will be
//! after the steps planned so far. Nothing is changed until all of them are planned, so there is
//! nothing to roll back if one is refused, not even the counters of sequential nodes.

use std::borrow::Cow;
use std::collections::BTreeMap;

use wire::code::ErrorCode;
use wire::lenient::NULL_PATH;
use wire::opcode::Opcode;
use wire::path;
use wire::record::{Create, Multi, MultiHeader, MultiResult, Request};
use wire::stat::Stat;

use super::DataTree;
use super::perform::Stamp;
use super::plan::{CreateMode, Step, plan};
use super::view::{Context, Direct, Facts, View};
use crate::change::ChangeSink;
use crate::tree::{Listing, NodeId, Owner};

impl DataTree {
    /// Performs a multi. The result is an error if nothing of it could be planned; the refusal of
    /// one of its operations is in the reply.
    pub(super) fn multi(
        &mut self,
        multi: &Multi<'_>,
        context: &Context<'_>,
        stamp: Stamp,
        buffer: &mut String,
        reply: &mut Vec<u8>,
        changes: &mut dyn ChangeSink,
    ) -> Result<(), ErrorCode> {
        if !multi.iter().all(|operation| may_stand_in_multi(&operation, context)) {
            return Err(ErrorCode::MarshallingError);
        }
        match stage(self, multi, context, stamp, buffer) {
            Ok(steps) => {
                for (operation, step) in multi.iter().map(as_in_multi).zip(&steps) {
                    let node = self.perform(step, stamp, buffer, changes);
                    let opcode = operation.opcode();
                    // Containers and TTL nodes answer like create2.
                    let shown = match opcode {
                        Opcode::CreateContainer | Opcode::CreateTtl => Opcode::Create2,
                        other => other,
                    };
                    MultiHeader { opcode_raw: shown as i32, done: false, err: 0 }.encode(reply);
                    // Right after its step: a later one may change the node again.
                    self.put_result(opcode, step, node, buffer, reply);
                }
            }
            // If ZooKeeper fails on a part, it refuses the whole multi.
            Err(Refused { code: ErrorCode::MarshallingError, .. }) => {
                return Err(ErrorCode::MarshallingError);
            }
            Err(refused) => put_failure(multi.len(), refused, reply),
        }
        MultiHeader::END.encode(reply);
        Ok(())
    }
}

/// Whether the operation is an enabled write with a valid create mode that needs no TTL: ZooKeeper
/// checks that when it reads the record, but not for `createTTL`
/// (`MultiOperationRecord.deserialize`). A multi with any other operation fails to decode, as does
/// one with a null path (`getPendingChanges`).
fn may_stand_in_multi(operation: &Request<'_>, context: &Context<'_>) -> bool {
    if operation.path() == Some(NULL_PATH) {
        return false;
    }
    if let Request::Create(create) = operation
        && create.kind != Opcode::CreateTtl
        && !CreateMode::from_flags(create.flags).is_ok_and(|mode| !mode.is_ttl)
    {
        return false;
    }
    operation.opcode().in_multi().is_admitted(context.has_extensions())
}

/// The operation as ZooKeeper executes it within a multi: a createTTL whose flags have no TTL is a
/// create there (`Op.create`), while it is refused on its own.
fn as_in_multi(operation: Request<'_>) -> Request<'_> {
    match operation {
        Request::Create(create) if create.kind == Opcode::CreateTtl && !matches!(create.flags, 5 | 6) => {
            Request::Create(Create { kind: Opcode::Create, ttl: None, ..create })
        }
        other => other,
    }
}

/// The refused operation, counted from 0, and its error.
struct Refused {
    at: usize,
    code: ErrorCode,
}

fn stage<'r>(
    before: &DataTree,
    multi: &Multi<'r>,
    context: &Context<'_>,
    stamp: Stamp,
    buffer: &mut String,
) -> Result<Vec<Step<'r>>, Refused> {
    let mut staging = Staging { before, children: BTreeMap::new(), nodes: BTreeMap::new(), made: 0 };
    let mut steps = Vec::with_capacity(multi.len());
    for (at, operation) in multi.iter().map(as_in_multi).enumerate() {
        let step = plan(&staging, context, &operation, buffer).map_err(|code| Refused { at, code })?;
        staging.stage(&step, stamp, buffer);
        steps.push(step);
    }
    Ok(steps)
}

/// The results of a refused multi: 0 before the refused operation, its own code, -2 after it.
fn put_failure(operations: usize, refused: Refused, reply: &mut Vec<u8>) {
    for at in 0..operations {
        let code = match at.cmp(&refused.at) {
            std::cmp::Ordering::Less => ErrorCode::Ok,
            std::cmp::Ordering::Equal => refused.code,
            std::cmp::Ordering::Greater => ErrorCode::RuntimeInconsistency,
        };
        MultiResult::Error(code as i32).encode(reply);
    }
}

/// A node as a staged step leaves it.
struct Staged<'r> {
    stat: Stat,
    owner: Owner,
    children_ever: i32,
    /// The ACL of a new node; the table still has that of a node in the tree.
    new_acl: Option<Cow<'r, [u8]>>,
}

/// A node of the staging.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// In the tree.
    Tree(NodeId),
    /// Created by a step, counted from 0.
    New(usize),
}

/// The tree with the steps of a multi planned so far. Differences from the tree are stored by
/// parent and name, as in the tree: a deleted node takes its whole subtree with it, however large
/// or deep.
struct Staging<'t, 'r> {
    before: &'t DataTree,
    /// Children created or deleted, by parent; `None` for deleted ones.
    children: BTreeMap<Place, BTreeMap<String, Option<Place>>>,
    /// Nodes that differ from the tree. Deleted ones may still be included.
    nodes: BTreeMap<Place, Staged<'r>>,
    made: usize,
}

impl View for Staging<'_, '_> {
    type Place = Place;

    fn find(&self, path: &str) -> Option<Place> {
        let names = path.split('/').filter(|name| !name.is_empty());
        let mut place = Place::Tree(NodeId::ROOT);
        for name in names {
            place = self.child(place, name)?;
        }
        Some(place)
    }

    fn facts(&self, place: Place) -> Facts<'_> {
        let id = match place {
            Place::Tree(id) => Some(id),
            Place::New(_) => None,
        };
        let Some(staged) = self.nodes.get(&place) else {
            return Direct(self.before).facts_of(id.expect("a new node is staged"));
        };
        let acl = match (&staged.new_acl, id) {
            (Some(acl), _) => acl,
            (None, Some(id)) => self.before.acl_of(id),
            (None, None) => unreachable!("a node that is not in the tree has its ACL here"),
        };
        let Staged { stat, owner, children_ever, .. } = *staged;
        Facts { id, stat, owner, children_ever, acl }
    }

    fn push_children(&self, place: Place, to: &mut Vec<Place>) {
        let tree = &self.before.znodes;
        let listing = match place {
            Place::Tree(id) => tree.children(id),
            Place::New(_) => Listing::default(),
        };
        let in_tree = listing.iter().map(|name| (name, self.child(place, name)));
        let Some(staged) = self.children.get(&place) else {
            to.extend(in_tree.filter_map(|(_, child)| child));
            return;
        };
        // A replacement of a child in the tree has the same name, and is the child of that name in
        // both.
        let mut all: BTreeMap<&str, Option<Place>> = in_tree.collect();
        all.extend(staged.iter().map(|(name, child)| (name.as_str(), *child)));
        to.extend(all.into_values().flatten());
    }

    fn before(&self) -> &DataTree {
        self.before
    }
}

impl<'r> Staging<'_, 'r> {
    fn child(&self, parent: Place, name: &str) -> Option<Place> {
        if let Some(staged) = self.children.get(&parent).and_then(|children| children.get(name)) {
            return *staged;
        }
        match parent {
            Place::Tree(id) => self.before.znodes.child(id, name).map(Place::Tree),
            Place::New(_) => None,
        }
    }

    /// Adds a step to the view.
    fn stage(&mut self, step: &Step<'r>, stamp: Stamp, buffer: &mut String) {
        match step {
            Step::Create(node) => {
                let stat = Stat {
                    czxid: stamp.zxid,
                    mzxid: stamp.zxid,
                    ctime: stamp.time_ms,
                    mtime: stamp.time_ms,
                    ephemeral_owner: node.owner.session(),
                    data_length: length(node.data),
                    pzxid: stamp.zxid,
                    ..Stat::default()
                };
                let (owner, new_acl) = (node.owner, Some(node.acl.clone()));
                let place = Place::New(self.made);
                self.made += 1;
                self.nodes.insert(place, Staged { stat, owner, children_ever: 0, new_acl });
                self.stage_child(node.path.render(buffer), Some(place), stamp);
            }
            Step::Delete { path, .. } | Step::DeleteAll { path } => self.stage_child(path, None, stamp),
            Step::SetData { path, data, .. } => {
                let stat = &mut self.staged(path).1.stat;
                stat.mzxid = stamp.zxid;
                stat.mtime = stamp.time_ms;
                // -1 is skipped, since it means any version in a request.
                stat.version = if stat.version == -2 { 0 } else { stat.version.wrapping_add(1) };
                stat.data_length = length(*data);
            }
            Step::SetAcl { .. } => unreachable!("a multi never contains setACL"),
            Step::Nothing { .. } => {}
        }
    }

    /// Adds the child at this path, or deletes it with its subtree.
    fn stage_child(&mut self, path: &str, child: Option<Place>, stamp: Stamp) {
        let (place, parent) = self.staged(path::parent(path));
        let change = if child.is_some() { 1 } else { -1 };
        parent.children_ever = parent.children_ever.wrapping_add(change.max(0));
        parent.stat.num_children += change;
        parent.stat.cversion = parent.children_ever.wrapping_mul(2).wrapping_sub(parent.stat.num_children);
        parent.stat.pzxid = stamp.zxid;
        self.children.entry(place).or_default().insert(path::name(path).to_owned(), child);
    }

    /// The staged copy of the existing node at a path.
    fn staged(&mut self, path: &str) -> (Place, &mut Staged<'r>) {
        let place = self.find(path).expect("a step is planned only for an existing node");
        let before = self.before;
        let staged = self.nodes.entry(place).or_insert_with(|| {
            let Place::Tree(id) = place else { unreachable!("a new node is staged") };
            let Facts { stat, owner, children_ever, .. } = Direct(before).facts_of(id);
            Staged { stat, owner, children_ever, new_acl: None }
        });
        (place, staged)
    }
}

fn length(data: Option<&[u8]>) -> i32 {
    data.map_or(0, |data| i32::try_from(data.len()).unwrap_or(i32::MAX))
}

//! All or none (rule 25).
//!
//! The operations of a multi are planned one after another on a [`Staging`]: the tree as it will be after the steps
//! planned so far. Nothing is changed until all of them are planned, so there is nothing to roll back when one is
//! refused, the counters of sequential nodes included (rule 14).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Bound;

use wire::code::ErrorCode;
use wire::opcode::Opcode;
use wire::path;
use wire::record::{Create, Multi, MultiHeader, MultiResult, Request};
use wire::stat::Stat;

use super::Machine;
use super::perform::Stamp;
use super::plan::{CreateMode, Step, plan};
use super::view::{Context, Direct, Facts, View};
use crate::change::ChangeSink;
use crate::tree::{NodeId, Owner};

impl Machine {
    pub(super) fn multi(
        &mut self,
        multi: &Multi<'_>,
        context: &Context<'_>,
        stamp: Stamp,
        reply: &mut Vec<u8>,
        changes: &mut dyn ChangeSink,
    ) -> Result<(), ErrorCode> {
        if !multi.iter().all(|operation| may_stand_in_multi(&operation, context)) {
            return Err(ErrorCode::MarshallingError);
        }
        self.with_path_buffer(|machine, buffer| {
            match stage(machine, multi, context, stamp, buffer) {
                Ok(steps) => {
                    for (operation, step) in multi.iter().map(understood).zip(&steps) {
                        let node = machine.perform(step, stamp, buffer, changes);
                        let opcode = operation.opcode();
                        // Containers and TTL nodes answer as create2 does.
                        let shown = match opcode {
                            Opcode::CreateContainer | Opcode::CreateTtl => Opcode::Create2,
                            other => other,
                        };
                        MultiHeader { opcode_raw: shown as i32, done: false, err: 0 }.encode(reply);
                        // Right after its step: a later one may change the node again.
                        machine.put_result(opcode, step, node, buffer, reply);
                    }
                }
                Err(refused) => put_failure(multi.len(), refused, reply),
            }
            MultiHeader::END.encode(reply);
        });
        Ok(())
    }
}

/// Whether the operation is of the writing kind, switched on, and of a create mode that exists and needs no TTL: ZooKeeper looks at that when it
/// reads the record, but not for `createTTL` (`MultiOperationRecord.deserialize`). A multi with any other is not understood at all.
fn may_stand_in_multi(operation: &Request<'_>, context: &Context<'_>) -> bool {
    if let Request::Create(create) = operation
        && create.kind != Opcode::CreateTtl
        && !CreateMode::from_flags(create.flags).is_ok_and(|mode| !mode.is_ttl)
    {
        return false;
    }
    match operation.opcode() {
        Opcode::Create
        | Opcode::Create2
        | Opcode::CreateContainer
        | Opcode::CreateTtl
        | Opcode::Delete
        | Opcode::SetData
        | Opcode::Check => true,
        Opcode::CheckNotExists
        | Opcode::CreateIfNotExists
        | Opcode::RemoveRecursive
        | Opcode::CheckStat
        | Opcode::TryRemove => context.has_extensions(),
        _ => false,
    }
}

/// The operation as ZooKeeper understands it within a multi: a createTTL whose flags know no TTL is a create there (`Op.create`), while alone
/// it is refused.
fn understood(operation: Request<'_>) -> Request<'_> {
    match operation {
        Request::Create(create) if create.kind == Opcode::CreateTtl && !matches!(create.flags, 5 | 6) => {
            Request::Create(Create { kind: Opcode::Create, ttl: None, ..create })
        }
        other => other,
    }
}

/// The operation that was refused, counted from 0, and why.
struct Refused {
    at: usize,
    code: ErrorCode,
}

fn stage<'r>(
    machine: &Machine,
    multi: &Multi<'r>,
    context: &Context<'_>,
    stamp: Stamp,
    buffer: &mut String,
) -> Result<Vec<Step<'r>>, Refused> {
    let mut staging = Staging { machine, nodes: BTreeMap::new() };
    let mut steps = Vec::with_capacity(multi.len());
    for (at, operation) in multi.iter().map(understood).enumerate() {
        let step = plan(&staging, context, &operation, buffer).map_err(|code| Refused { at, code })?;
        staging.stage(&step, stamp, buffer);
        steps.push(step);
    }
    Ok(steps)
}

/// The results of a multi that was refused: 0 before the operation at fault, its own code, -2 after it.
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
    /// In the tree; `None` when a step makes it.
    id: Option<NodeId>,
    stat: Stat,
    owner: Owner,
    children_ever: i32,
    /// The ACL of a new node; that of one in the tree is still in the table.
    new_acl: Option<Cow<'r, [u8]>>,
}

/// The tree with the steps of a multi planned so far.
struct Staging<'m, 'r> {
    machine: &'m Machine,
    /// What differs from the tree, by path; `None` where a node was deleted.
    nodes: BTreeMap<String, Option<Staged<'r>>>,
}

impl View for Staging<'_, '_> {
    fn look(&self, path: &str) -> Option<Facts<'_>> {
        let Some(staged) = self.nodes.get(path) else { return Direct(self.machine).look_up(path) };
        let staged = staged.as_ref()?;
        let acl = match (&staged.new_acl, staged.id) {
            (Some(acl), _) => acl,
            (None, Some(id)) => self.machine.acl_of(id),
            (None, None) => unreachable!("a node that is not in the tree has its ACL here"),
        };
        Some(Facts {
            id: staged.id,
            stat: staged.stat,
            owner: staged.owner,
            children_ever: staged.children_ever,
            acl,
        })
    }

    fn children(&self, path: &str) -> Vec<String> {
        let is_in_tree = self.look(path).is_some_and(|node| node.id.is_some());
        let mut names = if is_in_tree { Direct(self.machine).children(path) } else { Vec::new() };
        let prefix = if path == "/" { "/".to_owned() } else { format!("{path}/") };
        for (staged, node) in self.nodes.range::<str, _>((Bound::Included(prefix.as_str()), Bound::Unbounded))
        {
            let Some(name) = staged.strip_prefix(&prefix) else { break };
            if name.is_empty() || name.contains('/') {
                continue;
            }
            match (names.binary_search_by(|known| known.as_str().cmp(name)), node) {
                (Ok(at), None) => drop(names.remove(at)),
                (Err(at), Some(_)) => names.insert(at, name.to_owned()),
                (Ok(_), Some(_)) | (Err(_), None) => {}
            }
        }
        names
    }

    fn machine(&self) -> &Machine {
        self.machine
    }
}

impl<'r> Staging<'_, 'r> {
    /// Adds a step to the view.
    fn stage(&mut self, step: &Step<'r>, stamp: Stamp, buffer: &mut String) {
        match step {
            Step::Create(node) => {
                let path = node.path.render(buffer);
                self.stage_child_change(path::parent(path), 1, stamp);
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
                let staged = Staged { id: None, stat, owner, children_ever: 0, new_acl };
                self.nodes.insert(path.to_owned(), Some(staged));
            }
            Step::Delete { path, .. } => self.stage_delete(path, stamp),
            Step::DeleteAll { paths } => {
                for path in paths {
                    self.stage_delete(path, stamp);
                }
            }
            Step::SetData { path, data, .. } => {
                let stat = &mut self.staged(path).stat;
                stat.mzxid = stamp.zxid;
                stat.mtime = stamp.time_ms;
                // -1 is skipped, as it is any version in a request.
                stat.version = if stat.version == -2 { 0 } else { stat.version.wrapping_add(1) };
                stat.data_length = length(*data);
            }
            Step::SetAcl { .. } => unreachable!("setACL does not stand in a multi"),
            Step::Nothing { .. } => {}
        }
    }

    fn stage_delete(&mut self, path: &str, stamp: Stamp) {
        self.stage_child_change(path::parent(path), -1, stamp);
        self.nodes.insert(path.to_owned(), None);
    }

    fn stage_child_change(&mut self, parent: &str, change: i32, stamp: Stamp) {
        let parent = self.staged(parent);
        parent.children_ever = parent.children_ever.wrapping_add(change.max(0));
        parent.stat.num_children += change;
        parent.stat.cversion = parent.children_ever.wrapping_mul(2).wrapping_sub(parent.stat.num_children);
        parent.stat.pzxid = stamp.zxid;
    }

    /// The staged node at a path where there is one, staged or not.
    fn staged(&mut self, path: &str) -> &mut Staged<'r> {
        if !self.nodes.contains_key(path) {
            let facts =
                Direct(self.machine).look_up(path).expect("a step is planned for a node that is there");
            let staged = Staged {
                id: facts.id,
                stat: facts.stat,
                owner: facts.owner,
                children_ever: facts.children_ever,
                new_acl: None,
            };
            self.nodes.insert(path.to_owned(), Some(staged));
        }
        let staged = self.nodes.get_mut(path).expect("just put there");
        staged.as_mut().expect("a step is planned for a node that is there")
    }
}

fn length(data: Option<&[u8]>) -> i32 {
    data.map_or(0, |data| i32::try_from(data.len()).unwrap_or(i32::MAX))
}

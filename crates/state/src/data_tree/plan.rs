//! Planning: from a request to a step that cannot fail. Checks everything that can refuse a write,
//! in ZooKeeper's order.

use std::borrow::Cow;
use std::fmt::Write as _;

use wire::acl::{AclList, perms};
use wire::code::ErrorCode;
use wire::lenient::NULL_PATH;
use wire::opcode::Opcode;
use wire::path;
use wire::record::{Check, Create, Delete, Request, SetAcl, SetData};

use super::access::creates_grants;
use super::view::{Context, Facts, View};
use super::{RESERVED, extensions};
use crate::acl;
use crate::auth::Schemes;
use crate::command::Features;
use crate::grants::{self, GRANTS_ACL};
use crate::quota;
use crate::tree::{CONTAINER_OWNER, NodeId, Owner, TTL_MS_MAX};

/// The effect of an operation. `'r` is the lifetime of its request. An id is `None` for a node that
/// an earlier step of the same multi creates; it is looked up when the step is performed.
#[derive(Clone, Debug)]
pub(crate) enum Step<'r> {
    /// Create a node.
    Create(NewNode<'r>),
    /// Delete a node without children.
    Delete { id: Option<NodeId>, path: &'r str },
    /// Delete a node and all its descendants.
    DeleteAll { path: &'r str },
    /// Replace the data of a node.
    SetData { id: Option<NodeId>, path: &'r str, data: Option<&'r [u8]> },
    /// Replace the ACL of a node.
    SetAcl { id: Option<NodeId>, path: &'r str, acl: Cow<'r, [u8]> },
    /// A check succeeded, or there is nothing to do.
    Nothing { path: &'r str },
}

/// A node to be created.
#[derive(Clone, Debug)]
pub(crate) struct NewNode<'r> {
    pub(crate) parent: Option<NodeId>,
    pub(crate) path: NewPath<'r>,
    pub(crate) data: Option<&'r [u8]>,
    pub(crate) acl: Cow<'r, [u8]>,
    pub(crate) owner: Owner,
}

/// The path of a new node: as requested, or with a sequence number appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NewPath<'r> {
    requested: &'r str,
    number: Option<i32>,
}

impl<'r> NewPath<'r> {
    /// The whole path, built in `buffer` if needed.
    pub(crate) fn render<'b>(&self, buffer: &'b mut String) -> &'b str
    where
        'r: 'b,
    {
        let Some(number) = self.number else { return self.requested };
        buffer.clear();
        buffer.push_str(self.requested);
        // Ten characters including the sign, as Java's %010d: a counter beyond 2^31 has wrapped and
        // is negative.
        write!(buffer, "{number:010}").expect("writing to a string cannot fail");
        buffer
    }
}

/// The meaning of a create's flags (ZooKeeper's `CreateMode`). They are an enumeration, not bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CreateMode {
    pub(crate) is_sequential: bool,
    is_ephemeral: bool,
    pub(crate) is_ttl: bool,
}

impl CreateMode {
    pub(crate) fn from_flags(flags: i32) -> Result<Self, ErrorCode> {
        let (is_ephemeral, is_sequential, is_ttl) = match flags {
            0 | 4 => (false, false, false),
            1 => (true, false, false),
            2 => (false, true, false),
            3 => (true, true, false),
            5 => (false, false, true),
            6 => (false, true, true),
            _ => return Err(ErrorCode::BadArguments),
        };
        Ok(Self { is_sequential, is_ephemeral, is_ttl })
    }
}

/// The owner of the new node. As in ZooKeeper, the operation decides on a container and the flags
/// on an ephemeral; `create` with the container flag creates a persistent node.
fn new_owner(create: &Create<'_>, mode: CreateMode, context: &Context<'_>) -> Result<Owner, ErrorCode> {
    if mode.is_ttl && !context.features.has(Features::EXTENDED_TYPES) {
        return Err(ErrorCode::Unimplemented);
    }
    match (mode.is_ttl, create.ttl) {
        (true, Some(ttl_ms @ 1..=TTL_MS_MAX)) => return Ok(Owner::Ttl { ttl_ms }),
        // Flags and operation must match: a TTL without its flag, or the flag without a TTL, is
        // contradictory.
        (true, _) | (false, Some(_)) => return Err(ErrorCode::BadArguments),
        (false, None) => {}
    }
    Ok(match create.kind {
        Opcode::CreateContainer => Owner::from_stored(CONTAINER_OWNER),
        _ if mode.is_ephemeral => Owner::Ephemeral(context.session),
        _ => Owner::Persistent,
    })
}

/// Plans any write except a multi. `buffer` is space for a path.
pub(crate) fn plan<'r>(
    view: &impl View,
    context: &Context<'_>,
    request: &Request<'r>,
    buffer: &mut String,
) -> Result<Step<'r>, ErrorCode> {
    match request {
        Request::Create(create) => plan_create(view, context, create, buffer),
        Request::Delete(delete) => plan_delete(view, context, delete),
        Request::SetData(set) => plan_set_data(view, context, set),
        Request::SetAcl(set) => plan_set_acl(view, context, set),
        Request::Check(check) => plan_check(view, context, check),
        other if context.has_extensions() => extensions::plan(view, context, other),
        _ => Err(ErrorCode::Unimplemented),
    }
}

fn plan_create<'r>(
    view: &impl View,
    context: &Context<'_>,
    create: &Create<'r>,
    buffer: &mut String,
) -> Result<Step<'r>, ErrorCode> {
    let keeps_existing = create.kind == Opcode::CreateIfNotExists;
    if keeps_existing && !context.has_extensions() {
        return Err(ErrorCode::Unimplemented);
    }
    let mode = CreateMode::from_flags(create.flags)?;
    let owner = new_owner(create, mode, context)?;
    let target = Target::of(create.path, mode.is_sequential)?;
    if keeps_existing && mode.is_sequential {
        return Err(ErrorCode::BadArguments);
    }
    let acl = new_acl(view, context, create.acl)?;
    let parent = target.parent(view)?;
    let new_path =
        NewPath { requested: create.path, number: mode.is_sequential.then_some(parent.children_ever) };
    let whole = new_path.render(buffer);
    view.before().require(&context.asker, perms::CREATE, whole, parent.acl)?;
    if !target.is_valid {
        return Err(ErrorCode::BadArguments);
    }
    if view.look(whole).is_some() {
        return if keeps_existing {
            Ok(Step::Nothing { path: create.path })
        } else {
            Err(ErrorCode::NodeExists)
        };
    }
    if matches!(parent.owner, Owner::Ephemeral(_)) {
        return Err(ErrorCode::NoChildrenForEphemerals);
    }
    quota::check_data(whole, create.data)?;
    let acl = if creates_grants(context, create, whole, owner)? { GRANTS_ACL.into() } else { acl };
    if context.enforces_quota() {
        view.before().quotas.check(whole, create.data.unwrap_or_default().len() as i64, 1)?;
    }
    Ok(Step::Create(NewNode { parent: parent.id, path: new_path, data: create.data, acl, owner }))
}

/// Maximum number of distinct ACLs: half of the table's capacity, so that a multi that starts below
/// it has room for all of its own. Beyond it only known ACLs can be assigned to nodes.
const ACLS_MAX: usize = 1 << 23;

fn new_acl<'r>(
    view: &impl View,
    context: &Context<'_>,
    requested: AclList<'r>,
) -> Result<Cow<'r, [u8]>, ErrorCode> {
    let acl = acl::fix_up(requested, context.asker.identities, Schemes::of(context.features))?;
    let table = &view.before().acls;
    if table.len() < ACLS_MAX || table.find(&acl).is_some() { Ok(acl) } else { Err(ErrorCode::SystemError) }
}

fn plan_delete<'r>(
    view: &impl View,
    context: &Context<'_>,
    delete: &Delete<'r>,
) -> Result<Step<'r>, ErrorCode> {
    let node = removable(view, context, delete.path)?;
    node.check_version(delete.version)?;
    if node.stat.num_children > 0 {
        return Err(ErrorCode::NotEmpty);
    }
    Ok(Step::Delete { id: node.id, path: delete.path })
}

/// The node at `path`, if path and permissions allow its deletion.
pub(super) fn removable<'v, V: View>(
    view: &'v V,
    context: &Context<'_>,
    path: &str,
) -> Result<Facts<'v>, ErrorCode> {
    if RESERVED.contains(&path) {
        return Err(ErrorCode::BadArguments);
    }
    let target = Target::of(path, false)?;
    view.before().require(&context.asker, perms::DELETE, path, target.parent(view)?.acl)?;
    target.is_valid.then(|| view.look(path)).flatten().ok_or(ErrorCode::NoNode)
}

fn plan_set_data<'r>(
    view: &impl View,
    context: &Context<'_>,
    set: &SetData<'r>,
) -> Result<Step<'r>, ErrorCode> {
    let node = existing(view, set.path)?;
    view.before().require(&context.asker, perms::WRITE, set.path, node.acl)?;
    quota::check_data(set.path, set.data)?;
    if node.acl == GRANTS_ACL {
        grants::check_text(set.data)?;
    }
    if context.enforces_quota() {
        let more = set.data.unwrap_or_default().len() as i64 - i64::from(node.stat.data_length);
        view.before().quotas.check(set.path, more, 0)?;
    }
    node.check_version(set.version)?;
    Ok(Step::SetData { id: node.id, path: set.path, data: set.data })
}

fn plan_set_acl<'r>(
    view: &impl View,
    context: &Context<'_>,
    set: &SetAcl<'r>,
) -> Result<Step<'r>, ErrorCode> {
    path::validate(set.path).map_err(|_| ErrorCode::BadArguments)?;
    let acl = new_acl(view, context, set.acl)?;
    let node = existing(view, set.path)?;
    view.before().require(&context.asker, perms::ADMIN, set.path, node.acl)?;
    if node.acl == GRANTS_ACL {
        // Another ACL would end the rules. Deleting the node does.
        return Err(ErrorCode::BadArguments);
    }
    if set.version != -1 && set.version != node.stat.aversion {
        return Err(ErrorCode::BadVersion);
    }
    Ok(Step::SetAcl { id: node.id, path: set.path, acl })
}

pub(crate) fn plan_check<'r>(
    view: &impl View,
    context: &Context<'_>,
    check: &Check<'r>,
) -> Result<Step<'r>, ErrorCode> {
    let node = existing(view, check.path)?;
    view.before().require(&context.asker, perms::READ, check.path, node.acl)?;
    node.check_version(check.version)?;
    Ok(Step::Nothing { path: check.path })
}

/// The node at a path, which must be valid.
pub(super) fn existing<'v, V: View>(view: &'v V, path: &str) -> Result<Facts<'v>, ErrorCode> {
    path::validate(path).map_err(|_| ErrorCode::BadArguments)?;
    view.look(path).ok_or(ErrorCode::NoNode)
}

/// The path of a create or delete. ZooKeeper validates it completely only after it has found the
/// parent and checked its permissions; before that, a slash suffices. So `/a//b` has no parent, and
/// gives `NoNode` rather than `BadArguments`.
struct Target<'r> {
    parent: &'r str,
    is_valid: bool,
}

impl<'r> Target<'r> {
    fn of(path: &'r str, is_sequential: bool) -> Result<Self, ErrorCode> {
        if path == NULL_PATH {
            return Err(ErrorCode::MarshallingError);
        }
        let validate = if is_sequential { path::validate_sequential } else { path::validate };
        let is_valid = validate(path).is_ok();
        if !is_valid && (!path.contains('/') || path.contains('\0')) {
            return Err(ErrorCode::BadArguments);
        }
        // Not `path::parent`: "a/b" has the parent "a", which is not a valid path, rather than the
        // root.
        let parent = &path[..path.rfind('/').expect("there is a slash")];
        Ok(Self { parent: if parent.is_empty() { "/" } else { parent }, is_valid })
    }

    fn parent<'v, V: View>(&self, view: &'v V) -> Result<Facts<'v>, ErrorCode> {
        // The names before the last slash of a valid path are those of a valid parent.
        let is_valid = self.is_valid || path::validate(self.parent).is_ok();
        is_valid.then(|| view.look(self.parent)).flatten().ok_or(ErrorCode::NoNode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_13_an_overflowed_sequence_counter_is_negative() {
        let numbers = [
            (0, "/q/0000000000"),
            (i32::MAX, "/q/2147483647"),
            (i32::MIN, "/q/-2147483648"),
            (-5, "/q/-000000005"),
        ];
        for (number, expected) in numbers {
            let path = NewPath { requested: "/q/", number: Some(number) };
            let mut buffer = String::from("earlier content");
            assert_eq!(path.render(&mut buffer), expected);
            assert_eq!(path::validate(expected), Ok(()));
        }
    }

    #[test]
    fn create_flags() {
        let mode =
            |is_sequential, is_ephemeral, is_ttl| Ok(CreateMode { is_sequential, is_ephemeral, is_ttl });
        assert_eq!(CreateMode::from_flags(0), mode(false, false, false));
        assert_eq!(CreateMode::from_flags(3), mode(true, true, false));
        assert_eq!(CreateMode::from_flags(4), mode(false, false, false));
        assert_eq!(CreateMode::from_flags(6), mode(true, false, true));
        assert!(
            [-1, 7, 8, i32::MAX]
                .map(CreateMode::from_flags)
                .iter()
                .all(|mode| mode == &Err(ErrorCode::BadArguments))
        );
    }
}

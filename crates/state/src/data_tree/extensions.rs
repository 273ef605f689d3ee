//! Planning of ClickHouse Keeper's operations 501 and 503–505. 502 is planned as a create.

use wire::acl::perms;
use wire::code::ErrorCode;
use wire::path;
use wire::record::{CheckNotExists, CheckStat, RemoveRecursive, Request, TryRemove};

use super::RESERVED;
use super::plan::{Step, existing, removable};
use super::view::{Context, View};

pub(super) fn plan<'r>(
    view: &impl View,
    context: &Context<'_>,
    request: &Request<'r>,
) -> Result<Step<'r>, ErrorCode> {
    match request {
        Request::CheckNotExists(check) => check_not_exists(view, context, check),
        Request::CheckStat(check) => check_stat(view, context, check),
        Request::RemoveRecursive(remove) => remove_recursive(view, context, remove),
        Request::TryRemove(remove) => try_remove(view, context, remove),
        _ => Err(ErrorCode::Unimplemented),
    }
}

pub(crate) fn check_not_exists<'r>(
    view: &impl View,
    context: &Context<'_>,
    check: &CheckNotExists<'r>,
) -> Result<Step<'r>, ErrorCode> {
    path::validate(check.path).map_err(|_| ErrorCode::BadArguments)?;
    // Clients that may list the parent may learn that a node is missing. Without a parent there is
    // nothing to protect.
    let above = path::parent(check.path);
    if let Some(parent) = view.look(above) {
        view.before().require(&context.asker, perms::READ, above, parent.acl)?;
    }
    match view.look(check.path) {
        Some(node) if node.check_version(check.version).is_ok() => Err(ErrorCode::NodeExists),
        _ => Ok(Step::Nothing { path: check.path }),
    }
}

pub(crate) fn check_stat<'r>(
    view: &impl View,
    context: &Context<'_>,
    check: &CheckStat<'r>,
) -> Result<Step<'r>, ErrorCode> {
    let node = existing(view, check.path)?;
    view.before().require(&context.asker, perms::READ, check.path, node.acl)?;
    node.check_version(check.version)?;
    if check.stat.is_met_by(&node.stat) {
        Ok(Step::Nothing { path: check.path })
    } else {
        Err(ErrorCode::BadVersion)
    }
}

fn try_remove<'r>(
    view: &impl View,
    context: &Context<'_>,
    remove: &TryRemove<'r>,
) -> Result<Step<'r>, ErrorCode> {
    match removable(view, context, remove.path) {
        Ok(node) if node.check_version(remove.version).is_ok() && node.stat.num_children == 0 => {
            Ok(Step::Delete { id: node.id, path: remove.path })
        }
        Ok(_) | Err(ErrorCode::NoNode) => Ok(Step::Nothing { path: remove.path }),
        Err(code) => Err(code),
    }
}

fn remove_recursive<'r>(
    view: &impl View,
    context: &Context<'_>,
    remove: &RemoveRecursive<'r>,
) -> Result<Step<'r>, ErrorCode> {
    match removable(view, context, remove.path) {
        Err(ErrorCode::NoNode) => return Ok(Step::Nothing { path: remove.path }),
        Err(code) => return Err(code),
        Ok(_) => {}
    }
    debug_assert!(
        !RESERVED.contains(&remove.path),
        "reserved paths are refused above, and none is below another node"
    );
    let asker = &context.asker;
    let mut denied = view.before().prefixes_denied_below(asker, perms::DELETE, remove.path);
    if denied.any(|prefix| view.find(prefix).is_some()) {
        return Err(ErrorCode::NoAuth);
    }
    let mut found = 0;
    let mut stack = Vec::from_iter(view.find(remove.path));
    while let Some(place) = stack.pop() {
        let node = view.facts(place);
        if !asker.may(perms::DELETE, node.acl) {
            return Err(ErrorCode::NoAuth);
        }
        // Includes the children known to exist, before they are looked up: there may be millions.
        if found + stack.len() + 1 + node.stat.num_children as usize > remove.limit as usize {
            return Err(ErrorCode::NotEmpty);
        }
        view.push_children(place, &mut stack);
        found += 1;
    }
    Ok(Step::DeleteAll { path: remove.path })
}

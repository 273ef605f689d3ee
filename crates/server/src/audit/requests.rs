//! The events of a client's write whose result is known.

use state::auth::{DIGEST, KEY};
use state::command::Command;
use state::machine::Applied;
use wire::ErrorCode;
use wire::acl::AclList;
use wire::opcode::Opcode;
use wire::record::{Create, MultiReply, MultiResult, Reply, Request};

use super::identity::{self, HIDDEN};
use super::{Event, Outcome};

/// Where the ensemble's configuration is.
const CONFIG: &str = "/zookeeper/config";

/// Calls `put` with each event of this command; `reply` is the body of its reply.
pub fn events(command: &Command<'_>, applied: &Applied, reply: &[u8], put: &mut dyn FnMut(&Event<'_>)) {
    let Some(opcode) = Opcode::from_i32(command.opcode) else { return };
    let users = identity::users(command.identities);
    let outcome = if applied.code == ErrorCode::Ok { Outcome::Success } else { Outcome::Failure };
    let client = Event {
        session: Some(command.session),
        user: users.as_deref(),
        ip: identity::address(command.identities),
        ..Event::new("", outcome)
    };
    let request = Request::decode(opcode, command.body);
    match (opcode, &request) {
        (Opcode::Multi, Ok(Request::Multi(parts))) if outcome == Outcome::Success => {
            if let Ok(Reply::Multi(results)) = Reply::decode(opcode, reply) {
                multi(client, parts.iter(), results, put);
            }
        }
        (Opcode::Multi, _) => {
            put(&Event { operation: "multiOperation", outcome: Outcome::Failure, ..client })
        }
        (Opcode::Reconfig, _) => {
            let znode = (outcome == Outcome::Success).then_some(CONFIG);
            put(&Event { operation: "reconfig", znode, ..client });
        }
        (_, Ok(request)) => {
            let created = match Reply::decode(opcode, reply) {
                Ok(Reply::Create(created)) => Some(created.path),
                Ok(Reply::Create2(created)) => Some(created.path),
                _ => None,
            };
            single(client, request, created.filter(|_| outcome == Outcome::Success), put);
        }
        (_, Err(_)) => {}
    }
}

/// The parts of a multi that changed something, or the multi if it failed.
fn multi<'r>(
    client: Event<'_>,
    parts: impl Iterator<Item = Request<'r>>,
    results: MultiReply<'_>,
    put: &mut dyn FnMut(&Event<'_>),
) {
    let is_failure =
        |result: MultiResult<'_>| matches!(result, MultiResult::Error(_) | MultiResult::Failed { .. });
    if results.iter().any(is_failure) {
        return put(&Event { operation: "multiOperation", outcome: Outcome::Failure, ..client });
    }
    for (part, result) in parts.zip(results.iter()) {
        let created = match result {
            MultiResult::Create(created) | MultiResult::CreateIfNotExists(created) => Some(created.path),
            MultiResult::Create2(created) => Some(created.path),
            _ => None,
        };
        single(client, &part, created, put);
    }
}

/// One operation; `created` is the path of the new znode.
fn single(client: Event<'_>, request: &Request<'_>, created: Option<&str>, put: &mut dyn FnMut(&Event<'_>)) {
    let event = |operation, path| Event { operation, znode: Some(path), ..client };
    match request {
        Request::Create(create) => put(&Event {
            operation: operation_of(create),
            znode: created.or(Some(create.path)),
            znode_type: type_of(create.flags),
            ..client
        }),
        Request::Delete(delete) => put(&event("delete", delete.path)),
        Request::SetData(set) => put(&event("setData", set.path)),
        Request::SetAcl(set) => {
            let acl = acl_text(&set.acl);
            put(&Event { acl: acl.as_deref(), ..event("setAcl", set.path) });
        }
        // ZooKeeper has none of these.
        Request::RemoveRecursive(remove) => put(&event("removeRecursive", remove.path)),
        Request::TryRemove(remove) => put(&event("tryRemove", remove.path)),
        _ => {}
    }
}

fn operation_of(create: &Create<'_>) -> &'static str {
    match create.kind {
        Opcode::CreateIfNotExists => "createIfNotExists",
        _ => "create",
    }
}

/// ZooKeeper's name of a create mode.
fn type_of(flags: i32) -> Option<&'static str> {
    Some(match flags {
        0 => "persistent",
        1 => "ephemeral",
        2 => "persistent_sequential",
        3 => "ephemeral_sequential",
        4 => "container",
        5 => "persistent_with_ttl",
        6 => "persistent_sequential_with_ttl",
        _ => return None,
    })
}

/// The entries as scheme, id and permissions, one behind the other as in ZooKeeper. The hash of a
/// password is an `x`, as `getACL` shows it to clients that may not see it, and so is a key.
fn acl_text(acl: &AclList<'_>) -> Option<String> {
    if acl.is_null() {
        return None;
    }
    let mut text = String::new();
    for (perms, scheme, id) in acl.iter() {
        text.extend([scheme, ":"]);
        match (scheme, id.split_once(':')) {
            (DIGEST, Some((name, _))) => text.extend([name, ":", HIDDEN]),
            (KEY, _) => text.push_str(HIDDEN),
            _ => text.push_str(id),
        }
        text.push(':');
        for (bit, letter) in [(4, 'c'), (8, 'd'), (1, 'r'), (2, 'w'), (16, 'a')] {
            if perms & bit != 0 {
                text.push(letter);
            }
        }
    }
    Some(text)
}

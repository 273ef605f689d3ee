//! The events of a client's read. ZooKeeper has none.

use state::auth::Identities;
use wire::ErrorCode;
use wire::record::Request;

use super::identity;
use super::{Event, Outcome};

/// Calls `put` with each event of this read, whose result is `code`. `part` tells the result of a
/// part of a multiRead, which has one of its own.
pub fn events(
    session: i64,
    identities: &Identities,
    request: &Request<'_>,
    code: ErrorCode,
    part: &mut dyn FnMut(&Request<'_>) -> ErrorCode,
    put: &mut dyn FnMut(&Event<'_>),
) {
    let client = || {
        let users = identity::users(identities.encoded());
        (users, identity::address(identities.encoded()).map(str::to_owned))
    };
    let mut event = |operation, znode, code, (users, address): &(Option<String>, Option<String>)| {
        let outcome = if code == ErrorCode::Ok { Outcome::Success } else { Outcome::Failure };
        put(&Event {
            session: Some(session),
            user: users.as_deref(),
            ip: address.as_deref(),
            znode,
            ..Event::new(operation, outcome)
        });
    };
    match request {
        Request::MultiRead(parts) if code == ErrorCode::Ok => {
            let client = client();
            for request in *parts {
                if let Some((operation, path)) = operation_of(&request) {
                    event(operation, Some(path), part(&request), &client);
                }
            }
        }
        Request::MultiRead(_) => event("multiRead", None, code, &client()),
        _ => {
            if let Some((operation, path)) = operation_of(request) {
                event(operation, Some(path), code, &client());
            }
        }
    }
}

/// The name of a read in the log, and the path that it is for; `None` for what reads nothing.
fn operation_of<'r>(request: &Request<'r>) -> Option<(&'static str, &'r str)> {
    Some(match request {
        Request::GetData(get) => ("getData", get.path),
        Request::Exists(exists) => ("exists", exists.path),
        Request::GetAcl(get) => ("getAcl", get.path),
        Request::GetChildren(get) => ("getChildren", get.path),
        Request::GetChildren2(get) => ("getChildren", get.path),
        Request::FilteredList(list) => ("getChildren", list.path),
        Request::FilteredListWithStatsAndData(list) => ("getChildrenWithData", list.path),
        Request::ListRecursive(list) => ("getChildrenRecursive", list.path),
        Request::GetAllChildrenNumber(get) => ("getAllChildrenNumber", get.path),
        Request::GetEphemerals(get) => ("getEphemerals", get.prefix_path),
        Request::AddWatch(watch) => ("addWatch", watch.path),
        _ => return None,
    })
}

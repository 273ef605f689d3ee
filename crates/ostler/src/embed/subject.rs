//! What a request, or a part of one, asks for.

use wire::acl::{Acl, AclList};
use wire::opcode::Opcode;
use wire::record::Request;

use super::method::Method;

/// Bits of a create mode (`org.apache.zookeeper.CreateMode`).
const EPHEMERAL: [i32; 2] = [1, 3];
const SEQUENTIAL: [i32; 3] = [2, 3, 6];

/// What a request, or one part of a `multi`, asks for. What does not apply to the method has its
/// default.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Subject<'a> {
    /// The method that is asked; [`Method::Check`] for requests that have no method of their own.
    pub method: Method,
    /// ZooKeeper's name of the operation, such as `getChildren2`.
    pub operation: &'static str,
    /// The path of the znode; the scheme for [`Method::Authenticate`].
    pub path: &'a str,
    /// The data to write, or the credentials. Null counts as empty.
    pub data: &'a [u8],
    /// The version that the znode must have; -1 for any.
    pub version: i32,
    /// The ACL of a new znode, or the new one of an existing.
    pub acl: Vec<Acl>,
    /// The znode shall end with the session.
    pub is_ephemeral: bool,
    /// A number shall be appended to its path.
    pub is_sequential: bool,
    /// It shall be deleted after its last child.
    pub is_container: bool,
    /// It shall be deleted when it has been unchanged for this number of milliseconds.
    pub ttl_ms: Option<i64>,
    /// The client also wants to be notified of the next change.
    pub watches: bool,
}

impl<'a> Subject<'a> {
    fn new(method: Method, operation: Opcode, path: &'a str) -> Subject<'a> {
        Subject {
            method,
            operation: operation.name(),
            path,
            data: &[],
            version: -1,
            acl: Vec::new(),
            is_ephemeral: false,
            is_sequential: false,
            is_container: false,
            ttl_ms: None,
            watches: false,
        }
    }

    /// The subject of a request; `None` if no method is asked about such requests.
    pub(super) fn of(request: &Request<'a>) -> Option<Subject<'a>> {
        let new = |method, path| Subject::new(method, request.opcode(), path);
        Some(match request {
            Request::GetData(get) => Subject { watches: get.watch, ..new(Method::GetData, get.path) },
            Request::Exists(exists) => Subject { watches: exists.watch, ..new(Method::Exists, exists.path) },
            Request::GetChildren(list) => {
                Subject { watches: list.watch, ..new(Method::GetChildren, list.path) }
            }
            Request::GetChildren2(list) => {
                Subject { watches: list.watch, ..new(Method::GetChildren, list.path) }
            }
            Request::GetAcl(get) => new(Method::GetAcl, get.path),
            Request::Create(create) => Subject {
                data: create.data.unwrap_or_default(),
                acl: entries(&create.acl),
                is_ephemeral: EPHEMERAL.contains(&create.flags),
                is_sequential: SEQUENTIAL.contains(&create.flags),
                is_container: create.kind == Opcode::CreateContainer,
                ttl_ms: create.ttl,
                ..new(Method::Create, create.path)
            },
            Request::Delete(delete) => {
                Subject { version: delete.version, ..new(Method::Delete, delete.path) }
            }
            Request::SetData(set) => Subject {
                data: set.data.unwrap_or_default(),
                version: set.version,
                ..new(Method::SetData, set.path)
            },
            Request::SetAcl(set) => {
                Subject { acl: entries(&set.acl), version: set.version, ..new(Method::SetAcl, set.path) }
            }
            Request::Auth(auth) => {
                Subject { data: auth.auth.unwrap_or_default(), ..new(Method::Authenticate, auth.scheme) }
            }
            Request::Check(check) => Subject { version: check.version, ..new(Method::Check, check.path) },
            _ => return None,
        })
    }
}

fn entries(acl: &AclList<'_>) -> Vec<Acl> {
    let entry = |(perms, scheme, id): (i32, Option<&str>, Option<&str>)| {
        Acl::new(perms, scheme.unwrap_or_default(), id.unwrap_or_default())
    };
    acl.nullable().map(entry).collect()
}

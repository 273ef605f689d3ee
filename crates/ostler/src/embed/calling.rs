//! Which methods are asked about a request, in which order.

use wire::ErrorCode;

use super::call::Call;
use super::method::{Method, Methods};
use super::request::Request;
use super::subject::Subject;
use super::value::Value;
use super::zoo_server::ZooServer;

/// Asks the methods of a server about one subject.
pub(super) fn ask(
    server: &impl ZooServer,
    methods: Methods,
    request: &Request,
    subject: &Subject<'_>,
) -> Result<Option<Value>, ErrorCode> {
    let call = Call::new(request, subject);
    if methods.has(Method::Check) && subject.method != Method::Authenticate {
        server.check(&call)?;
    }
    let path = subject.path;
    let is_derived = subject.method == Method::Exists && methods.has(Method::GetData);
    if !methods.has(subject.method) && !is_derived {
        return Ok(None);
    }
    Ok(match subject.method {
        Method::GetData => server.get_data(&call, path)?.map(Value::Data),
        Method::GetChildren => server.get_children(&call, path)?.map(Value::Children),
        Method::Exists => server.exists(&call, path)?.map(Value::Done),
        Method::Create => server.create(&call, path, subject.data)?.map(Value::Created),
        Method::Delete => server.delete(&call, path)?.map(Value::Done),
        Method::SetData => server.set_data(&call, path, subject.data)?.map(Value::Done),
        Method::GetAcl => server.get_acl(&call, path)?.map(Value::Acl),
        Method::SetAcl => server.set_acl(&call, path, &subject.acl)?.map(Value::Done),
        Method::Authenticate => server.authenticate(&call, path, subject.data)?.map(Value::Identity),
        Method::Check | Method::SessionOpened | Method::SessionClosed => None,
    })
}

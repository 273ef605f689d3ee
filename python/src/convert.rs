//! Between the values of Python and those of the server.

use ostler::embed::{Acl, AclList, Children, Created, Data, Done, ErrorCode, Method, Stat, Value};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyString, PyTuple};

use crate::calls::Support;

/// The name of a method in Python.
pub(crate) fn name(method: Method) -> &'static str {
    match method {
        Method::GetData => "get_data",
        Method::GetChildren => "get_children",
        Method::Exists => "exists",
        Method::Create => "create",
        Method::Delete => "delete",
        Method::SetData => "set_data",
        Method::GetAcl => "get_acl",
        Method::SetAcl => "set_acl",
        Method::Authenticate => "authenticate",
        Method::SessionOpened => "session_opened",
        Method::SessionClosed => "session_closed",
        _ => "check",
    }
}

/// What a method has returned, as the client's answer; `None` lets the built-in tree go on.
pub(crate) fn answer(
    support: &Support,
    method: Method,
    path: &str,
    returned: &Bound<'_, PyAny>,
) -> PyResult<Result<Option<Value>, ErrorCode>> {
    if returned.is_none() {
        return Ok(Ok(None));
    }
    let value = match method {
        Method::GetData => Value::Data(data(returned)?),
        Method::GetChildren => Value::Children(children(returned)?),
        Method::Exists => match found(support, returned)? {
            Some(done) => Value::Done(done),
            None => return Ok(Err(ErrorCode::NoNode)),
        },
        Method::Create => Value::Created(created(path, returned)?),
        Method::GetAcl => {
            Value::Acl(AclList { entries: acl(returned)?, stat: stat_of(returned)?.unwrap_or_default() })
        }
        Method::Authenticate => Value::Identity(text(returned, "authenticate returns the client's id")?),
        _ => Value::Done(done(support, method, returned)?),
    };
    Ok(Ok(Some(value)))
}

fn wrong(expected: &str, got: &Bound<'_, PyAny>) -> PyErr {
    let kind = got.get_type().name().map_or_else(|_| "?".to_owned(), |name| name.to_string());
    PyTypeError::new_err(format!("{expected}, not {kind}"))
}

fn text(value: &Bound<'_, PyAny>, expected: &str) -> PyResult<String> {
    match value.cast::<PyString>() {
        Ok(text) => text.extract(),
        Err(_) => Err(wrong(&format!("{expected} as a str, or None"), value)),
    }
}

/// The `Stat` that a value of `zoo_server` carries.
fn stat_of(value: &Bound<'_, PyAny>) -> PyResult<Option<Stat>> {
    match value.getattr_opt("stat")? {
        Some(stat) if !stat.is_none() => self::stat(&stat).map(Some),
        _ => Ok(None),
    }
}

fn data(returned: &Bound<'_, PyAny>) -> PyResult<Data> {
    let Ok(bytes) = returned.cast::<PyBytes>() else {
        return Err(wrong("get_data returns bytes, zoo_server.Data or None", returned));
    };
    let bytes_only = bytes.is_exact_instance_of::<PyBytes>();
    let stat = if bytes_only { None } else { stat_of(returned)? };
    Ok(Data { bytes: bytes.as_bytes().to_vec(), stat: stat.unwrap_or_default() })
}

fn children(returned: &Bound<'_, PyAny>) -> PyResult<Children> {
    const EXPECTED: &str = "get_children returns a list of names, zoo_server.Children or None";
    if returned.is_instance_of::<PyString>() || returned.is_instance_of::<PyBytes>() {
        return Err(wrong(EXPECTED, returned));
    }
    let names = returned.try_iter().map_err(|_| wrong(EXPECTED, returned))?;
    let names = names.map(|name| name.and_then(|name| text(&name, "a name among the children")));
    let names = names.collect::<PyResult<Vec<String>>>()?;
    if let Some(name) = names.iter().find(|name| name.is_empty() || name.contains('/')) {
        return Err(PyTypeError::new_err(format!("get_children returns names, not paths: {name:?}")));
    }
    Ok(Children { names, stat: stat_of(returned)?.unwrap_or_default() })
}

fn created(asked: &str, returned: &Bound<'_, PyAny>) -> PyResult<Created> {
    let path = text(returned, "create returns the path")?;
    if !path.starts_with(asked) {
        let why =
            format!("create was asked for {asked:?} and returns {path:?}, which does not begin with it");
        return Err(PyTypeError::new_err(why));
    }
    Ok(Created { path, stat: stat_of(returned)?.unwrap_or_default() })
}

fn found(support: &Support, returned: &Bound<'_, PyAny>) -> PyResult<Option<Done>> {
    match returned.cast::<PyBool>() {
        Ok(is_found) => Ok(is_found.is_true().then(Done::default)),
        Err(_) => done(support, Method::Exists, returned).map(Some),
    }
}

fn done(support: &Support, method: Method, returned: &Bound<'_, PyAny>) -> PyResult<Done> {
    if returned.is(&support.done) {
        return Ok(Done::default());
    }
    if returned.is_instance_of::<PyTuple>()
        && let Ok(stat) = stat(returned)
    {
        return Ok(Done { stat });
    }
    let or_bool = if method == Method::Exists { "a bool, " } else { "" };
    let expected = format!("{} returns {or_bool}zoo_server.DONE, a Stat or None", name(method));
    Err(wrong(&expected, returned))
}

/// A `Stat`: eleven numbers, as kazoo has them too.
fn stat(value: &Bound<'_, PyAny>) -> PyResult<Stat> {
    type Fields = (i64, i64, i64, i64, i32, i32, i32, i64, i32, i32, i64);
    let fields = value.extract::<Fields>().map_err(|_| wrong("a Stat has eleven numbers", value))?;
    let (czxid, mzxid, ctime, mtime, version, cversion, aversion, ephemeral_owner, ..) = fields;
    let (.., data_length, num_children, pzxid) = fields;
    Ok(Stat {
        czxid,
        mzxid,
        ctime,
        mtime,
        version,
        cversion,
        aversion,
        ephemeral_owner,
        data_length,
        num_children,
        pzxid,
    })
}

/// A list of ACLs, each with `perms` and `id`, which has `scheme` and `id`, as kazoo has them too.
pub(crate) fn acl(value: &Bound<'_, PyAny>) -> PyResult<Vec<Acl>> {
    let entries = value.try_iter().map_err(|_| wrong("an ACL is a list of zoo_server.ACL", value))?;
    entries
        .map(|entry| {
            let entry = entry?;
            let id = entry.getattr("id")?;
            Ok(Acl::new(
                entry.getattr("perms")?.extract()?,
                id.getattr("scheme")?.extract::<String>()?,
                id.getattr("id")?.extract::<String>()?,
            ))
        })
        .collect()
}

/// Values of `zoo_server` for what the built-in tree answers.
impl Support {
    pub(crate) fn stat<'py>(&self, py: Python<'py>, stat: &Stat) -> PyResult<Bound<'py, PyAny>> {
        let fields = (
            stat.czxid,
            stat.mzxid,
            stat.ctime,
            stat.mtime,
            stat.version,
            stat.cversion,
            stat.aversion,
            stat.ephemeral_owner,
            stat.data_length,
            stat.num_children,
            stat.pzxid,
        );
        self.stat_type.bind(py).call1(fields)
    }

    pub(crate) fn data<'py>(&self, py: Python<'py>, data: &Data) -> PyResult<Bound<'py, PyAny>> {
        self.data_type.bind(py).call1((PyBytes::new(py, &data.bytes), self.stat(py, &data.stat)?))
    }

    pub(crate) fn children<'py>(&self, py: Python<'py>, children: &Children) -> PyResult<Bound<'py, PyAny>> {
        self.children_type.bind(py).call1((&children.names, self.stat(py, &children.stat)?))
    }

    pub(crate) fn created<'py>(&self, py: Python<'py>, created: &Created) -> PyResult<Bound<'py, PyAny>> {
        self.path_type.bind(py).call1((&created.path, self.stat(py, &created.stat)?))
    }

    pub(crate) fn acl_list<'py>(&self, py: Python<'py>, acl: &[Acl]) -> PyResult<Bound<'py, PyAny>> {
        let entries: Vec<_> = acl.iter().map(|entry| (entry.perms, &entry.id.scheme, &entry.id.id)).collect();
        self.acls.bind(py).call1((entries,))
    }

    /// The exception for an error of the server.
    pub(crate) fn error(&self, py: Python<'_>, code: ErrorCode) -> PyErr {
        match self.exception.bind(py).call1((code as i32,)) {
            Ok(exception) => PyErr::from_value(exception),
            Err(error) => error,
        }
    }
}

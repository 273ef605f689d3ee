//! The request that a thread is calling a method about.

use std::cell::RefCell;
use std::sync::Arc;

use ostler::embed::{self, Call, ErrorCode, Subject};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::calls::Support;
use crate::convert;

thread_local! {
    static CURRENT: RefCell<Option<Request>> = const { RefCell::new(None) };
}

/// What a client asks for.
#[pyclass(frozen, module = "zoo_server")]
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) request: Arc<embed::Request>,
    /// Which of its subjects.
    pub(crate) index: usize,
    pub(crate) support: Arc<Support>,
}

impl Request {
    /// Runs `call` as a call about this request.
    pub(crate) fn during<T>(self, call: impl FnOnce() -> T) -> T {
        let before = CURRENT.replace(Some(self));
        let result = call();
        CURRENT.set(before);
        result
    }

    fn with<T>(&self, look: impl FnOnce(&Subject<'_>) -> T) -> PyResult<T> {
        let subjects = self.request.subjects();
        let subject = subjects.get(self.index);
        subject
            .map(look)
            .ok_or_else(|| pyo3::exceptions::PyRuntimeError::new_err("a request without a subject"))
    }

    /// Lets the built-in tree execute something, without the interpreter.
    fn built_in<T: Send>(
        &self,
        py: Python<'_>,
        execute: impl FnOnce(&Call<'_>) -> Result<T, ErrorCode> + Send,
    ) -> PyResult<T> {
        let subjects = self.request.subjects();
        let Some(subject) = subjects.get(self.index) else {
            return Err(pyo3::exceptions::PyRuntimeError::new_err("a request without a subject"));
        };
        let call = Call::new(&self.request, subject);
        py.detach(|| execute(&call)).map_err(|code| self.support.error(py, code))
    }
}

/// The request that this thread is calling a method about.
#[pyfunction]
pub(crate) fn current() -> Option<Request> {
    CURRENT.with_borrow(Clone::clone)
}

#[pymethods]
impl Request {
    #[getter]
    fn method(&self) -> PyResult<&'static str> {
        self.with(|subject| convert::name(subject.method))
    }

    #[getter]
    fn operation(&self) -> PyResult<&'static str> {
        self.with(|subject| subject.operation)
    }

    #[getter]
    fn path(&self) -> PyResult<String> {
        self.with(|subject| subject.path.to_owned())
    }

    #[getter]
    fn data<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        self.with(|subject| PyBytes::new(py, subject.data))
    }

    #[getter]
    fn version(&self) -> PyResult<i32> {
        self.with(|subject| subject.version)
    }

    #[getter]
    fn acl<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.with(|subject| self.support.acl_list(py, &subject.acl))?
    }

    #[getter]
    fn ephemeral(&self) -> PyResult<bool> {
        self.with(|subject| subject.is_ephemeral)
    }

    #[getter]
    fn sequential(&self) -> PyResult<bool> {
        self.with(|subject| subject.is_sequential)
    }

    #[getter]
    fn container(&self) -> PyResult<bool> {
        self.with(|subject| subject.is_container)
    }

    #[getter]
    fn ttl_ms(&self) -> PyResult<Option<i64>> {
        self.with(|subject| subject.ttl_ms)
    }

    #[getter]
    fn watch(&self) -> PyResult<bool> {
        self.with(|subject| subject.watches)
    }

    #[getter]
    fn session(&self) -> i64 {
        self.request.session()
    }

    #[getter]
    fn address(&self) -> (String, u16) {
        let peer = self.request.peer();
        (peer.ip().to_canonical().to_string(), peer.port())
    }

    #[getter]
    fn identities(&self) -> Vec<(String, String)> {
        self.request.identities().map(|(scheme, id)| (scheme.to_owned(), id.to_owned())).collect()
    }

    #[getter]
    fn multi(&self) -> bool {
        self.request.is_multi()
    }

    fn __repr__(&self) -> PyResult<String> {
        self.with(|subject| {
            format!(
                "<Request {} {:?} of session {:#x}>",
                subject.operation,
                subject.path,
                self.request.session()
            )
        })
    }

    fn built_in_get_data<'py>(&self, py: Python<'py>, path: &str) -> PyResult<Bound<'py, PyAny>> {
        let data = self.built_in(py, |call| call.get_data(path))?;
        self.support.data(py, &data)
    }

    fn built_in_get_children<'py>(&self, py: Python<'py>, path: &str) -> PyResult<Bound<'py, PyAny>> {
        let children = self.built_in(py, |call| call.get_children(path))?;
        self.support.children(py, &children)
    }

    fn built_in_exists<'py>(&self, py: Python<'py>, path: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
        let found = self.built_in(py, |call| match call.exists(path) {
            Err(ErrorCode::NoNode) => Ok(None),
            found => found.map(Some),
        })?;
        found.map(|done| self.support.stat(py, &done.stat)).transpose()
    }

    fn built_in_create<'py>(&self, py: Python<'py>, path: &str, data: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        let created = self.built_in(py, |call| call.create(path, data))?;
        self.support.created(py, &created)
    }

    fn built_in_delete(&self, py: Python<'_>, path: &str) -> PyResult<()> {
        self.built_in(py, |call| call.delete(path)).map(drop)
    }

    fn built_in_set_data<'py>(
        &self,
        py: Python<'py>,
        path: &str,
        data: &[u8],
    ) -> PyResult<Bound<'py, PyAny>> {
        let done = self.built_in(py, |call| call.set_data(path, data))?;
        self.support.stat(py, &done.stat)
    }

    fn built_in_get_acl<'py>(&self, py: Python<'py>, path: &str) -> PyResult<Bound<'py, PyAny>> {
        let acl = self.built_in(py, |call| call.get_acl(path))?;
        self.support.acl_list(py, &acl.entries)
    }

    fn built_in_set_acl<'py>(
        &self,
        py: Python<'py>,
        path: &str,
        acl: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let acl = convert::acl(acl)?;
        let done = self.built_in(py, |call| call.set_acl(path, &acl))?;
        self.support.stat(py, &done.stat)
    }
}

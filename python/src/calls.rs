//! Calls of the methods that a class overrides.

use std::sync::Arc;

use ostler::embed::{self, ErrorCode, Handler, Method, Methods, Subject, Value};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::convert;
use crate::current::Request;

/// What the package gives to the native part.
#[derive(FromPyObject)]
pub(crate) struct Support {
    /// `zoo_server.DONE`.
    pub(crate) done: Py<PyAny>,
    pub(crate) stat_type: Py<PyAny>,
    pub(crate) data_type: Py<PyAny>,
    pub(crate) children_type: Py<PyAny>,
    pub(crate) path_type: Py<PyAny>,
    /// Makes a list of ACLs from tuples.
    pub(crate) acls: Py<PyAny>,
    /// Makes the exception for a code.
    pub(crate) exception: Py<PyAny>,
    /// The code for an exception, which it logs if it is a surprise.
    pub(crate) code: Py<PyAny>,
    /// Whether a value must be awaited.
    pub(crate) is_awaitable: Py<PyAny>,
    /// Runs a coroutine, and calls a function with its result or its exception.
    pub(crate) spawn: Py<PyAny>,
    /// Runs a coroutine to its end.
    pub(crate) run: Py<PyAny>,
}

/// The methods of one server.
pub(crate) struct Calls {
    pub(crate) methods: Methods,
    /// The bound methods, by their number in [`Method::ALL`].
    pub(crate) bound: Vec<Option<Py<PyAny>>>,
    pub(crate) support: Arc<Support>,
}

/// What came of a call.
enum Called {
    Answered(Result<Option<Value>, ErrorCode>),
    /// A coroutine, which must run to its end.
    Coroutine(Py<PyAny>),
}

impl Calls {
    fn bound(&self, method: Method) -> Option<&Py<PyAny>> {
        self.bound[method as usize].as_ref()
    }

    /// Calls what the class has for a subject.
    fn call(&self, py: Python<'_>, request: &Request, subject: &Subject<'_>) -> PyResult<Called> {
        if let Some(check) = self.bound(Method::Check).filter(|_| subject.method != Method::Authenticate) {
            let checked = self.finished(py, check.bind(py).call1((request.clone(),))?)?;
            if !checked.is_none() {
                return Err(PyTypeError::new_err("check returns None, or raises an exception"));
            }
        }
        // What get_data knows exists.
        let derived = || self.bound(Method::GetData).filter(|_| subject.method == Method::Exists);
        let own = self.bound(subject.method).filter(|_| subject.method != Method::Check);
        let Some(method) = own else {
            return match derived() {
                None => Ok(Called::Answered(Ok(None))),
                Some(get_data) => self.exists_by(py, get_data, subject.path).map(Called::Answered),
            };
        };
        let method = method.bind(py);
        let returned = match subject.method {
            Method::Create | Method::SetData | Method::Authenticate => {
                method.call1((subject.path, PyBytes::new(py, subject.data)))?
            }
            Method::SetAcl => method.call1((subject.path, self.support.acl_list(py, &subject.acl)?))?,
            _ => method.call1((subject.path,))?,
        };
        if self.is_awaitable(&returned)? {
            return Ok(Called::Coroutine(returned.unbind()));
        }
        convert::answer(&self.support, subject.method, subject.path, &returned).map(Called::Answered)
    }

    fn exists_by(
        &self,
        py: Python<'_>,
        get_data: &Py<PyAny>,
        path: &str,
    ) -> PyResult<Result<Option<Value>, ErrorCode>> {
        let returned = self.finished(py, get_data.bind(py).call1((path,))?)?;
        let answer = convert::answer(&self.support, Method::GetData, path, &returned)?;
        Ok(answer.map(|value| match value {
            Some(Value::Data(embed::Data { bytes, mut stat })) => {
                stat.data_length = i32::try_from(bytes.len()).unwrap_or(i32::MAX);
                Some(Value::Done(embed::Done { stat }))
            }
            _ => None,
        }))
    }

    fn is_awaitable(&self, returned: &Bound<'_, PyAny>) -> PyResult<bool> {
        let is_plain = returned.is_none() || returned.is_instance_of::<PyBytes>();
        Ok(!is_plain && self.support.is_awaitable.bind(returned.py()).call1((returned,))?.extract()?)
    }

    /// The result of a method, which may be a coroutine.
    fn finished<'py>(&self, py: Python<'py>, returned: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        match self.is_awaitable(&returned)? {
            true => self.support.run.bind(py).call1((returned,)),
            false => Ok(returned),
        }
    }

    /// The client's error for an exception.
    fn code(&self, py: Python<'_>, method: &str, error: &PyErr) -> ErrorCode {
        let code = self.support.code.bind(py).call1((method, error.value(py)));
        let code = code.and_then(|code| code.extract::<i32>());
        code.ok().and_then(ErrorCode::from_i32).unwrap_or(ErrorCode::SystemError)
    }

    /// Asks about one subject, and waits for the answer.
    fn ask(
        &self,
        py: Python<'_>,
        request: &Arc<embed::Request>,
        index: usize,
        subject: &Subject<'_>,
    ) -> Result<Option<Value>, ErrorCode> {
        let view = Request { request: Arc::clone(request), index, support: Arc::clone(&self.support) };
        let called = view.clone().during(|| match self.call(py, &view, subject)? {
            Called::Answered(answer) => Ok(answer),
            Called::Coroutine(coroutine) => {
                let returned = self.support.run.bind(py).call1((coroutine,))?;
                convert::answer(&self.support, subject.method, subject.path, &returned)
            }
        });
        called.unwrap_or_else(|error: PyErr| Err(self.code(py, convert::name(subject.method), &error)))
    }

    /// Asks about a request with one subject. A coroutine answers later.
    fn handle_one(&self, py: Python<'_>, request: Arc<embed::Request>) {
        let subjects = request.subjects();
        let Some(subject) = subjects.first() else { return request.finish(Ok(None)) };
        let view = Request { request: Arc::clone(&request), index: 0, support: Arc::clone(&self.support) };
        let name = convert::name(subject.method);
        let called = view.clone().during(|| {
            Ok(match self.call(py, &view, subject)? {
                Called::Answered(answer) => Some(answer),
                Called::Coroutine(coroutine) => {
                    let finish = Finish { view: view.clone(), method: subject.method };
                    self.support.spawn.bind(py).call1((coroutine, view.clone(), finish))?;
                    None
                }
            })
        });
        match called {
            Ok(Some(answer)) => request.finish(answer),
            Ok(None) => {}
            Err(error) => {
                let error: PyErr = error;
                request.finish(Err(self.code(py, name, &error)));
            }
        }
    }

    fn tell(&self, method: Method, session: i64) {
        let Some(bound) = self.bound(method) else { return };
        Python::attach(|py| {
            let told = bound.bind(py).call1((session,)).and_then(|returned| self.finished(py, returned));
            if let Err(error) = told {
                self.code(py, convert::name(method), &error);
            }
        });
    }
}

impl Handler for Calls {
    fn methods(&self) -> Methods {
        self.methods
    }

    fn handle(&self, request: embed::Request) {
        let request = Arc::new(request);
        Python::attach(|py| {
            if !request.has_parts() {
                return self.handle_one(py, request);
            }
            let mut index = 0..;
            request.answer_parts(&mut |subject| {
                self.ask(py, &request, index.next().unwrap_or_default(), subject)
            });
        });
    }

    fn session_opened(&self, session: i64) {
        self.tell(Method::SessionOpened, session);
    }

    fn session_closed(&self, session: i64) {
        self.tell(Method::SessionClosed, session);
    }

    fn on_thread(&self, run: &mut dyn FnMut()) {
        // The thread keeps its state in the interpreter: making one for each call would take longer
        // than the call.
        Python::attach(|_| run());
    }

    fn while_waiting(&self, wait: &mut (dyn FnMut() + Send)) {
        Python::attach(|py| py.detach(wait));
    }
}

/// Finishes a request when its coroutine has ended.
#[pyclass(frozen)]
struct Finish {
    view: Request,
    method: Method,
}

#[pymethods]
impl Finish {
    fn __call__(&self, py: Python<'_>, returned: &Bound<'_, PyAny>, error: Option<i32>) {
        let Request { request, support, .. } = &self.view;
        if let Some(code) = error {
            return request.finish(Err(ErrorCode::from_i32(code).unwrap_or(ErrorCode::SystemError)));
        }
        let path = request.subjects().first().map(|subject| subject.path.to_owned()).unwrap_or_default();
        let answer = convert::answer(support, self.method, &path, returned);
        request.finish(answer.unwrap_or_else(|error| {
            let code = support.code.bind(py).call1((convert::name(self.method), error.value(py)));
            let code = code.and_then(|code| code.extract::<i32>()).ok().and_then(ErrorCode::from_i32);
            Err(code.unwrap_or(ErrorCode::SystemError))
        }));
    }
}

//! A running server.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ostler::embed::{self, Announcer, Method, Methods, Stopper};
use parking_lot::{Condvar, Mutex};
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;

use crate::calls::{Calls, Support};
use crate::{convert, logs};

/// How the server has ended, once it has.
#[derive(Default)]
struct Ended {
    how: Mutex<Option<Result<(), String>>>,
    changed: Condvar,
}

/// A server, which runs from the start of this value until it is stopped.
#[pyclass(frozen)]
pub(crate) struct Server {
    stopper: Stopper,
    announcer: Announcer,
    ended: Arc<Ended>,
    address: (String, u16),
    admin_port: Option<u16>,
    /// The process it runs in: a forked child has none of its threads.
    process: u32,
}

impl Server {
    fn check_process(&self) -> PyResult<()> {
        if self.process == std::process::id() {
            return Ok(());
        }
        Err(PyRuntimeError::new_err(format!(
            "the server runs in process {}, from which this one was forked: start servers after forking, or use \
             the multiprocessing start method \"spawn\"",
            self.process
        )))
    }
}

#[pymethods]
impl Server {
    /// Starts a server whose class overrides these methods.
    #[new]
    #[pyo3(signature = (methods, support, *, data_dir, host, port, config, deadline, settings))]
    #[expect(clippy::too_many_arguments, reason = "they have names in Python")]
    fn new(
        py: Python<'_>,
        methods: HashMap<String, Py<PyAny>>,
        support: Support,
        data_dir: Option<PathBuf>,
        host: Option<String>,
        port: Option<u16>,
        config: Option<PathBuf>,
        deadline: f64,
        settings: Vec<(String, String)>,
    ) -> PyResult<Server> {
        let deadline = Duration::try_from_secs_f64(deadline)
            .map_err(|_| PyValueError::new_err("deadline is a number of seconds above 0"))?;
        let mut builder = embed::Server::builder().deadline(deadline);
        if let Some(config) = config {
            builder = builder.config(config);
        }
        if let Some(data_dir) = data_dir {
            builder = builder.data_dir(data_dir);
        }
        if let Some(host) = host {
            builder = builder.address(host);
        }
        if let Some(port) = port {
            builder = builder.port(port);
        }
        for (key, value) in &settings {
            builder = builder.set(key, value);
        }
        let mut methods = methods;
        let bound: Vec<_> = Method::ALL.iter().map(|method| methods.remove(convert::name(*method))).collect();
        let overridden: Vec<Method> = Method::ALL
            .into_iter()
            .zip(&bound)
            .filter(|(_, bound)| bound.is_some())
            .map(|(m, _)| m)
            .collect();
        let calls = Calls { methods: Methods::of(&overridden), bound, support: Arc::new(support) };
        logs::start();
        let started = py.detach(|| builder.start_with(calls));
        let server = started.map_err(|error| match error {
            embed::StartError::Serve(_) | embed::StartError::System(_) => PyOSError::new_err(reasons(&error)),
            _ => PyValueError::new_err(reasons(&error)),
        })?;
        let address = server.address();
        let running = Server {
            stopper: server.stopper(),
            announcer: server.announcer(),
            ended: Arc::default(),
            address: (address.ip().to_string(), address.port()),
            admin_port: server.admin_address().map(|address| address.port()),
            process: std::process::id(),
        };
        let ended = Arc::clone(&running.ended);
        let wait = move || {
            let how = server.wait().map_err(|error| error.to_string());
            *ended.how.lock() = Some(how);
            ended.changed.notify_all();
        };
        std::thread::Builder::new().name("zoo-server".to_owned()).spawn(wait)?;
        Ok(running)
    }

    #[getter]
    fn address(&self) -> (String, u16) {
        self.address.clone()
    }

    #[getter]
    fn admin_port(&self) -> Option<u16> {
        self.admin_port
    }

    /// Asks the server to stop.
    fn stop(&self) -> PyResult<()> {
        self.check_process()?;
        self.stopper.stop();
        Ok(())
    }

    /// Waits until it has stopped, at most this many seconds; whether it has.
    fn wait(&self, py: Python<'_>, seconds: f64) -> PyResult<bool> {
        self.check_process()?;
        let patience = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::ZERO);
        let how = py.detach(|| {
            let mut how = self.ended.how.lock();
            if how.is_none() {
                self.ended.changed.wait_for(&mut how, patience);
            }
            how.clone()
        });
        match how {
            None => Ok(false),
            Some(Ok(())) => Ok(true),
            Some(Err(why)) => Err(PyOSError::new_err(why)),
        }
    }

    /// Fires the watches for a change of data outside the built-in tree.
    fn announce(&self, py: Python<'_>, kind: &str, path: &str) -> PyResult<()> {
        self.check_process()?;
        let announced = py.detach(|| match kind {
            "created" => self.announcer.created(path),
            "deleted" => self.announcer.deleted(path),
            _ => self.announcer.changed(path),
        });
        announced.map_err(|error| PyValueError::new_err(error.to_string()))
    }
}

/// An error with its causes.
fn reasons(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let why = error.to_string();
        if !text.contains(&why) {
            text.push_str(": ");
            text.push_str(&why);
        }
        cause = error.source();
    }
    text
}

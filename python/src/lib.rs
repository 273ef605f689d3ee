//! The native part of the Python package `zoo_server`: the server and the calls of methods.
//!
//! Methods are called on threads of `ostler::embed`, each attached to the interpreter once and for
//! its life. No thread of the server itself ever waits for the interpreter.

mod calls;
mod convert;
mod current;
mod logs;
mod server;

use pyo3::prelude::*;

#[pymodule(gil_used = true)]
mod _native {
    #[pymodule_export]
    use super::current::{Request, current};
    #[pymodule_export]
    use super::logs::{close_log, next_log};
    #[pymodule_export]
    use super::server::Server;
}

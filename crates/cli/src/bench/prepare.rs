//! The znodes a run works on: created before it, deleted after it.

use super::error::BenchError;
use super::generator::{Generator, Plan};
use super::link::Link;
use super::link_stream::LinkStream;
use super::measure::{Control, Window};
use super::progress::Progress;
use super::requests::{Pace, Worker};
use super::template::Family;
use client::{Connection, CreateMode, Options, RequestError, Tls};
use std::sync::atomic::AtomicBool;
use wire::record::{Delete, Request};
use wire::{AclList, ErrorCode};

/// Sessions, and requests in flight on each, while many znodes are created: enough for any server's
/// group commit.
const FILL_CONNECTIONS: u32 = 16;
const FILL_DEPTH: usize = 64;
/// What the address of a server begins with that is spoken to with TLS.
pub(super) const TLS_PREFIX: &str = "tls://";
/// Deletes in flight at once while cleaning up.
const DELETES: usize = 1000;

/// One namespace with the znodes of this run.
pub(super) struct Ground<'a> {
    pub(super) server: &'a str,
    pub(super) plan: &'a Plan,
    pub(super) tls: Option<&'a Tls>,
    pub(super) stop: &'a AtomicBool,
    pub(super) progress: &'a Progress,
}

/// Opens a session.
pub(super) fn connect(servers: &str, tls: Option<&Tls>) -> Result<Connection, BenchError> {
    connect_one(servers.split(',').next().unwrap_or_default(), tls)
}

/// `tls` is for servers whose address begins with `tls://`.
fn connect_one(server: &str, tls: Option<&Tls>) -> Result<Connection, BenchError> {
    let (address, tls) = match server.strip_prefix(TLS_PREFIX) {
        Some(address) => (address, tls.cloned()),
        None => (server, None),
    };
    let options = Options { session_timeout_ms: 30_000, tls, ..Options::default() };
    Connection::connect(address, &options)
        .map_err(|source| BenchError::Connect { server: server.into(), source })
}

/// Opens `count` sessions for the load generator, in turn on each of the servers.
pub(super) fn links(servers: &str, count: u32, tls: Option<&Tls>) -> Result<Vec<Link>, BenchError> {
    let servers = servers.split([',', ';']).cycle().take(count as usize);
    servers
        .map(|server| {
            let (tcp, tls) = connect_one(server, tls)?.into_stream();
            tcp.set_nonblocking(true).map_err(BenchError::Generator)?;
            Ok(Link::new(LinkStream::new(mio::net::TcpStream::from_std(tcp), tls)))
        })
        .collect()
}

impl Ground<'_> {
    fn error(&self, path: &str, source: RequestError) -> BenchError {
        BenchError::Request { server: self.server.into(), path: path.into(), source }
    }

    /// Creates the parents, and the znode of the fan-out.
    pub(super) fn create_parents(&self) -> Result<(), BenchError> {
        let mut connection = connect(self.server, self.tls)?;
        for path in self.plan.layout.parents() {
            match connection.create(path, Some(b""), AclList::OPEN, CreateMode::Persistent) {
                Ok(_) => {}
                Err(RequestError::Refused(ErrorCode::NodeExists)) => {}
                Err(source) => return Err(self.error(path, source)),
            }
        }
        connection.close().map_err(|source| self.error("/", source))
    }

    /// Creates the first `count` znodes of `family`.
    pub(super) fn fill(&self, family: &Family, count: u64) -> Result<(), BenchError> {
        if count == 0 {
            return Ok(());
        }
        let links = links(self.server, FILL_CONNECTIONS, self.tls)?;
        let control = Control::new(Window::unbounded(), self.stop, 1);
        let generator = Generator::fill(self.plan, family, count);
        let worker = Worker::new(&control, Pace::Closed { depth: FILL_DEPTH }, generator, links)
            .map_err(BenchError::Generator)?;
        let tally = std::thread::scope(|scope| {
            let filling = scope.spawn(|| worker.run());
            while !filling.is_finished() {
                std::thread::sleep(Progress::TICK);
                self.progress.filling(self.server, &control, count);
            }
            filling.join().expect("the load generator does not panic")
        })
        .map_err(BenchError::Generator)?;
        if control.stopped() {
            return Err(BenchError::Interrupted);
        }
        match tally.errors().first_key_value() {
            None => Ok(()),
            Some((code, count)) => Err(BenchError::Fill {
                server: self.server.into(),
                path: family.parent.clone(),
                count: *count,
                code: *code,
            }),
        }
    }

    /// Deletes the children of `parent`, of which none has children. That some are gone already is
    /// no error.
    pub(super) fn empty(&self, connection: &mut Connection, parent: &str) -> Result<(), BenchError> {
        let names = match connection.get_children(parent, false) {
            Err(RequestError::Refused(ErrorCode::NoNode)) => return Ok(()),
            names => names.map_err(|source| self.error(parent, source))?,
        };
        self.progress.emptying(self.server, names.len());
        for names in names.chunks(DELETES) {
            for name in names {
                let path = format!("{parent}/{name}");
                connection.send(&Request::Delete(Delete { path: &path, version: -1 }));
            }
            while connection.pending() > 0 {
                let answer = connection.receive().map_err(|source| self.error(parent, source))?;
                match answer.result {
                    Ok(_) | Err(RequestError::Refused(ErrorCode::NoNode)) => {}
                    Err(source) => return Err(self.error(parent, source)),
                }
            }
        }
        Ok(())
    }

    /// Deletes the children of `parent` over a session of its own.
    pub(super) fn empty_again(&self, parent: &str) -> Result<(), BenchError> {
        let mut connection = connect(self.server, self.tls)?;
        self.empty(&mut connection, parent)?;
        connection.close().map_err(|source| self.error(parent, source))
    }

    /// Deletes everything this run has created.
    pub(super) fn clean_up(&self) -> Result<(), BenchError> {
        let mut connection = connect(self.server, self.tls)?;
        // The root is the first parent and has to go last.
        for parent in self.plan.layout.parents().into_iter().rev() {
            self.empty(&mut connection, parent)?;
            match connection.delete(parent, -1) {
                Ok(()) | Err(RequestError::Refused(ErrorCode::NoNode)) => {}
                Err(source) => return Err(self.error(parent, source)),
            }
        }
        connection.close().map_err(|source| self.error("/", source))
    }
}

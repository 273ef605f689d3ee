//! PostgreSQL, as Debian has it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Certificate;
use crate::database::{Process, install, libraries};

/// A PostgreSQL server with data of its own, which takes prepared transactions. It ends with this
/// value.
pub struct Postgres {
    programs: PathBuf,
    process: Process,
    prepared_max: u32,
    flushes: bool,
    demands_tls: bool,
}

impl Postgres {
    /// Starts a server; `None`, with a line that says why, where PostgreSQL cannot be had.
    ///
    /// It does not flush: what a process has written survives its death, though not a power cut.
    pub fn start() -> Option<Self> {
        Self::start_with(64, false, None)
    }

    /// As [`Self::start`], for measurements: it flushes.
    pub fn start_flushing() -> Option<Self> {
        Self::start_with(64, true, None)
    }

    /// As [`Self::start`], with a `max_prepared_transactions`.
    pub fn start_with_prepared_max(prepared_max: u32) -> Option<Self> {
        Self::start_with(prepared_max, false, None)
    }

    /// As [`Self::start`], with this certificate; it takes no connections without TLS.
    pub fn start_with_tls(certificate: &Certificate) -> Option<Self> {
        Self::start_with(64, false, Some(certificate))
    }

    fn start_with(prepared_max: u32, flushes: bool, certificate: Option<&Certificate>) -> Option<Self> {
        let programs = install("postgres")?;
        let demands_tls = certificate.is_some();
        let mut server = Self { programs, process: Process::new(), prepared_max, flushes, demands_tls };
        let mut initdb = server.command("initdb");
        initdb.args(["--no-sync", "--auth=trust", "--username=ostler", "--encoding=UTF8", "--locale=C"]);
        server.process.prepare(initdb.arg("--pgdata").arg(server.data()), b"");
        if let Some(certificate) = certificate {
            server.process.keep(certificate);
            let who = "hostssl all all 127.0.0.1/32 trust\n";
            std::fs::write(server.data().join("pg_hba.conf"), who).expect("the rules of access");
        }
        server.launch();
        Some(server)
    }

    /// What a client connects with: `host=… port=… user=… dbname=…`.
    pub fn connection(&self) -> String {
        format!("host=127.0.0.1 port={} user=ostler dbname=postgres", self.process.port)
    }

    /// Ends the server as a power switch would.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts the server after [`Self::kill`], with its data.
    ///
    /// # Panics
    /// If it does not start.
    pub fn launch(&mut self) {
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data()).args(["-p", &self.process.port.to_string()]);
        let prepared_max = format!("max_prepared_transactions={}", self.prepared_max);
        let sockets = format!("unix_socket_directories={}", self.process.folder.path().display());
        let fsync = if self.flushes { "fsync=on" } else { "fsync=off" };
        let settings = ["listen_addresses=127.0.0.1", "shared_buffers=16MB", &prepared_max, &sockets, fsync];
        for setting in settings {
            command.args(["-c", setting]);
        }
        if self.demands_tls {
            let (certificate, key) = self.process.certificate();
            for (setting, file) in [("ssl_cert_file", certificate), ("ssl_key_file", key)] {
                command.args(["-c", &format!("{setting}={}", file.display())]);
            }
            command.args(["-c", "ssl=on"]);
        }
        let (programs, port) = (self.programs.clone(), self.process.port.to_string());
        // It takes connections before it has recovered what it finds.
        let is_ready = || {
            let mut ask = Command::new(programs.join("pg_isready"));
            ask.args(["--quiet", "--host=127.0.0.1", "--port", &port]);
            with_libraries(&programs, &mut ask);
            ask.status().is_ok_and(|status| status.success())
        };
        self.process.launch(&mut command, is_ready);
    }

    /// Stops all its processes, until [`Self::resume`].
    pub fn stop(&self) {
        self.process.stop();
    }

    /// Lets a stopped server go on.
    pub fn resume(&self) {
        self.process.resume();
    }

    /// What it has written to its log.
    pub fn log(&self) -> String {
        self.process.log()
    }

    fn data(&self) -> PathBuf {
        self.process.folder.path().join("data")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = self.process.command(&self.programs.join(program));
        with_libraries(&self.programs, &mut command);
        command
    }
}

/// Programs that were unpacked have their libraries beside them.
fn with_libraries(programs: &Path, command: &mut Command) {
    if let Some(root) = programs.ancestors().nth(5).filter(|root| *root != Path::new("/")) {
        command.env("LD_LIBRARY_PATH", libraries(root));
    }
}

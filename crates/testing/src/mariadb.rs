//! MariaDB, as Debian has it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Certificate;
use crate::database::{Process, install, libraries};

/// The user of the tests, who may do what an application may: all in one database, nothing else.
const USER: &str = "CREATE DATABASE bank;\n\
    FLUSH PRIVILEGES;\n\
    CREATE USER 'ostler'@'%' IDENTIFIED BY 'ostler';\n\
    GRANT ALL ON bank.* TO 'ostler'@'%';\n";

/// A MariaDB server with data of its own, the database `bank` and a user of it. It ends with this
/// value.
pub struct MariaDb {
    root: PathBuf,
    process: Process,
    demands_tls: bool,
}

impl MariaDb {
    /// Starts a server; `None`, with a line that says why, where MariaDB cannot be had.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start() -> Option<Self> {
        Self::start_with(None)
    }

    /// As [`Self::start`], with this certificate; it takes no connections without TLS.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_with_tls(certificate: &Certificate) -> Option<Self> {
        Self::start_with(Some(certificate))
    }

    fn start_with(certificate: Option<&Certificate>) -> Option<Self> {
        let root = install("mariadb")?;
        let mut server = Self { root, process: Process::new(), demands_tls: certificate.is_some() };
        if let Some(certificate) = certificate {
            server.process.keep(certificate);
        }
        let mut tables = b"CREATE DATABASE mysql;\nUSE mysql;\n".to_vec();
        for script in ["mysql_system_tables", "mysql_performance_tables", "mysql_system_tables_data"] {
            let script = server.share().join(format!("{script}.sql"));
            tables.extend(std::fs::read(script).expect("the tables of MariaDB"));
        }
        tables.extend(USER.as_bytes());
        for folder in [server.data(), server.temporary()] {
            std::fs::create_dir(&folder).expect("a folder");
            server.process.own(&folder);
        }
        server.process.prepare(server.command().args(["--bootstrap", "--enforce-storage-engine="]), &tables);
        server.launch();
        Some(server)
    }

    /// What a client connects with, as a URL.
    pub fn url(&self) -> String {
        format!("mysql://ostler:ostler@127.0.0.1:{}/bank", self.process.port)
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
        let mut command = self.command();
        command.args(["--bind-address=127.0.0.1", "--skip-name-resolve", "--innodb-lock-wait-timeout=5"]);
        command.arg(format!("--port={}", self.process.port));
        command.arg(format!("--socket={}", self.process.folder.path().join("socket").display()));
        if self.demands_tls {
            let (certificate, key) = self.process.certificate();
            command.arg(format!("--ssl-cert={}", certificate.display()));
            command.arg(format!("--ssl-key={}", key.display())).arg("--require-secure-transport=ON");
        }
        self.process.launch(&mut command, || true);
    }

    /// Stops the process, until [`Self::resume`].
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

    /// The folder of its temporary tables. MariaDB removes at its start those it finds, so in a
    /// folder of several servers one would remove the other's.
    fn temporary(&self) -> PathBuf {
        self.process.folder.path().join("temporary")
    }

    fn share(&self) -> PathBuf {
        self.root.join("usr/share/mysql")
    }

    fn command(&self) -> Command {
        let mut command = self.process.command(&self.root.join("usr/sbin/mariadbd"));
        if self.root != Path::new("/") {
            command.env("LD_LIBRARY_PATH", libraries(&self.root));
        }
        let share = self.share();
        command.arg("--no-defaults").arg(format!("--datadir={}", self.data().display()));
        command.arg(format!("--tmpdir={}", self.temporary().display()));
        command.arg(format!("--lc-messages-dir={}", share.display()));
        command.arg(format!("--character-sets-dir={}", share.join("charsets").display()));
        command.arg(format!("--plugin-dir={}", self.root.join("usr/lib/mysql/plugin").display()));
        command.args(["--innodb-buffer-pool-size=32M", "--innodb-log-file-size=16M"]);
        command
    }
}

//! Coordinators in Java, each in a process of its own: `tests/clients/transactions`, which see.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// The word that the program knows a coordinator by, and what the tables call it.
const COORDINATORS: [(&str, &str); 2] = [("atomikos", "Atomikos"), ("narayana", "Narayana")];
/// How long each transfers before anything is measured: Java compiles while it runs.
const WARM_UP: Duration = Duration::from_secs(10);

/// A process that transfers when asked. It ends with this value.
pub(crate) struct Java {
    name: &'static str,
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Java {
    /// Starts all coordinators, if the environment says where they are installed. Each has
    /// connections for `clients` clients, and its log below `folder`.
    pub(crate) fn start_all(postgres: &str, mariadb: &str, clients: usize, folder: &Path) -> Vec<Java> {
        let Some(installed) = std::env::var_os("TRANSACTIONS_JAVA") else {
            println!("TRANSACTIONS_JAVA names no folder: without the coordinators in Java");
            return Vec::new();
        };
        let urls = [postgres_url(postgres), mariadb_url(mariadb)];
        let start = |(word, name)| {
            let mut java = Java::start(Path::new(&installed), word, name, &urls, clients, folder);
            java.transfer(clients, WARM_UP);
            java
        };
        COORDINATORS.into_iter().map(start).collect()
    }

    fn start(
        installed: &Path,
        word: &str,
        name: &'static str,
        urls: &[String; 2],
        clients: usize,
        folder: &Path,
    ) -> Java {
        let logs = folder.join(word);
        std::fs::create_dir(&logs).expect("a folder for logs");
        let class_path = format!("{0}/classes:{0}/lib/*", installed.display());
        let mut command = Command::new("java");
        command.args(["-Xmx512m", "-cp", &class_path, "Transfers", word]).args(urls);
        command.arg(clients.to_string()).arg(&logs).current_dir(&logs);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("java");
        let input = child.stdin.take().expect("a pipe");
        let output = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut java = Java { name, child, input, output };
        assert_eq!(java.line(), "READY", "{name}");
        java
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Lets clients transfer for a time; how long each transfer took.
    pub(crate) fn transfer(&mut self, clients: usize, length: Duration) -> Vec<Duration> {
        writeln!(self.input, "{clients} {}", length.as_secs_f64()).expect("the program's input");
        let nanoseconds = |word: &str| Duration::from_nanos(word.parse().expect("nanoseconds"));
        self.line().split(' ').map(nanoseconds).collect()
    }

    fn line(&mut self) -> String {
        self.output.next().and_then(Result::ok).unwrap_or_else(|| panic!("{} has ended", self.name))
    }
}

impl Drop for Java {
    fn drop(&mut self) {
        self.child.kill().and_then(|()| self.child.wait()).expect("the program");
    }
}

fn postgres_url(connection: &str) -> String {
    let config: tokio_postgres::Config = connection.parse().expect("a connection string");
    let user = config.get_user().expect("a user");
    let database = config.get_dbname().expect("a database");
    format!("jdbc:postgresql://127.0.0.1:{}/{database}?user={user}", config.get_ports()[0])
}

fn mariadb_url(url: &str) -> String {
    let options = mysql_async::Opts::from_url(url).expect("a URL");
    let database = options.db_name().expect("a database");
    let (user, password) = (options.user().expect("a user"), options.pass().expect("a password"));
    let port = options.tcp_port();
    let login = format!("user={user}&password={password}");
    // As the others connect; the connector encrypts unless told.
    format!("jdbc:mariadb://127.0.0.1:{port}/{database}?{login}&sslMode=disable")
}

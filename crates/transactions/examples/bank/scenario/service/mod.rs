//! A service with accounts, which takes part over HTTP: a process of its own, whose journal
//! survives its death.

mod books;
mod routes;

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use transactions::{BranchId, Http};

pub(crate) use routes::service_if_asked;

/// What makes a process a service.
const VARIABLE: &str = "OSTLER_BANK_SERVICE";
/// How long it may take to come up. Only a failure waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a service is told.
#[derive(Serialize, Deserialize)]
struct Orders {
    port: u16,
    journal: PathBuf,
}

/// The work of a branch: a part of a transfer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Work {
    /// The transfer.
    pub(super) id: String,
    pub(super) account: u64,
    pub(super) amount: i64,
}

/// What the service answers to `GET /accounts`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Accounts {
    pub(super) balances: Vec<i64>,
    /// The transfers that were committed.
    pub(super) moved: BTreeSet<String>,
}

/// A service, as the bank sees it. It ends with this value.
pub(super) struct Service {
    folder: TempDir,
    port: u16,
    arguments: &'static [&'static str],
    child: Option<Child>,
}

impl Service {
    /// Starts a service without a journal.
    pub(super) fn start(arguments: &'static [&'static str]) -> Service {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut service = Service { folder, port: testing::free_port(), arguments, child: None };
        service.launch();
        service
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Starts it, with its journal, and waits until it takes connections.
    pub(super) fn launch(&mut self) {
        let orders = Orders { port: self.port, journal: self.folder.path().join("journal") };
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(self.arguments).env(VARIABLE, serde_json::to_string(&orders).expect("orders"));
        command.stdin(Stdio::null()).stdout(Stdio::null());
        self.child = Some(command.spawn().expect("start a service"));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err() {
            assert!(Instant::now() < deadline, "the service does not start");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it as a power switch would, except that the system keeps what it has written.
    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().and_then(|()| child.wait()).expect("kill the service");
        }
    }

    pub(super) fn stop(&self) {
        self.signal(Signal::STOP);
    }

    pub(super) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let id = self.child.as_ref().and_then(|child| i32::try_from(child.id()).ok());
        let process = id.and_then(Pid::from_raw).expect("a service that runs");
        kill_process(process, signal).expect("signal the service");
    }

    pub(super) async fn accounts(&self) -> Accounts {
        let answer = ask(&self.url(), "GET /accounts", "", String::new()).await.expect("the service");
        serde_json::from_str(&answer).expect("accounts")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Works in a branch of the service at a URL.
pub(super) async fn work(url: &str, branch: &BranchId, work: &Work) -> std::io::Result<()> {
    let header = format!("{}: {branch}\r\n", Http::HEADER);
    ask(url, "POST /work", &header, serde_json::to_string(work)?).await.map(drop)
}

/// One request in a connection of its own. Any answer but 200 is an error.
async fn ask(url: &str, request: &str, headers: &str, body: String) -> std::io::Result<String> {
    let host = url.trim_start_matches("http://");
    let mut stream = tokio::net::TcpStream::connect(host).await?;
    let length = body.len();
    let text = format!(
        "{request} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-type: application/json\r\n\
         {headers}content-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(text.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(body.to_owned()),
        _ => Err(std::io::Error::other(format!("the service answers {answer:?}"))),
    }
}

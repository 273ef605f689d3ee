//! Members by the configuration files, with `reconfig` off: what operators and their roles for
//! ansible write into zoo.cfg and myid.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use ostler_tests::ensemble::{Engine, Ensemble, PATIENCE, Role};
use ostler_tests::process::{four_letter_word, free_port, refused, serve_command};
use ostler_tests::session::{Session, create, get_data};

/// Five servers become three: two are stopped, their lines taken out of every zoo.cfg, and the
/// others restarted one after the other. Five still voted, without a word, and the loss of one more
/// ended the service.
#[test]
fn three_of_five_tolerate_the_loss_of_one() {
    for engine in [Engine::Raft, Engine::Paxos] {
        let mut ensemble = Ensemble::start(engine, 5, &[]);
        for server in [5, 4] {
            ensemble.stop(server);
            ensemble.set_role(server, Role::Outside);
        }
        for server in 1..=3 {
            ensemble.stop(server);
            ensemble.launch(server);
            ensemble.await_serving();
        }
        ensemble.await_votes();
        let leader = ensemble.await_leader();
        ensemble.kill(leader);
        let left = leader % 3 + 1;
        let mut session = ensemble.await_that("two of three go on", |ensemble| {
            ensemble.leader().filter(|new| *new != leader)?;
            Session::open(ensemble.address(left), 20_000)
        });
        session.must(&create("/of-two", b"data", 0));
        assert!(!ensemble.log(left).contains("panicked"), "{engine:?}");
    }
}

/// Servers of which each has its number and a zoo.cfg with the lines of all of `named`.
struct Servers {
    numbers: Vec<u32>,
    lines: Vec<String>,
    clients: Vec<SocketAddr>,
    children: Vec<Option<Child>>,
    folder: tempfile::TempDir,
}

impl Servers {
    fn start(numbers: &[u32]) -> Servers {
        let client = || SocketAddr::from(([127, 0, 0, 1], free_port()));
        let clients: Vec<_> = numbers.iter().map(|_| client()).collect();
        let line = |(number, client): (&u32, &SocketAddr)| {
            format!("server.{number}=127.0.0.1:{}:{};{client}\n", free_port(), free_port())
        };
        let lines = numbers.iter().zip(&clients).map(line).collect();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let children = numbers.iter().map(|_| None).collect();
        let mut servers = Servers { numbers: numbers.to_vec(), lines, clients, children, folder };
        for at in 0..numbers.len() {
            servers.configure(at, &servers.lines.concat());
            servers.launch(at);
        }
        servers
    }

    fn home(&self, at: usize) -> PathBuf {
        self.folder.path().join(at.to_string())
    }

    fn configure(&self, at: usize, lines: &str) {
        let home = self.home(at);
        fs::create_dir_all(home.join("data")).expect("make a folder");
        fs::write(home.join("data/myid"), format!("{}\n", self.numbers[at])).expect("write myid");
        let text = format!(
            "dataDir={}\ntickTime=1000\ninitLimit=10\nsyncLimit=5\nadmin.enableServer=false\n4lw.commands.whitelist=*\n{lines}",
            home.join("data").display()
        );
        fs::write(home.join("zoo.cfg"), text).expect("write zoo.cfg");
    }

    fn config(&self, at: usize) -> PathBuf {
        self.home(at).join("zoo.cfg")
    }

    fn launch(&mut self, at: usize) {
        let log = File::create(self.home(at).join("log")).expect("a log");
        let mut command = serve_command();
        command.arg("--config").arg(self.config(at)).stdout(Stdio::null()).stderr(log);
        self.children[at] = Some(command.spawn().expect("start a server"));
    }

    fn kill(&mut self, at: usize) {
        let mut child = self.children[at].take().expect("it runs");
        child.kill().expect("end it");
        child.wait().expect("it ends");
    }

    fn mode(&self, at: usize) -> Option<String> {
        let answer = four_letter_word(self.clients[at], "srvr");
        answer.lines().find_map(|line| line.strip_prefix("Mode: ")).map(str::to_owned)
    }

    /// A session at a server that is about to serve.
    fn session(&self, at: usize) -> Session {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(session) = Session::open(self.clients[at], 20_000) {
                return session;
            }
            assert!(Instant::now() < deadline, "no session: {}", log_of(&self.home(at)));
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn await_serving(&self) {
        let deadline = Instant::now() + PATIENCE;
        let running = || (0..self.children.len()).filter(|at| self.children[*at].is_some());
        while !running().all(|at| self.mode(at).is_some()) {
            assert!(Instant::now() < deadline, "not all serve: {}", log_of(&self.home(0)));
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for child in self.children.iter_mut().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn log_of(home: &Path) -> String {
    fs::read_to_string(home.join("log")).unwrap_or_default()
}

/// Counting roles and the ordinals of pods begin with 0, and others take a part of an address. None
/// of these started.
#[test]
fn numbers_begin_with_zero_and_are_higher_than_255() {
    let mut servers = Servers::start(&[0, 300, 100_000]);
    servers.await_serving();
    let mut session = servers.session(0);
    session.must(&create("/of-zero", b"data", 0));
    let leader = (0..3).find(|at| servers.mode(*at).as_deref() == Some("leader")).expect("one leads");
    servers.kill(leader);
    servers.await_serving();
    let mut session = servers.session((leader + 1) % 3);
    assert_eq!(session.must(&get_data("/of-zero")).buffer(), b"data");
}

/// The last one of three is started with a zoo.cfg that names it alone. It said that it was ready,
/// `imok` and `Mode: standalone`, and let every client hang. `ostler recover`, which the refusal
/// names, makes it serve.
#[test]
fn the_last_one_of_three_does_not_start_alone() {
    let mut servers = Servers::start(&[7, 8, 9]);
    servers.await_serving();
    let mut session = servers.session(0);
    session.must(&create("/of-three", b"data", 0));
    (0..3).for_each(|at| servers.kill(at));
    servers.configure(0, &servers.lines[0].clone());
    let (status, said) = refused(serve_command().arg("--config").arg(servers.config(0)));
    assert!(!status.success());
    assert!(said.contains("server.7, server.8, server.9 vote") && said.contains("ostler recover"), "{said}");
    assert!(!said.contains("is ready"), "{said}");
}

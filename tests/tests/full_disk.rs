//! A full file system: writes are refused, reads continue, and nothing acknowledged is
//! lost.
//!
//! The file system is a small tmpfs, which the test mounts in a mount namespace of its own: it
//! starts itself again under `unshare`. Where that is not permitted it says so and ends.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::net::SocketAddr;
use std::ops::RangeFrom;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use ostler_tests::ensemble::{Engine, Ensemble, Layout, PATIENCE};
use ostler_tests::process::Server;
use ostler_tests::request::{Request, op};
use ostler_tests::roaming_client::{Connected, RoamingClient};
use ostler_tests::session::{Session, create, get_data};

/// Where the file system is to be mounted; set for the copy of this test that may do so.
const MOUNT_POINT: &str = "OSTLER_TEST_MOUNT_POINT";

/// Room for the log's own segments, of which there are up to two, and some more.
const FILE_SYSTEM_MIB: u32 = 32;
const SEGMENT_KIB: &str = "4096";

/// Data of a znode written to an ensemble.
const BYTES: usize = 10_000;

const TIMEOUT_MS: i32 = 40_000;
const NO_NODE: i32 = -101;
const SYSTEM_ERROR: i32 = -1;

#[test]
fn a_full_file_system_refuses_writes_until_there_is_room_and_loses_nothing() {
    on_a_file_system_of_its_own(
        "a_full_file_system_refuses_writes_until_there_is_room_and_loses_nothing",
        on_a_full_disk,
    );
}

/// It left out what it could not store, and kept serving its clients: they read the same
/// old state for ever.
#[test]
fn a_member_with_a_full_file_system_serves_nobody_until_there_is_room() {
    on_a_file_system_of_its_own(
        "a_member_with_a_full_file_system_serves_nobody_until_there_is_room",
        |mount_point| {
            beside_a_full_disk(Engine::Raft, &mount_point.join("raft"));
            beside_a_full_disk(Engine::Paxos, &mount_point.join("paxos"));
        },
    );
}

/// Runs `test` in a copy of this process that has mounted a small file system; `name` is that of
/// the calling test.
fn on_a_file_system_of_its_own(name: &str, test: impl FnOnce(&Path)) {
    if let Some(mount_point) = std::env::var_os(MOUNT_POINT) {
        let mount_point = PathBuf::from(mount_point);
        assert!(mount(&mut Command::new("mount"), &mount_point), "what was possible a moment ago");
        return test(&mount_point);
    }
    let mount_point = tempfile::tempdir().expect("a folder");
    // For root in a container that has the right to mount, but not to make users.
    let ways = [&["--map-root-user", "--mount"][..], &["--mount"]];
    let own_mounts = |flags: &[&str]| {
        let mut unshare = Command::new("unshare");
        unshare.args(flags).arg("--");
        unshare
    };
    let Some(flags) =
        ways.into_iter().find(|flags| mount(own_mounts(flags).arg("mount"), mount_point.path()))
    else {
        eprintln!("skipped: no file system can be mounted here");
        return;
    };
    let output = own_mounts(flags)
        .arg(std::env::current_exe().expect("this test"))
        .args(["--exact", "--nocapture", name])
        .env(MOUNT_POINT, mount_point.path())
        .output()
        .expect("the test in its own namespace");
    let said =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

fn mount(command: &mut Command, mount_point: &Path) -> bool {
    let size = format!("size={FILE_SYSTEM_MIB}m");
    let output = command.args(["-t", "tmpfs", "-o", &size, "ostler-test"]).arg(mount_point).output();
    output.is_ok_and(|output| output.status.success())
}

fn on_a_full_disk(mount_point: &Path) {
    // No snapshot comes in between and makes room.
    let properties = [("preAllocSize", SEGMENT_KIB), ("snapCount", "100000000")];
    let mut server = Server::start_on(&mount_point.join("data"), &properties);
    let address = server.address();
    let mut writer = Writer::new(Session::open(address, TIMEOUT_MS).expect("a session"));
    for _ in 0..100 {
        assert_eq!(writer.create(1000), 0, "there is room");
    }

    let mut filler = Filler::new(mount_point.join("filler"));
    // The log has room of its own, which it made before, and while a file is being made some more
    // may come free.
    while writer.create(10_000) == 0 {
        filler.fill();
    }
    // What is left is too little for those, so it is filled up with small ones.
    while writer.create(0) == 0 {}
    for size in [0, 1, 1000, 100_000] {
        assert_eq!(writer.create(size), SYSTEM_ERROR, "{size} bytes");
    }
    writer.verify();
    let mut newcomers = std::iter::from_fn(|| Session::open(address, TIMEOUT_MS));
    assert!(newcomers.by_ref().take(1000).count() < 1000, "a session would have to be written");
    writer.verify();
    server.await_log("writes are refused");

    filler.remove();
    let deadline = Instant::now() + Duration::from_secs(60);
    while writer.create(1000) != 0 {
        assert!(Instant::now() < deadline, "there is room again: {}", server.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    for _ in 0..100 {
        assert_eq!(writer.create(10_000), 0, "it stays so");
    }
    server.kill();
    server.launch();
    writer.session = Session::resume(address, &writer.session.identity, 0, TIMEOUT_MS).expect("the session");
    writer.verify();
}

/// An ensemble of which one member has its data in this folder.
fn beside_a_full_disk(engine: Engine, folder: &Path) {
    let full = 2;
    let mut layout = Layout::voters(3);
    layout.data_dirs.insert(full, folder.join("data"));
    let settings = [format!("preAllocSize={SEGMENT_KIB}"), "snapCount=100000000".to_owned()];
    let mut ensemble = Ensemble::start_as(engine, layout, &settings.each_ref().map(String::as_str));
    let mut of_full = Session::open(ensemble.address(full), TIMEOUT_MS).expect("a session");
    let others: Vec<SocketAddr> = [1, 3].map(|server| ensemble.address(server)).to_vec();
    let mut client = RoamingClient::new(others, 0, TIMEOUT_MS);
    let filler_path = folder.join("filler");
    let mut filler = Filler::new(filler_path);
    let (mut numbers, mut written) = (1.., Vec::new());
    ensemble.await_that("the full one serves nobody", |ensemble| {
        filler.fill();
        write_some(&mut client, &mut numbers, &mut written);
        ensemble.mode(full).is_none().then_some(())
    });
    assert!(of_full.is_closed_within(PATIENCE), "{engine:?}: its clients are told");
    let before = written.len();
    ensemble.await_that("the others go on, whichever member led", |_| {
        write_some(&mut client, &mut numbers, &mut written);
        (written.len() > before + 100).then_some(())
    });
    assert_eq!(ensemble.mode(full), None, "{engine:?}: it does not show an old state");
    ensemble.await_log(full, "serves nobody until there is space");
    filler.remove();
    ensemble.await_serving();
    let mut session = Session::open(ensemble.address(full), TIMEOUT_MS).expect("a session");
    for path in &written {
        assert_eq!(
            session.must(&get_data(path)).buffer().len(),
            BYTES,
            "{engine:?}: {path} was acknowledged"
        );
    }
}

/// Creates some znodes and notes those that were acknowledged. While leadership changes, and on a
/// leader without room, some are not.
fn write_some(client: &mut RoamingClient, numbers: &mut RangeFrom<u32>, written: &mut Vec<String>) {
    if !client.is_connected() && client.connect() == Connected::Nowhere {
        return;
    }
    for path in numbers.by_ref().take(20).map(path) {
        let reply = client.ask_one(&create(&path, &[b'w'; BYTES], 0));
        if reply.is_some_and(|reply| reply.err == 0) {
            written.push(path);
        }
    }
}

/// Creates znodes and records the outcome of each.
struct Writer {
    session: Session,
    /// By number: the length of its data, or `None` if it was refused.
    znodes: BTreeMap<u32, Option<usize>>,
}

impl Writer {
    fn new(session: Session) -> Writer {
        Writer { session, znodes: BTreeMap::new() }
    }

    /// Creates the next one with `bytes` bytes; returns the error code.
    fn create(&mut self, bytes: usize) -> i32 {
        let number = self.znodes.len() as u32;
        let err = self.session.call(&create(&path(number), &vec![number as u8; bytes], 0)).err;
        assert!([0, SYSTEM_ERROR].contains(&err), "{err}");
        self.znodes.insert(number, (err == 0).then_some(bytes));
        err
    }

    /// Reads all of them: those that were acknowledged are there and whole, those refused are not.
    fn verify(&mut self) {
        for (number, bytes) in &self.znodes {
            let reply = self.session.call(&get_data(&path(*number)));
            match bytes {
                Some(bytes) => {
                    assert_eq!(reply.err, 0, "{number} was acknowledged");
                    assert!(reply.buffer() == vec![*number as u8; *bytes], "{number}");
                }
                None => assert_eq!(reply.err, NO_NODE, "{number} was refused"),
            }
        }
        let children = Request::Read { op: op::GET_CHILDREN, path: "/".to_owned(), watch: false };
        let there = self.znodes.values().flatten().count() as i32;
        assert_eq!(self.session.must(&children).count(), there + 1, "those and /zookeeper");
    }
}

fn path(number: u32) -> String {
    format!("/{number}")
}

/// A file that takes all the room there is.
struct Filler {
    path: PathBuf,
    file: File,
}

impl Filler {
    fn new(path: PathBuf) -> Filler {
        let file = File::create(&path).expect("the filler");
        Filler { path, file }
    }

    fn fill(&mut self) {
        let chunk = [b'f'; 64 << 10];
        let mut len = chunk.len();
        while len > 0 {
            match self.file.write(&chunk[..len]) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => len /= 2,
                Err(error) => panic!("the filler: {error}"),
            }
        }
    }

    fn remove(self) {
        std::fs::remove_file(self.path).expect("remove the filler");
    }
}

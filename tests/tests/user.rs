//! A server that is started as root and becomes another user.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use ostler_tests::process::{free_port, refused, serve_command};
use ostler_tests::session::{Session, create};

const PATIENCE: Duration = Duration::from_secs(30);

/// A number from a line of a file such as /etc/passwd.
fn number(file: &str, name: &str, field: usize) -> Option<u32> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.split(':').next() == Some(name))?;
    line.split(':').nth(field)?.parse().ok()
}

/// The values of a line of /proc/PID/status.
fn status(child: &Child, key: &str) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{}/status", child.id())).expect("its status");
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

/// A running server; dropping it kills it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A data directory of this user's, in a folder that every user can enter.
fn data_dir(folder: &Path, uid: u32, gid: u32) -> std::path::PathBuf {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("chmod 755");
    let data = folder.join(format!("data-{uid}-{gid}"));
    fs::create_dir(&data).expect("make a folder");
    chown(&data, Some(uid), Some(gid)).expect("chown");
    data
}

#[test]
fn a_server_started_as_root_becomes_another_user() {
    let (uid, gid) = (number("/etc/passwd", "nobody", 2), number("/etc/passwd", "nobody", 3));
    let daemon = number("/etc/group", "daemon", 2);
    let (true, Some(uid), Some(gid), Some(daemon)) = (rustix::process::geteuid().is_root(), uid, gid, daemon)
    else {
        eprintln!("skipped: it needs root, the user nobody and the group daemon");
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (user, gid) in [("nobody", gid), ("nobody:daemon", daemon)] {
        let data = data_dir(folder.path(), uid, gid);
        let log = folder.path().join("log");
        let output = File::create(&log).expect("a log");
        let port = free_port();
        let mut command = serve_command();
        command.args(["--user", user, "--client-port", &port.to_string(), "-Dadmin.enableServer=false"]);
        command.arg("--data-dir").arg(&data).stdin(Stdio::null());
        let child = command.stdout(output.try_clone().expect("a log")).stderr(output).spawn().expect("start");
        let running = Running(child);
        let child = &running.0;
        let deadline = Instant::now() + PATIENCE;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "{}", fs::read_to_string(&log).expect("the log"));
            std::thread::sleep(Duration::from_millis(50));
        }
        let mut session = Session::open(address, 20_000).expect("a session");
        session.must(&create("/a", b"data", 0));
        assert_eq!(status(child, "Uid"), [(); 4].map(|()| uid.to_string()), "{user}");
        assert_eq!(status(child, "Gid"), [(); 4].map(|()| gid.to_string()), "{user}");
        assert_eq!(status(child, "Groups"), [gid.to_string()], "{user}");
        assert_eq!(status(child, "NoNewPrivs"), ["1"], "{user}");
        assert!(status(child, "CapEff").iter().all(|set| set.bytes().all(|b| b == b'0')), "{user}");
        for task in fs::read_dir(format!("/proc/{}/task", child.id())).expect("its threads") {
            let owner = task.expect("a thread").metadata().expect("its owner").uid();
            assert_eq!(owner, uid, "{user}: every thread");
        }
        let mut count = 0;
        for file in fs::read_dir(&data).expect("its data") {
            let (path, found) =
                file.map(|file| (file.path(), file.metadata().expect("a file"))).expect("a file");
            assert_eq!((found.uid(), found.mode() & 0o007), (uid, 0), "{user}: {}", path.display());
            count += 1;
        }
        assert!(count > 0);
    }
}

#[test]
fn a_user_that_cannot_be_become_stops_the_start() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (user, expected) in [
        ("nosuchuser", "there is no user nosuchuser"),
        ("root", "that is root"),
        ("nobody:nosuch", "no group nosuch"),
    ] {
        let mut command = serve_command();
        command
            .args(["--user", user, "--client-port", "0"])
            .arg("--data-dir")
            .arg(folder.path().join("data"));
        let (status, said) = refused(&mut command);
        assert!(!status.success() && said.contains(expected), "{user}: {said}");
        assert!(!folder.path().join("data").exists(), "{user}: it has opened nothing");
    }
}

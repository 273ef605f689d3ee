//! A server whose `dataDir` and `dataLogDir` do not belong together says so and does not start.

use std::fs;
use std::path::Path;

use ostler_tests::process::{Server, Signal, free_port, refused, serve_command};
use ostler_tests::session::{Session, create, get_data};

const TIMEOUT_MS: i32 = 30_000;

/// What a server says that must not start on these directories.
fn refusal(data_dir: &Path, log_dir: &Path) -> String {
    let mut command = serve_command();
    command.arg("--data-dir").arg(data_dir).arg("--client-port").arg(free_port().to_string());
    command.args(["--client-port-address", "127.0.0.1", "-Dadmin.enableServer=false"]);
    command.arg(format!("-DdataLogDir={}", log_dir.display()));
    let (status, text) = refused(&mut command);
    assert!(!status.success());
    text
}

fn start(data_dir: &Path, log_dir: &Path) -> Server {
    Server::start_on(data_dir, &[("dataLogDir", &log_dir.to_string_lossy())])
}

/// Somebody gives the log a disk of its own: `dataLogDir` came into the configuration, the server
/// started with an empty log and served an empty tree. So it did when the two were swapped.
#[test]
fn a_log_that_gets_a_directory_of_its_own_has_to_move_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let [data, log] = ["data", "log"].map(|name| folder.path().join(name));
    let mut server = start(&data, &data);
    let mut session = Session::open(server.address(), TIMEOUT_MS).expect("a session");
    session.must(&create("/a", b"precious", 0));
    assert!(server.stop(Signal::TERM).success());

    let text = refusal(&data, &log);
    let expected = format!("Move that folder to {}/log", log.display());
    assert!(text.contains(&expected), "{text}");
    fs::rename(data.join("log"), log.join("log")).expect("the folder moves");

    let mut server = start(&data, &log);
    let mut session = Session::open(server.address(), TIMEOUT_MS).expect("a session");
    assert_eq!(session.must(&get_data("/a")).buffer(), b"precious");
    assert!(server.stop(Signal::TERM).success());

    assert!(refusal(&log, &data).contains("swapped"));
    assert!(refusal(&data, &data).contains("not here but in"));
    assert!(refusal(&folder.path().join("empty"), &log).contains("holds the log of server.1"));
    let alias = folder.path().join("alias");
    std::os::unix::fs::symlink(&data, &alias).expect("a link");
    assert!(refusal(&data, &alias).contains("under another name"));
}

//! The package as Python has it: its own tests, its types, and foreign clients of the printed
//! program.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use ostler_tests::client::{install, requirements};
use ostler_tests::process::{free_port, has_program, repository};
use tempfile::TempDir;

/// The package with the native part that `cargo test` has built, as pip would install it.
struct Package {
    folder: TempDir,
    /// A Python that has what the tests need.
    python: PathBuf,
}

impl Package {
    /// `None`, with a line that says why, without Python.
    fn new() -> Option<Package> {
        let python = requirements("zoo_server", &repository().join("python/tests/requirements.txt"))?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let package = folder.path().join("zoo_server");
        fs::create_dir(&package).expect("make a folder");
        for file in fs::read_dir(repository().join("python/zoo_server")).expect("the package") {
            let file = file.expect("a file").path();
            if file.is_file() {
                fs::copy(&file, package.join(file.file_name().expect("a name"))).expect("copy a file");
            }
        }
        fs::copy(native(), package.join("_native.abi3.so")).expect("copy the native part");
        Some(Package { folder, python })
    }

    /// Python, with the package.
    fn python(&self) -> Command {
        let mut command = Command::new(&self.python);
        command.current_dir(repository().join("python"));
        for path in ["PYTHONPATH", "MYPYPATH"] {
            command.env(path, self.folder.path());
        }
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    fn run(&self, arguments: &[&str]) {
        let status = self.python().args(arguments).status().expect("Python");
        assert!(status.success(), "{arguments:?}: {status}");
    }
}

/// The native part, beside this test.
fn native() -> PathBuf {
    let test = std::env::current_exe().expect("this test's own path");
    test.parent().expect("a folder").join("libzoo_server_native.so")
}

#[test]
fn the_package_passes_its_tests() {
    let Some(package) = Package::new() else { return };
    let tests = repository().join("python/tests");
    let mut pytest = package.python();
    // Python looks for packages in the folder that it starts in first.
    pytest.current_dir(package.folder.path());
    let status = pytest.args(["-m", "pytest", "-q", "-p", "no:cacheprovider"]).arg(tests).status();
    assert!(status.expect("Python").success(), "pytest fails");
}

#[test]
fn type_checkers_find_nothing() {
    let Some(package) = Package::new() else { return };
    let cache = package.folder.path().join("mypy");
    let cache = cache.to_str().expect("a printable path");
    package.run(&["-m", "mypy", "--cache-dir", cache]);
    if has_program("node") {
        let python = package.python.to_str().expect("a printable path");
        package.run(&["-m", "pyright", "--pythonpath", python]);
    }
}

/// The program that the README prints, as a process. Dropping it ends it.
struct Printed {
    child: Child,
    address: String,
    _folder: TempDir,
}

impl Printed {
    fn start(package: &Package) -> Printed {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let program = repository().join("python/examples/my_server.py");
        let port = free_port();
        // As printed it listens on 2181.
        let run = format!(
            "import runpy, zoo_server\n\
             zoo_server.ZooServer.__init__.__kwdefaults__['port'] = {port}\n\
             runpy.run_path('{}', run_name='__main__')",
            program.display()
        );
        let mut command = package.python();
        command.current_dir(folder.path()).args(["-c", &run]).stdout(Stdio::piped());
        let mut child = command.spawn().expect("start Python");
        let mut said = String::new();
        let output = child.stdout.take().expect("its output");
        BufReader::new(output).read_line(&mut said).expect("its first line");
        let address = format!("127.0.0.1:{port}");
        assert!(said.contains(&address), "{said:?}");
        Printed { child, address, _folder: folder }
    }
}

impl Drop for Printed {
    fn drop(&mut self) {
        // It has ended if the test failed.
        let _ended = self.child.kill();
        self.child.wait().expect("the program ends");
    }
}

fn java(main: &str, arguments: &[&str]) -> Option<Command> {
    let folder = install("java", &["java", "javac", "mvn"])?;
    let class_path = format!("{0}/classes:{0}/lib/*", folder.display());
    let mut command = Command::new("java");
    command.args(["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
    command.args(["-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", &class_path, main]);
    command.args(arguments);
    Some(command)
}

#[test]
fn curator_and_zk_cli_work_with_the_printed_program() {
    let Some(package) = Package::new() else { return };
    let printed = Printed::start(&package);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let place = folder.path().to_str().expect("a printable path");
    let Some(mut turns) = java("Turns", &["lock", "/turns/at", "3", place, &printed.address]) else { return };
    let output = turns.output().expect("Java");
    assert!(String::from_utf8_lossy(&output.stdout).contains("PASSED"), "{output:?}");
    assert_eq!(said_by_zk_cli(&printed.address, folder.path()), ["[turns, zk, zookeeper]", "value"]);
}

/// What zkCli prints for a list and for data.
fn said_by_zk_cli(address: &str, folder: &Path) -> Vec<String> {
    let mut command =
        java("org.apache.zookeeper.ZooKeeperMain", &["-server", address]).expect("Java, as before");
    command.current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut cli = command.spawn().expect("start zkCli");
    let commands = "create /zk value\nls /\nget /zk\nquit\n";
    cli.stdin.take().expect("its input").write_all(commands.as_bytes()).expect("write commands");
    let output = cli.wait_with_output().expect("zkCli");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let wanted = |line: &&str| *line == "value" || line.starts_with("[turns");
    said.lines().map(str::trim).filter(wanted).map(str::to_owned).collect()
}

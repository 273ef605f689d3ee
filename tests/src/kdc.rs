//! A Kerberos server of its own for a test: MIT's, on a free port, with its files in a folder.

use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::client::install;
use crate::process::{self, private_folder};

/// The realm of all principals.
pub const REALM: &str = "EXAMPLE.ORG";

/// A running Kerberos server. Dropping it ends it.
#[derive(Debug)]
pub struct Kdc {
    folder: TempDir,
    installed: PathBuf,
    child: Child,
}

impl Kdc {
    /// Starts a server that knows nobody; `None` without the tools to get one.
    pub fn start() -> Option<Kdc> {
        let installed = install("kerberos", &["apt-get", "dpkg-deb"])?;
        let folder = private_folder();
        let port = free_port();
        write_configuration(folder.path(), &installed, port);
        run(folder.path(), &installed, "usr/sbin/kdb5_util", &["create", "-s", "-r", REALM, "-P", "master"]);
        let mut command = command(folder.path(), &installed, "usr/sbin/krb5kdc");
        command.arg("-n").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("start krb5kdc");
        let kdc = Kdc { folder, installed, child };
        kdc.await_answer(port);
        Some(kdc)
    }

    /// Adds a principal with a random key, which goes into this key table.
    pub fn add(&self, principal: &str, keytab: &Path) {
        let keytab = keytab.display();
        for query in [format!("addprinc -randkey {principal}"), format!("ktadd -k {keytab} {principal}")] {
            run(self.folder.path(), &self.installed, "usr/sbin/kadmin.local", &["-r", REALM, "-q", &query]);
        }
    }

    /// A file in the server's folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What programs need in their environment to use this server and its libraries.
    pub fn environment(&self) -> Vec<(String, String)> {
        environment(self.folder.path(), &self.installed)
    }

    /// The server answers anything that it cannot read with an error, when it is there.
    fn await_answer(&self, port: u16) {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a time-out");
        let deadline = Instant::now() + Duration::from_secs(20);
        let log = || fs::read_to_string(self.file("kdc.log")).unwrap_or_default();
        while !log().contains("commencing operation") {
            assert!(Instant::now() < deadline, "the Kerberos server does not start: {}", log());
            let _ = socket.send_to(b"?", ("127.0.0.1", port));
            let _ = socket.recv(&mut [0; 16]);
        }
    }
}

impl Drop for Kdc {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that is free for TCP and UDP.
fn free_port() -> u16 {
    let mut ports = std::iter::repeat_with(process::free_port);
    ports.find(|port| UdpSocket::bind(("127.0.0.1", *port)).is_ok()).expect("a free port")
}

fn write_configuration(folder: &Path, installed: &Path, port: u16) {
    let (here, libraries) = (folder.display(), libraries(installed));
    let plugins = libraries.join("krb5/plugins/kdb");
    let client = format!(
        "[libdefaults]\n default_realm = {REALM}\n dns_lookup_kdc = false\n dns_lookup_realm = false\n\
         \x20rdns = false\n udp_preference_limit = 1\n[realms]\n {REALM} = {{\n  kdc = 127.0.0.1:{port}\n }}\n\
         [dbmodules]\n db_module_dir = {}\n[logging]\n kdc = FILE:{here}/kdc.log\n",
        plugins.display()
    );
    let server = format!(
        "[kdcdefaults]\n kdc_listen = 127.0.0.1:{port}\n kdc_tcp_listen = 127.0.0.1:{port}\n\
         [realms]\n {REALM} = {{\n  database_name = {here}/principal\n  key_stash_file = {here}/stash\n }}\n"
    );
    fs::write(folder.join("krb5.conf"), client).expect("write krb5.conf");
    fs::write(folder.join("kdc.conf"), server).expect("write kdc.conf");
}

fn libraries(installed: &Path) -> PathBuf {
    let all = fs::read_dir(installed.join("usr/lib")).expect("the libraries");
    let mut folders = all.map(|entry| entry.expect("a folder").path());
    folders.find(|path| path.join("libkdb5.so.10").exists()).expect("a folder with libkdb5.so.10")
}

fn environment(folder: &Path, installed: &Path) -> Vec<(String, String)> {
    let text = |path: PathBuf| path.display().to_string();
    vec![
        ("KRB5_CONFIG".into(), text(folder.join("krb5.conf"))),
        ("KRB5_KDC_PROFILE".into(), text(folder.join("kdc.conf"))),
        ("KRB5RCACHENAME".into(), format!("dfl:{}", text(folder.join("replays")))),
        ("LD_LIBRARY_PATH".into(), text(libraries(installed))),
    ]
}

fn command(folder: &Path, installed: &Path, program: &str) -> Command {
    let mut command = Command::new(installed.join(program));
    command.envs(environment(folder, installed));
    command
}

fn run(folder: &Path, installed: &Path, program: &str, arguments: &[&str]) {
    let output = command(folder, installed, program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("run {program}: {error}"));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !text.contains("while"), "{program} {arguments:?}: {text}");
}

/// The section of a JAAS file for a login by Kerberos.
pub fn krb5_section(name: &str, principal: &str, keytab: &Path) -> String {
    let keytab = keytab.display();
    format!(
        "{name} {{ com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true storeKey=true\n\
         useTicketCache=false keyTab=\"{keytab}\" principal=\"{principal}@{REALM}\"; }};\n"
    )
}

//! Stores and certificates as other people's programs make them: OpenSSL, and the JDK's keytool.

mod chains;
mod handshakes;
mod stores;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use tempfile::TempDir;

use crate::Secret;
use crate::certificate::Certificate;
use crate::store;

/// The password of all stores.
const PASSWORD: &str = "changeit";

/// Whether the machine has these programs. A test without them says so and passes, except where
/// nothing may be skipped.
fn have(tools: &[&str]) -> bool {
    let lacks = |tool: &&&str| {
        let found =
            Command::new("sh").args(["-c", &format!("command -v {tool}")]).stdout(Stdio::null()).status();
        !found.is_ok_and(|status| status.success())
    };
    let Some(missing) = tools.iter().find(lacks) else { return true };
    let must_run = std::env::var("CI").is_ok_and(|value| value == "true")
        || std::env::var_os("OSTLER_REQUIRE_CLIENTS").is_some();
    assert!(!must_run, "no {missing}");
    println!("skipped: no {missing}");
    false
}

/// A folder with keys and certificates made by OpenSSL.
struct Workshop(TempDir);

impl Workshop {
    fn new() -> Workshop {
        Workshop(tempfile::tempdir().expect("a temporary folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("write a file");
    }

    /// Runs a program in the folder; answers what it prints.
    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = Command::new(program).args(arguments).current_dir(self.0.path()).output();
        let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {said}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// Makes `NAME.key` and `NAME.pem` for a subject, signed by the certificate `issuer` or by
    /// itself. Without extensions OpenSSL makes a certificate of version 1.
    fn certificate(&self, name: &str, subject: &str, issuer: Option<&str>, extensions: &str) {
        let file = |kind: &str| format!("{name}.{kind}");
        let curve = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
        self.run("openssl", &[&["genpkey"][..], &curve, &["-out", &file("key")]].concat());
        let request = ["req", "-new", "-utf8", "-key", &file("key"), "-subj", subject, "-out", &file("csr")];
        self.run("openssl", &[&request[..], &["-multivalue-rdn"]].concat());
        let csr = file("csr");
        let out = file("pem");
        let (extension_file, key) = (file("ext"), file("key"));
        self.write(&extension_file, extensions);
        let mut sign = vec!["x509", "-req", "-in", &csr, "-days", "30", "-out", &out];
        let (ca, ca_key) =
            issuer.map_or_else(Default::default, |ca| (format!("{ca}.pem"), format!("{ca}.key")));
        match issuer {
            Some(_) => sign.extend(["-CA", &ca, "-CAkey", &ca_key, "-CAcreateserial"]),
            None => sign.extend(["-signkey", &key]),
        }
        if !extensions.is_empty() {
            sign.extend(["-extfile", &extension_file]);
        }
        self.run("openssl", &sign);
    }

    /// The certificates of PEM files, in order.
    fn certificates(&self, names: &[&str]) -> Vec<Certificate> {
        let text: Vec<u8> = names.iter().flat_map(|name| self.read(&format!("{name}.pem"))).collect();
        let ders = store::trusted(&text, &Secret::default()).expect("certificates");
        ders.iter().map(|der| Certificate::parse(der).expect("a certificate")).collect()
    }

    /// Puts PEM files together into one.
    fn join(&self, names: &[&str], into: &str) -> PathBuf {
        let text: Vec<u8> = names.iter().flat_map(|name| self.read(name)).collect();
        fs::write(self.path(into), text).expect("write a file");
        self.path(into)
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    since.as_secs() as i64
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name)
}

//! Files with keys and passwords that every user can read.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;

/// A folder that every user can enter, with a file of each kind.
fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    set_mode(folder.path(), 0o755);
    for name in ["key.pem", "trust.pem", "password", "trust.password", "keytab"] {
        fs::write(folder.path().join(name), "secret").unwrap();
        set_mode(&folder.path().join(name), 0o600);
    }
    let keytab = folder.path().join("keytab");
    let jaas = format!(
        "Server {{ com.sun.security.auth.module.Krb5LoginModule required\n\
         keyTab=\"{}\" principal=\"zookeeper/host@EXAMPLE.ORG\"; }};\n",
        keytab.display()
    );
    fs::write(folder.path().join("jaas"), jaas).unwrap();
    set_mode(&folder.path().join("jaas"), 0o600);
    folder
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Loads a zoo.cfg that names all files, for clients and between servers.
fn load(folder: &TempDir, more: &str) -> Result<Loaded, ConfigError> {
    let file = |name: &str| folder.path().join(name).display().to_string();
    fs::create_dir_all(file("data")).unwrap();
    fs::write(file("data/myid"), "1").unwrap();
    let stores = |prefix: &str| {
        let location = |store: &str, name: &str| format!("{prefix}.{store}.location={}\n", file(name));
        let password = |store: &str, name: &str| format!("{prefix}.{store}.passwordPath={}\n", file(name));
        [
            location("keyStore", "key.pem"),
            location("trustStore", "trust.pem"),
            password("keyStore", "password"),
            password("trustStore", "trust.password"),
        ]
        .concat()
    };
    let text = format!(
        "dataDir={}\nclientPort=2181\nsecureClientPort=2281\nsslQuorum=true\n{}{}{}\
         metricsProvider.className=PrometheusMetricsProvider\nmetricsProvider.httpsPort=7443\n\
         java.security.auth.login.config={}\n\
         initLimit=10\nsyncLimit=5\nserver.1=127.0.0.1:2888:3888\nserver.2=127.0.0.1:2889:3889\n{more}",
        file("data"),
        stores("ssl"),
        stores("ssl.quorum"),
        stores("metricsProvider.ssl"),
        file("jaas"),
    );
    let config = PathBuf::from(file("zoo.cfg"));
    fs::write(&config, text).unwrap();
    load_with(&CommandLine { config: Some(config), ..CommandLine::default() }, &RealOutside)
}

/// The keys whose files are refused.
fn refused(folder: &TempDir) -> Vec<(String, String)> {
    match load(folder, "") {
        Ok(_) => Vec::new(),
        result => problems_of(result).into_iter().map(|problem| (problem.key, problem.allowed)).collect(),
    }
}

#[test]
fn key_files_that_every_user_can_read_are_refused() {
    const JAAS: &str = "java.security.auth.login.config";
    let of_tls =
        |key: &str| ["metricsProvider.ssl", "ssl", "ssl.quorum"].map(|of| format!("{of}.{key}")).to_vec();
    for (name, keys) in [
        ("key.pem", of_tls("keyStore.location")),
        ("password", of_tls("keyStore.passwordPath")),
        ("trust.password", of_tls("trustStore.passwordPath")),
        ("jaas", vec![JAAS.to_owned()]),
        ("keytab", vec![JAAS.to_owned()]),
        ("trust.pem", vec![]),
    ] {
        let folder = folder();
        assert_eq!(refused(&folder), [], "{name}");
        let path = folder.path().join(name);
        for mode in [0o604, 0o644, 0o602, 0o666] {
            set_mode(&path, mode);
            let refused = refused(&folder);
            let mut found: Vec<&str> = refused.iter().map(|(key, _)| key.as_str()).collect();
            found.sort_unstable();
            let mut keys = keys.clone();
            keys.sort_unstable();
            assert_eq!(found, keys, "{name} {mode:o}");
            let path = path.display();
            let expected = format!(
                "{path} (mode {mode:04o}): chmod o= {path}, or set ostler.allowReadableKeyFiles=true"
            );
            assert!(refused.iter().all(|(_, text)| text.ends_with(&expected)), "{refused:?}");
        }
        for mode in [0o600, 0o400, 0o640, 0o660, 0o601] {
            set_mode(&path, mode);
            assert_eq!(refused(&folder), [], "{name} {mode:o}");
        }
    }
}

#[test]
fn key_files_may_be_readable_where_that_is_allowed() {
    let folder = folder();
    set_mode(&folder.path().join("key.pem"), 0o644);
    let loaded = load(&folder, "ostler.allowReadableKeyFiles=true\n").unwrap();
    let shown: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    let expected = "ssl.keyStore.location: every user of this machine can read or change";
    assert!(shown.iter().any(|line| line.starts_with(expected)), "{shown:?}");
    assert!(load(&folder, "ostler.allowReadableKeyFiles=false\n").is_err());
    // Nobody else reaches a file in a directory of the owner's.
    set_mode(folder.path(), 0o700);
    assert_eq!(refused(&folder), []);
    // A link does not hide it.
    set_mode(folder.path(), 0o755);
    let hidden = folder.path().join("hidden");
    fs::create_dir(&hidden).unwrap();
    set_mode(&hidden, 0o700);
    fs::rename(folder.path().join("key.pem"), hidden.join("key.pem")).unwrap();
    std::os::unix::fs::symlink(hidden.join("key.pem"), folder.path().join("key.pem")).unwrap();
    assert_eq!(refused(&folder), []);
}

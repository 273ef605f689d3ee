//! JAAS files for servers and clients, in a folder of their own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::digest_md5::Login;
use crate::process::{Kind, Server};

/// A JAAS file. It is removed when this is dropped.
#[derive(Debug)]
pub struct Jaas {
    folder: TempDir,
}

/// The setting that names the file.
pub const FILE: &str = "java.security.auth.login.config";
/// The setting that lets ACLs name identities of SASL.
pub const PROVIDER: (&str, &str) =
    ("zookeeper.authProvider.1", "org.apache.zookeeper.server.auth.SASLAuthenticationProvider");

/// Users of the server with their passwords, and one with a wrong one.
pub const LOGINS: [Login<'static>; 4] = [
    Login { user: "bob", password: "bob's secret", authzid: None },
    Login { user: "ann", password: "ann", authzid: None },
    Login { user: "super", password: "super secret", authzid: None },
    Login { user: "bob", password: "guessed", authzid: None },
];

/// The users of the server, and the same ones as sections for a client: `Bob`, and `Wrong` with a
/// wrong password.
const TEXT: &str = "Server {\n  org.apache.zookeeper.server.auth.DigestLoginModule required\n\
    \x20 user_super=\"super secret\"\n  user_bob=\"bob's secret\"\n  user_ann=\"ann\";\n};\n\
    Other { org.apache.zookeeper.server.auth.DigestLoginModule required user_cat=\"cat\"; };\n\
    Bob { org.apache.zookeeper.server.auth.DigestLoginModule required\n\
    \x20 username=\"bob\" password=\"bob's secret\"; };\n\
    Wrong { org.apache.zookeeper.server.auth.DigestLoginModule required\n\
    \x20 username=\"bob\" password=\"guessed\"; };\n";

impl Jaas {
    /// Writes the file.
    pub fn write() -> Jaas {
        let folder = TempDir::new().expect("a temporary folder");
        let jaas = Jaas { folder };
        fs::write(jaas.path(), TEXT).expect("write the JAAS file");
        let private = fs::Permissions::from_mode(0o600);
        fs::set_permissions(jaas.path(), private).expect("chmod 600");
        jaas
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("jaas.conf")
    }

    /// Starts a server with the file and with further settings.
    pub fn start(&self, kind: Kind, settings: &[(&str, &str)]) -> Option<Server> {
        let path = self.path();
        let mut all = vec![PROVIDER, (FILE, path.to_str().expect("a printable path"))];
        all.extend(settings);
        Server::start_with(kind, &all)
    }
}

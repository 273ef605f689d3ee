//! Names of users in the audit log.

use state::auth::{self, DIGEST, IP, KEY, SUPER};

use crate::config::{Config, Mechanism};

/// What stands for a secret.
pub(super) const HIDDEN: &str = "x";

/// Whom the server's own events name: the Kerberos principal of the service if there is one, else
/// the user of the system that runs the process, as in ZooKeeper.
pub fn server_user(config: &Config) -> String {
    match config.requests.sasl.as_ref().map(|sasl| &sasl.mechanism) {
        Some(Mechanism::Kerberos(key)) => key.principal.clone(),
        Some(Mechanism::DigestMd5(_)) | None => system_user(),
    }
}

/// The name of the process's user in /etc/passwd, else its number.
fn system_user() -> String {
    let uid = rustix::process::getuid().as_raw().to_string();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    });
    name.unwrap_or(uid)
}

/// The address among a client's encoded identities.
pub(super) fn address(identities: &[u8]) -> Option<&str> {
    auth::decode(identities).find(|(scheme, _)| *scheme == IP).map(|(_, id)| id)
}

/// The names of a client's encoded identities, with commas between; `None` if there are none.
pub(super) fn users(identities: &[u8]) -> Option<String> {
    let names = auth::decode(identities).filter_map(|(scheme, id)| match scheme {
        // The hash of the password follows the name.
        DIGEST => id.split(':').next(),
        // No provider of ZooKeeper's names it.
        SUPER => None,
        // The id is what the client proves itself with.
        KEY => Some(HIDDEN),
        _ => Some(id),
    });
    let named: Vec<&str> = names.filter(|name| !name.trim().is_empty()).collect();
    (!named.is_empty()).then(|| named.join(","))
}

//! Connect strings: which servers, and below which znode.

use std::borrow::Cow;
use wire::path;

const DEFAULT_PORT: u16 = 2181;

/// A connect string of ZooKeeper's form, `host:port,host:port/chroot`, parsed from text.
///
/// The chroot is a znode that the client takes for the root; the client does not create it. A
/// server without a port has port 2181. An IPv6 address stands in brackets, or without a port.
///
/// ```
/// let servers: client::ConnectString = "10.0.0.1,[::1]:2182/app".parse()?;
/// assert_eq!(servers.servers(), ["10.0.0.1:2181", "[::1]:2182"]);
/// assert_eq!((servers.chroot(), servers.server_path("/jobs").as_ref()), ("/app", "/app/jobs"));
/// # Ok::<(), client::ConnectStringError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectString {
    /// At least one.
    servers: Vec<String>,
    /// A path put in front of every path, or nothing. Never ends with a slash.
    chroot: String,
}

/// Why a text is no connect string.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConnectStringError(String);

impl ConnectString {
    /// The servers as `host:port`, in their order; at least one.
    pub fn servers(&self) -> &[String] {
        &self.servers
    }

    /// The znode that is the root for this client; `/` without a chroot.
    pub fn chroot(&self) -> &str {
        if self.chroot.is_empty() { "/" } else { &self.chroot }
    }

    /// The same servers without the chroot.
    pub fn without_chroot(&self) -> Self {
        Self { servers: self.servers.clone(), chroot: String::new() }
    }

    /// A path of this client, which begins with a slash, as the server knows it.
    pub fn server_path<'p>(&self, path: &'p str) -> Cow<'p, str> {
        match (self.chroot.as_str(), path) {
            ("", _) => Cow::Borrowed(path),
            (chroot, "/") => Cow::Owned(chroot.to_owned()),
            (chroot, _) => Cow::Owned(format!("{chroot}{path}")),
        }
    }

    /// A path of the server as this client knows it. One outside the chroot, such as that of the
    /// configuration, is returned unchanged.
    pub fn client_path<'p>(&self, full: &'p str) -> &'p str {
        match full.strip_prefix(self.chroot.as_str()) {
            Some("") => "/",
            Some(rest) if rest.starts_with('/') => rest,
            _ => full,
        }
    }
}

impl std::str::FromStr for ConnectString {
    type Err = ConnectStringError;

    fn from_str(text: &str) -> Result<Self, ConnectStringError> {
        let (hosts, chroot) = text.split_at(text.find('/').unwrap_or(text.len()));
        let chroot = if chroot == "/" { "" } else { chroot };
        if !chroot.is_empty() {
            path::validate(chroot)
                .map_err(|error| ConnectStringError(format!("the chroot {chroot}: {error}")))?;
        }
        let servers = hosts.split(',').map(server).collect::<Result<_, _>>().map_err(ConnectStringError)?;
        Ok(Self { servers, chroot: chroot.to_owned() })
    }
}

fn server(text: &str) -> Result<String, String> {
    let text = text.trim();
    let (name, port) = match text.rsplit_once(':') {
        // An IPv6 address without brackets has colons of its own.
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, Some(port)),
        _ => (text, None),
    };
    if name.is_empty() {
        return Err(format!("'{text}' has no host name; expected host:port,host:port/chroot"));
    }
    let port: u16 = match port {
        Some(port) => port.parse().map_err(|_| format!("'{port}' is not a port"))?,
        None => DEFAULT_PORT,
    };
    if name.contains(':') && !name.starts_with('[') {
        return Ok(format!("[{name}]:{port}"));
    }
    Ok(format!("{name}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> ConnectString {
        text.parse().unwrap()
    }

    #[test]
    fn hosts_have_a_port_and_may_be_many() {
        assert_eq!(parsed("a:1, b,[::1]:3,::1").servers(), ["a:1", "b:2181", "[::1]:3", "[::1]:2181"]);
        assert_eq!(parsed("a/").chroot(), "/");
        for wrong in ["", ":1", "a:x", "a:99999", "a/b/", "a//b", "a,,b"] {
            assert!(wrong.parse::<ConnectString>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_chroot_is_put_on_and_taken_off() {
        let below = parsed("a,b/x/y");
        assert_eq!((below.server_path("/").as_ref(), below.server_path("/z").as_ref()), ("/x/y", "/x/y/z"));
        assert_eq!((below.client_path("/x/y"), below.client_path("/x/y/z")), ("/", "/z"));
        assert_eq!((below.client_path("/x/yy"), below.client_path("/q")), ("/x/yy", "/q"));
        let plain = parsed("a");
        assert_eq!(
            (plain.server_path("/z").as_ref(), plain.client_path("/z"), plain.client_path("/")),
            ("/z", "/z", "/")
        );
    }
}

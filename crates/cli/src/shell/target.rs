//! Which servers, and below which znode.

use std::borrow::Cow;
use wire::path;

const DEFAULT_PORT: u16 = 2181;

/// A connect string taken apart: `host:port,host:port/chroot`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// Servers as `host:port`, at least one.
    pub(crate) hosts: Vec<String>,
    /// A path put in front of every path, or nothing. Never ends with a slash.
    chroot: String,
}

impl Target {
    /// The chroot; `/` for none.
    pub(crate) fn chroot(&self) -> &str {
        if self.chroot.is_empty() { "/" } else { &self.chroot }
    }

    /// The same servers without the chroot.
    pub(crate) fn without_chroot(&self) -> Self {
        Self { hosts: self.hosts.clone(), chroot: String::new() }
    }

    /// A path as the server knows it.
    pub(crate) fn full<'p>(&self, path: &'p str) -> Cow<'p, str> {
        match (self.chroot.as_str(), path) {
            ("", _) => Cow::Borrowed(path),
            (chroot, "/") => Cow::Owned(chroot.to_owned()),
            (chroot, _) => Cow::Owned(format!("{chroot}{path}")),
        }
    }

    /// A path of the server as the user knows it. One outside of the chroot, such as that of the
    /// configuration, stays.
    pub(crate) fn shown<'p>(&self, full: &'p str) -> &'p str {
        match full.strip_prefix(self.chroot.as_str()) {
            Some("") => "/",
            Some(rest) if rest.starts_with('/') => rest,
            _ => full,
        }
    }
}

impl std::str::FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (hosts, chroot) = text.split_at(text.find('/').unwrap_or(text.len()));
        let chroot = if chroot == "/" { "" } else { chroot };
        if !chroot.is_empty() {
            path::validate(chroot).map_err(|error| format!("the chroot {chroot}: {error}"))?;
        }
        let hosts = hosts.split(',').map(host).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { hosts, chroot: chroot.to_owned() })
    }
}

fn host(text: &str) -> Result<String, String> {
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

    fn target(text: &str) -> Target {
        text.parse().unwrap()
    }

    #[test]
    fn hosts_have_a_port_and_may_be_many() {
        assert_eq!(target("a:1, b,[::1]:3,::1").hosts, ["a:1", "b:2181", "[::1]:3", "[::1]:2181"]);
        assert_eq!(target("a/").chroot(), "/");
        for wrong in ["", ":1", "a:x", "a:99999", "a/b/", "a//b", "a,,b"] {
            assert!(wrong.parse::<Target>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_chroot_is_put_on_and_taken_off() {
        let target = target("a,b/x/y");
        assert_eq!((target.full("/").as_ref(), target.full("/z").as_ref()), ("/x/y", "/x/y/z"));
        assert_eq!((target.shown("/x/y"), target.shown("/x/y/z")), ("/", "/z"));
        assert_eq!((target.shown("/x/yy"), target.shown("/q")), ("/x/yy", "/q"));
        let plain = self::target("a");
        assert_eq!((plain.full("/z").as_ref(), plain.shown("/z"), plain.shown("/")), ("/z", "/z", "/"));
    }
}

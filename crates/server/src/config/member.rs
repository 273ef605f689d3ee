//! One `server.N` entry, as far as a single server needs it.

use std::str::FromStr;

/// What `server.N=host:quorumPort:electionPort[:role][|host…];[clientAddress:]clientPort` says to a single server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    /// Whether the role is `observer`.
    pub(super) observer: bool,
    /// Where clients connect, when the entry says so; the address may be missing.
    pub(super) client: Option<(Option<String>, u16)>,
}

impl FromStr for Member {
    /// What is allowed.
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "must be host:port:port[:participant|observer][;[address:]clientPort]";
        let (servers, client) = match text.split_once(';') {
            Some((servers, client)) => (servers, Some(parse_client(client).ok_or(FORM)?)),
            None => (text, None),
        };
        let mut observer = false;
        for server in servers.split('|') {
            observer |= parse_server(server).ok_or(FORM)?;
        }
        Ok(Member { observer, client })
    }
}

/// Whether the role of `host:port:port[:role]` is observer; `None` when it has not that form.
fn parse_server(text: &str) -> Option<bool> {
    let (host, rest) = split_host(text)?;
    let parts: Vec<&str> = rest.split(':').collect();
    let (ports, role) = match parts.as_slice() {
        [ports @ .., role] if role.parse::<u16>().is_err() => (ports, Some(*role)),
        ports => (ports, None),
    };
    let ports_are_numbers = ports.iter().all(|port| port.parse::<u16>().is_ok());
    if host.is_empty() || !ports_are_numbers || !(1..=2).contains(&ports.len()) {
        return None;
    }
    match role.map(str::to_ascii_lowercase).as_deref() {
        None | Some("participant") => Some(false),
        Some("observer") => Some(true),
        Some(_) => None,
    }
}

fn parse_client(text: &str) -> Option<(Option<String>, u16)> {
    match text.trim().parse::<u16>() {
        Ok(port) => Some((None, port)),
        Err(_) => {
            let (host, port) = split_host(text.trim())?;
            Some((Some(host.to_owned()), port.parse().ok()?))
        }
    }
}

/// Host and what follows its colon; an IPv6 address stands in brackets.
fn split_host(text: &str) -> Option<(&str, &str)> {
    match text.strip_prefix('[') {
        Some(rest) => rest.split_once("]:"),
        None => text.split_once(':'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(observer: bool, client: Option<(Option<&str>, u16)>) -> Result<Member, &'static str> {
        Ok(Member { observer, client: client.map(|(host, port)| (host.map(str::to_owned), port)) })
    }

    #[test]
    fn every_form_of_the_manual_is_read() {
        for (text, expected) in [
            ("localhost:2888:3888", member(false, None)),
            ("localhost:2888", member(false, None)),
            ("localhost:2888:3888:observer", member(true, None)),
            ("localhost:2888:3888:participant;2181", member(false, Some((None, 2181)))),
            ("localhost:2888:3888;10.0.0.1:2181", member(false, Some((Some("10.0.0.1"), 2181)))),
            ("[::1]:2888:3888;[::1]:2181", member(false, Some((Some("::1"), 2181)))),
            ("a:2888:3888|b:2889:3889;2181", member(false, Some((None, 2181)))),
        ] {
            assert_eq!(text.parse::<Member>(), expected, "{text}");
        }
    }

    #[test]
    fn other_forms_are_refused() {
        for text in
            ["", "localhost", "a:b:c", "a:1:2:3", "a:1:2:leader", "a:1:2;", "a:1:2;x", "a:1:70000", ":1:2"]
        {
            assert!(text.parse::<Member>().is_err(), "{text}");
        }
    }
}

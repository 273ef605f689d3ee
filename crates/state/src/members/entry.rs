//! One `server.N` entry.

use std::fmt;
use std::str::FromStr;

/// A server of the ensemble:
/// `server.N=host:quorumPort[:electionPort][:role][|host…][;[clientAddress:]clientPort]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Member {
    /// Where other servers connect: host names or addresses, and the quorum port; at least one.
    pub addresses: Vec<(String, u16)>,
    /// The election port of each address, or its quorum port if the entry has only one port. It is
    /// unused, since servers use one connection for everything, and kept only to display the entry
    /// as written.
    pub election_ports: Vec<u16>,
    /// Whether the role is `observer`, without a vote.
    pub observer: bool,
    /// Where clients connect, if the entry has it; the address is optional.
    pub client: Option<(Option<String>, u16)>,
}

impl FromStr for Member {
    /// The allowed form.
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "must be host:port:port[:participant|observer][;[address:]clientPort]";
        let (servers, client) = match text.split_once(';') {
            Some((servers, client)) => (servers, Some(parse_client(client).ok_or(FORM)?)),
            None => (text, None),
        };
        let mut member = Member { client, ..Member::default() };
        for server in servers.split('|') {
            let (host, ports, observer) = parse_server(server).ok_or(FORM)?;
            member.addresses.push((host.to_owned(), ports.0));
            member.election_ports.push(ports.1);
            member.observer |= observer;
        }
        Ok(member)
    }
}

/// As ZooKeeper writes it, with all defaults explicit.
impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, ((host, port), election)) in self.addresses.iter().zip(&self.election_ports).enumerate()
        {
            let separator = if number == 0 { "" } else { "|" };
            write!(f, "{separator}{}:{port}:{election}", bracketed(host))?;
        }
        f.write_str(if self.observer { ":observer" } else { ":participant" })?;
        match &self.client {
            Some((host, port)) => write!(f, ";{}:{port}", bracketed(host.as_deref().unwrap_or("0.0.0.0"))),
            None => Ok(()),
        }
    }
}

/// A host for use before a colon.
pub fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// Parses `host:port[:port][:role]` into host, quorum port and election port, and whether the role
/// is observer; `None` if it has another form.
fn parse_server(text: &str) -> Option<(&str, (u16, u16), bool)> {
    let (host, rest) = split_host(text.trim())?;
    let mut parts: Vec<&str> = rest.split(':').collect();
    let role = parts.pop_if(|last| last.parse::<u16>().is_err()).map(|role| role.to_ascii_lowercase());
    let ports: Vec<u16> = parts.iter().map(|port| port.parse().ok()).collect::<Option<_>>()?;
    let observer = match role.as_deref() {
        None | Some("participant") => false,
        Some("observer") => true,
        Some(_) => return None,
    };
    match ports.as_slice() {
        [port] if !host.is_empty() => Some((host, (*port, *port), observer)),
        [port, election] if !host.is_empty() => Some((host, (*port, *election), observer)),
        _ => None,
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

/// Host and the text after its colon; an IPv6 address is in brackets.
fn split_host(text: &str) -> Option<(&str, &str)> {
    match text.strip_prefix('[') {
        Some(rest) => rest.split_once("]:"),
        None => text.split_once(':'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_the_manual_is_parsed_and_displayed_in_full() {
        for (text, addresses, written) in [
            ("localhost:2888:3888", vec![("localhost", 2888)], "localhost:2888:3888:participant"),
            ("localhost:2888", vec![("localhost", 2888)], "localhost:2888:2888:participant"),
            ("localhost:2888:3888:observer", vec![("localhost", 2888)], "localhost:2888:3888:observer"),
            (
                "localhost:2888:3888:PARTICIPANT;2181",
                vec![("localhost", 2888)],
                "localhost:2888:3888:participant;0.0.0.0:2181",
            ),
            (
                "localhost:2888:3888;10.0.0.1:2181",
                vec![("localhost", 2888)],
                "localhost:2888:3888:participant;10.0.0.1:2181",
            ),
            ("[::1]:2888:3888;[::1]:2181", vec![("::1", 2888)], "[::1]:2888:3888:participant;[::1]:2181"),
            (
                "a:2888:3888|b:2889:3889;2181",
                vec![("a", 2888), ("b", 2889)],
                "a:2888:3888|b:2889:3889:participant;0.0.0.0:2181",
            ),
        ] {
            let member: Member = text.parse().unwrap();
            let found: Vec<_> = member.addresses.iter().map(|(host, port)| (host.as_str(), *port)).collect();
            assert_eq!(found, addresses, "{text}");
            assert_eq!(member.to_string(), written, "{text}");
            assert_eq!(written.parse::<Member>().unwrap().to_string(), written);
        }
    }

    #[test]
    fn other_forms_are_refused() {
        for text in [
            "",
            "localhost",
            "a:b:c",
            "a:1:2:3",
            "a:1:2:leader",
            "a:1:2;",
            "a:1:2;x",
            "a:1:70000",
            ":1:2",
            "a:observer",
            "a:1:2|",
        ] {
            assert!(text.parse::<Member>().is_err(), "{text}");
        }
    }
}

//! One `server.N` entry.

use std::str::FromStr;

/// A server of the ensemble: `server.N=host:quorumPort[:electionPort][:role][|host…][;[clientAddress:]clientPort]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Where the other servers reach it: host names or numbers, and the quorum port; at least one. The election port is not kept, for
    /// there is one connection for everything.
    pub addresses: Vec<(String, u16)>,
    /// Whether the role is `observer`: it has no vote.
    pub observer: bool,
    /// Where clients connect, when the entry says so; the address may be missing.
    pub client: Option<(Option<String>, u16)>,
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
        let mut member = Member { addresses: Vec::new(), observer: false, client };
        for server in servers.split('|') {
            let (host, port, observer) = parse_server(server).ok_or(FORM)?;
            member.addresses.push((host.to_owned(), port));
            member.observer |= observer;
        }
        Ok(member)
    }
}

/// Host, quorum port and whether the role is observer of `host:port[:port][:role]`; `None` when it has not that form.
fn parse_server(text: &str) -> Option<(&str, u16, bool)> {
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
        [port] | [port, _] if !host.is_empty() => Some((host, *port, observer)),
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

    type Client<'a> = Option<(Option<&'a str>, u16)>;

    fn member(addresses: &[(&str, u16)], observer: bool, client: Client) -> Result<Member, &'static str> {
        let addresses = addresses.iter().map(|(host, port)| ((*host).to_owned(), *port)).collect();
        Ok(Member { addresses, observer, client: client.map(|(host, port)| (host.map(str::to_owned), port)) })
    }

    #[test]
    fn every_form_of_the_manual_is_read() {
        let here = [("localhost", 2888)];
        for (text, expected) in [
            ("localhost:2888:3888", member(&here, false, None)),
            ("localhost:2888", member(&here, false, None)),
            ("localhost:2888:3888:observer", member(&here, true, None)),
            ("localhost:2888:3888:PARTICIPANT;2181", member(&here, false, Some((None, 2181)))),
            ("localhost:2888:3888;10.0.0.1:2181", member(&here, false, Some((Some("10.0.0.1"), 2181)))),
            ("[::1]:2888:3888;[::1]:2181", member(&[("::1", 2888)], false, Some((Some("::1"), 2181)))),
            ("a:2888:3888|b:2889:3889;2181", member(&[("a", 2888), ("b", 2889)], false, Some((None, 2181)))),
        ] {
            assert_eq!(text.parse::<Member>(), expected, "{text}");
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

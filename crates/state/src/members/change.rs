//! Planning a `reconfig`, with errors in ZooKeeper's order (`PrepRequestProcessor`, case reconfig).

use wire::code::ErrorCode;
use wire::record::Reconfig;

use super::{Configuration, Member, ServerId, Servers, parse_server_id, servers_of, text_of};

/// Maximum number of servers in an ensemble.
const SERVERS_MAX: usize = 64;

/// The lines of the configuration that results from applying `request` to `current`.
///
/// # Errors
/// As ZooKeeper: `BadVersion`, `BadArguments`, and `MarshallingError` if a leaving server is not a
/// number.
pub fn plan(
    current: &Configuration,
    request: &Reconfig<'_>,
    allow_lone_voter: bool,
) -> Result<String, ErrorCode> {
    if request.cur_config_id != -1 && request.cur_config_id != current.version {
        return Err(ErrorCode::BadVersion);
    }
    let servers = match request.new_members {
        Some(text) => all(text)?,
        None => step(servers_of(&current.text), request)?,
    };
    let voters = servers.values().filter(|member| !member.observer).count();
    if voters < if allow_lone_voter { 1 } else { 2 } || servers.len() > SERVERS_MAX {
        return Err(ErrorCode::BadArguments);
    }
    check_addresses(&servers)?;
    Ok(text_of(&servers))
}

/// All servers, separated by newlines or commas.
fn all(text: &str) -> Result<Servers, ErrorCode> {
    let lines = text.split([',', '\n']).map(str::trim);
    let lines =
        lines.filter(|line| !line.is_empty() && !line.starts_with('#') && !line.starts_with("version="));
    lines.map(parse_line).collect()
}

/// Removes servers, then adds others or changes their role or addresses.
fn step(mut servers: Servers, request: &Reconfig<'_>) -> Result<Servers, ErrorCode> {
    for leaving in parts(request.leaving_servers) {
        let number: i64 = leaving.parse().map_err(|_| ErrorCode::MarshallingError)?;
        servers.retain(|server, _| i64::from(*server) != number);
    }
    for joining in parts(request.joining_servers) {
        let (server, member) = parse_line(joining)?;
        if member.client.is_none() {
            return Err(ErrorCode::BadArguments);
        }
        servers.insert(server, member);
    }
    Ok(servers)
}

fn parts(list: Option<&str>) -> impl Iterator<Item = &str> {
    list.unwrap_or_default().split(',').map(str::trim).filter(|part| !part.is_empty())
}

/// Parses a `server.N=…`. Groups and weights, which have lines of their own in ZooKeeper, are not
/// supported.
pub(super) fn parse_line(line: &str) -> Result<(ServerId, Member), ErrorCode> {
    let (key, value) = line.split_once('=').ok_or(ErrorCode::BadArguments)?;
    let number = key.trim().strip_prefix("server.").and_then(parse_server_id);
    let number = number.ok_or(ErrorCode::BadArguments)?;
    let member = value.trim().parse().map_err(|_| ErrorCode::BadArguments)?;
    Ok((number, member))
}

/// Fails if two servers share an address.
fn check_addresses(servers: &Servers) -> Result<(), ErrorCode> {
    let mut all: Vec<_> = servers.values().flat_map(|member| &member.addresses).collect();
    let count = all.len();
    all.sort();
    all.dedup();
    let is_reachable = all.iter().all(|(_, port)| *port != 0);
    if all.len() == count && is_reachable { Ok(()) } else { Err(ErrorCode::BadArguments) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "server.1=a:1:2:participant;0.0.0.0:3\n";

    fn current() -> Configuration {
        let text = format!("{ONE}server.2=b:1:2:participant;0.0.0.0:3\n");
        Configuration { text, version: 0x1_0000_0000 }
    }

    fn ask(joining: &str, leaving: &str, members: Option<&str>, version: i64) -> Result<String, ErrorCode> {
        let request = Reconfig {
            joining_servers: Some(joining),
            leaving_servers: Some(leaving),
            new_members: members,
            cur_config_id: version,
        };
        plan(&current(), &request, false)
    }

    #[test]
    fn incremental_changes_and_whole_configurations() {
        let both = current().text;
        let third = "server.3=c:1:2:observer;0.0.0.0:3\n";
        for (joining, leaving, members, expected) in [
            ("", "", None, both.clone()),
            ("", "9", None, both.clone()),
            ("server.3=c:1:2:observer;3", "", None, format!("{both}{third}")),
            (
                "server.3=c:1:2;3,server.2=d:1:2;3",
                "2",
                None,
                format!("{ONE}server.2=d:1:2:participant;0.0.0.0:3\nserver.3=c:1:2:participant;0.0.0.0:3\n"),
            ),
            (
                "",
                "",
                Some("server.1=a:1:2;3\n\nserver.2=b:1:2\nversion=5,server.3=c:1:2:observer;3"),
                format!("{ONE}server.2=b:1:2:participant\n{third}"),
            ),
        ] {
            assert_eq!(ask(joining, leaving, members, -1), Ok(expected), "{joining} {leaving} {members:?}");
        }
        assert_eq!(ask("", "", None, 0x1_0000_0000), Ok(both.clone()));
        for number in [0, 256, 999, 1_048_575] {
            let joining = format!("server.{number}=c:1:2:observer;3");
            let line = format!("server.{number}=c:1:2:observer;0.0.0.0:3\n");
            let all = if number == 0 { line + &both } else { both.clone() + &line };
            assert_eq!(ask(&joining, "", None, -1), Ok(all), "{number}");
        }
    }

    #[test]
    fn refusals_of_zookeeper_3_9_5() {
        use ErrorCode::{BadArguments, BadVersion, MarshallingError};
        for (joining, leaving, members, version, expected) in [
            ("server.4=d:1:2;3", "", None, 5, BadVersion),
            ("server.4=d:1:2:participant", "", None, -1, BadArguments),
            ("server.4=d:participant;3", "", None, -1, BadArguments),
            ("x", "", None, -1, BadArguments),
            ("server.1048576=d:1:2;3", "", None, -1, BadArguments),
            ("server.-1=d:1:2;3", "", None, -1, BadArguments),
            ("server.4=a:1:9;3", "", None, -1, BadArguments),
            ("", "x", None, -1, MarshallingError),
            ("", "2", None, -1, BadArguments),
            ("", "1,2", None, -1, BadArguments),
            ("", "", Some("bla=1"), -1, BadArguments),
            ("", "", Some("group.1=1:2\nserver.1=a:1:2;3\nserver.2=b:1:2;3"), -1, BadArguments),
            ("", "", Some("server.1=a:1:2;3\nserver.2=b:1:2:observer;3"), -1, BadArguments),
        ] {
            assert_eq!(
                ask(joining, leaving, members, version),
                Err(expected),
                "{joining} {leaving} {members:?}"
            );
        }
    }

    #[test]
    fn one_voter_suffices_without_standalone_mode() {
        let request = Reconfig {
            joining_servers: None,
            leaving_servers: Some("2"),
            new_members: None,
            cur_config_id: -1,
        };
        assert_eq!(plan(&current(), &request, true), Ok(ONE.to_owned()));
    }
}

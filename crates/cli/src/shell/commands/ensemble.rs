//! The members of the ensemble.

use wire::Stat;
use wire::record::Reconfig;

use super::{Outcome, Spec, progress};
use crate::shell::Shell;
use crate::shell::bytes;
use crate::shell::failure::Failure;
use crate::shell::options::{Opt, Parsed};
use crate::shell::output::Output;

pub(super) const SPECS: &[Spec] = &[
    Spec {
        name: "config",
        usage: "[-c] [-w] [-s]",
        about: "Prints the members: -c only what a client needs to connect, -w and watches for changes, -s with the Stat.",
        json: "data (null if there are none), encoding, stat as of 'stat'; with -c also client",
        options: &[Opt::Flag("c"), Opt::Flag("w"), Opt::Flag("s")],
        operands: 0..=0,
        run: config,
    },
    Spec {
        name: "reconfig",
        usage: "[-s] [-v version] [[-file path] | [-members serverID=host:port1:port2;port3[,...]*]] | \
                [-add serverId=host:port1:port2;port3[,...]]* [-remove serverId[,...]*]",
        about: "Changes the members: all of them, or some added and some removed; -v only if the configuration has this \
                version (hexadecimal).",
        json: "data, encoding, stat as of 'stat'",
        options: &[
            Opt::Flag("s"),
            Opt::Value("v"),
            Opt::Value("file"),
            Opt::Value("members"),
            Opt::Value("add"),
            Opt::Value("remove"),
        ],
        operands: 0..=0,
        run: reconfig,
    },
];

fn config(shell: &mut Shell, parsed: &Parsed) -> Outcome {
    let (data, stat) = shell.session()?.get_config(parsed.has("w"))?;
    let text = data.as_deref().map_or("null".into(), |data| bytes::readable(data, shell.style.colours));
    let mut output = Output::default().data_field(data.as_deref(), false);
    if parsed.has("c") {
        let client = client_part(&text);
        output = output.line(&client).field("client", client);
    } else {
        output = output.line(&text);
    }
    Ok(if parsed.has("s") { output.stat(&stat, shell.style) } else { output.stat_field(&stat) })
}

/// The version and the client addresses of a configuration, as `version host:port,host:port`.
/// Members that name no client address are left out.
fn client_part(config: &str) -> String {
    let mut version = "";
    let mut addresses = Vec::new();
    for line in config.lines() {
        let Some((key, value)) = line.split_once('=') else { continue };
        match key.trim() {
            "version" => version = value.trim(),
            key if key.starts_with("server.") => {
                let Some((peer, client)) = value.rsplit_once(';') else { continue };
                // A port alone is one on the host of the peer address.
                let host = peer.split(':').next().unwrap_or_default();
                let client = client.trim();
                addresses.push(if client.contains(':') {
                    client.to_owned()
                } else {
                    format!("{host}:{client}")
                });
            }
            _ => {}
        }
    }
    format!("{version} {}", addresses.join(","))
}

fn reconfig(shell: &mut Shell, parsed: &Parsed) -> Outcome {
    let usage = |why: &str| Failure::Usage(why.to_owned());
    let (file, members) = (parsed.value("file"), parsed.value("members"));
    let (add, remove) = (parsed.value("add"), parsed.value("remove"));
    let (whole, steps) = (file.is_some() || members.is_some(), add.is_some() || remove.is_some());
    match (whole, steps) {
        (false, false) => return Err(usage("one of -file, -members, -add and -remove is needed")),
        (true, true) => {
            return Err(usage("-file and -members name all members, -add and -remove some; not both"));
        }
        _ if file.is_some() && members.is_some() => {
            return Err(usage("-file and -members exclude each other"));
        }
        _ => {}
    }
    let version = match parsed.value("v") {
        None => -1,
        Some(text) => i64::from_str_radix(text, 16)
            .map_err(|_| usage("-v needs the version of a configuration, which is hexadecimal"))?,
    };
    let lower = |text: Option<&str>| text.map(str::to_lowercase);
    let new_members = match file {
        Some(file) => Some(members_of(file)?),
        None => lower(members),
    };
    let (joining, leaving) = (lower(add), lower(remove));
    let change = Reconfig {
        joining_servers: joining.as_deref(),
        leaving_servers: leaving.as_deref(),
        new_members: new_members.as_deref(),
        cur_config_id: version,
    };
    let (data, stat) = reconfig_aloud(shell, &change)?;
    let text = bytes::readable(data.as_deref().unwrap_or_default(), shell.style.colours).into_owned();
    let output =
        Output::default().data_field(data.as_deref(), false).line("Committed new configuration:").line(text);
    Ok(if parsed.has("s") { output.stat(&stat, shell.style) } else { output.stat_field(&stat) })
}

/// Makes the change, and reports the leader's progress meanwhile.
fn reconfig_aloud(shell: &mut Shell, change: &Reconfig<'_>) -> Result<(Option<Vec<u8>>, Stat), Failure> {
    let (json, style) = (shell.json, shell.error_style);
    let mut servers = shell.servers.servers().to_vec();
    let session = shell.session()?;
    let tls = shell.options.tls.clone();
    if json {
        return Ok(session.reconfig(change)?);
    }
    // A user that may not read the members may still change them.
    let members = session.get_config(false).ok().and_then(|(data, _)| data).unwrap_or_default();
    let members = client_part(&String::from_utf8_lossy(&members));
    let members = members.split_once(' ').map_or("", |(_, addresses)| addresses);
    servers.extend(members.split(',').filter(|address| !address.is_empty()).map(str::to_owned));
    servers.sort_unstable();
    servers.dedup();
    progress::say_while(
        || progress::steps(&servers, tls.as_ref()),
        |step| eprintln!("{}", style.event(step)),
        || Ok(session.reconfig(change)?),
    )
}

/// The lines of a configuration file that are about members.
fn members_of(file: &str) -> Result<String, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| Failure::Usage(format!("{file}: {error}")))?;
    let members: Vec<&str> = text.lines().map(str::trim).filter(|line| is_member(line)).collect();
    if members.is_empty() {
        return Err(Failure::Usage(format!("{file} has no line server.N=…")));
    }
    Ok(members.join("\n"))
}

fn is_member(line: &str) -> bool {
    ["server.", "group.", "weight."].iter().any(|start| line.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_part_is_version_and_addresses() {
        let config = "server.1=a:2888:3888:participant;0.0.0.0:2181\nserver.2=b:2888:3888:observer;2182\n\
                      server.3=c:2888:3888\nversion=100000000";
        assert_eq!(client_part(config), "100000000 0.0.0.0:2181,b:2182");
        assert_eq!(client_part(""), " ");
    }
}

//! The directory of a local ensemble:
//!
//! ```text
//! DIR/server.N/zoo.cfg       written when it is missing, then kept: it may be edited
//! DIR/server.N/myid          N
//! DIR/server.N/…             the server's data
//! DIR/server.N/server.log    its log lines
//! DIR/quorum.secret          the secret that all servers prove to know
//! DIR/tls/…                  with --tls, certificates: see [`super::certificates`]
//! ```

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use server::config::{self, CommandLine, Config, ConfigError};

use super::certificates::{CertificateError, Certificates};

/// Port of the first server's clients.
const CLIENT_PORT: u16 = 2181;

/// Ports above are given by the system to outgoing connections, one of which might take it while a
/// server is down.
const PORT_END: u16 = 32_768;

/// The lowest port taken.
const PORT_START: u16 = 20_000;

/// Two ensembles of one machine have different client ports. The search for the other ports starts
/// farther apart by this factor, so that two ensembles that start at the same moment do not take
/// the same ones.
const PORT_STRIDE: u32 = 41;

/// The requested layout; `None`: as it exists, or the default.
pub(super) struct Wanted<'a> {
    pub(super) voters: Option<u8>,
    pub(super) observers: Option<u8>,
    pub(super) consensus: Option<&'a str>,
    pub(super) client_port: Option<u16>,
    /// Whether clients and servers are to speak TLS; `false`: as it exists, or without.
    pub(super) tls: bool,
}

/// An ensemble on this machine.
#[derive(Debug)]
pub(super) struct Layout {
    /// All of it.
    pub(super) dir: PathBuf,
    /// `raft` or `paxos`.
    pub(super) consensus: String,
    /// Its servers by their numbers.
    pub(super) places: Vec<Place>,
    /// If clients and servers speak TLS, and nothing else.
    pub(super) certificates: Option<Certificates>,
}

/// What the servers have in common.
struct Common {
    /// `server.N` of each.
    entries: BTreeMap<u8, String>,
    consensus: String,
    /// The port where clients of server 1 speak TLS, which those of the other servers follow.
    secure_port: Option<u16>,
}

/// One server.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) id: u8,
    pub(super) dir: PathBuf,
    /// Where its clients connect.
    pub(super) client: String,
}

impl Place {
    fn new(dir: &Path, id: u8, common: &Common) -> Result<Place, LayoutError> {
        let dir = dir.join(format!("server.{id}"));
        let mut place = Place { id, dir, client: String::new() };
        place.client = match common.secure_port {
            None => common.entries[&id].split(';').next_back().unwrap_or_default().to_owned(),
            Some(first) => format!("127.0.0.1:{}", place.secure_port()?.unwrap_or(first + u16::from(id) - 1)),
        };
        Ok(place)
    }

    /// The port for clients that speak TLS; `None` if it has none, or no configuration yet.
    fn secure_port(&self) -> Result<Option<u16>, LayoutError> {
        if !self.config().exists() {
            return Ok(None);
        }
        Ok(secure_port(&load(self.config())?))
    }

    /// Its configuration.
    pub(super) fn config(&self) -> PathBuf {
        self.dir.join("zoo.cfg")
    }

    /// Its log file.
    pub(super) fn log(&self) -> PathBuf {
        self.dir.join("server.log")
    }
}

/// Why a directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum LayoutError {
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Its log file.
        source: io::Error,
    },
    /// The certificates cannot be made.
    #[error(transparent)]
    Certificates(#[from] CertificateError),
    /// An existing zoo.cfg is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The existing ensemble is different.
    #[error("{}: {what} is {found} there and {wanted} on the command line; leave it out, or name another --data-dir", dir.display())]
    Differs {
        /// The directory.
        dir: PathBuf,
        /// The option.
        what: &'static str,
        /// As it is.
        found: String,
        /// As it was asked for.
        wanted: String,
    },
    /// Another process listens there.
    #[error("port {0} is taken; name another one with --client-port (each server has the next one)")]
    PortTaken(u16),
    /// There are too few ports.
    #[error("no free ports below {PORT_END} on this machine")]
    NoPorts,
}

impl Layout {
    /// Finds the ensemble in the directory, or makes one.
    pub(super) fn prepare(dir: &Path, wanted: &Wanted<'_>) -> Result<Layout, LayoutError> {
        fs::create_dir_all(dir).map_err(at(dir))?;
        let dir = dir.canonicalize().map_err(at(dir))?;
        let common = match found(&dir)? {
            Some(config) => common_of(&dir, &config, wanted)?,
            None => new_common(wanted)?,
        };
        write_secret(&dir)?;
        let certificates = common.secure_port.map(|_| Certificates::of(&dir));
        if let Some(certificates) = &certificates {
            certificates.write_missing(common.entries.keys().copied())?;
        }
        let places = common.entries.keys().map(|id| Place::new(&dir, *id, &common));
        let places = places.collect::<Result<Vec<_>, _>>()?;
        for place in &places {
            write_missing(place, &places, &common, certificates.as_ref())?;
        }
        Ok(Layout { dir, consensus: common.consensus, places, certificates })
    }

    /// What clients connect to.
    pub(super) fn connect_string(&self) -> String {
        self.addresses().join(",")
    }

    /// Where the clients of each server connect.
    pub(super) fn addresses(&self) -> Vec<String> {
        self.places.iter().map(|place| place.client.clone()).collect()
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> LayoutError {
    let path = path.to_owned();
    |source| LayoutError::Io { path, source }
}

fn load(path: PathBuf) -> Result<Config, ConfigError> {
    let command_line = CommandLine { config: Some(path), ..CommandLine::default() };
    Ok(config::load(&command_line)?.config)
}

fn secure_port(config: &Config) -> Option<u16> {
    config.tls.as_ref().and_then(|tls| tls.port).map(|secure| secure.port)
}

/// The configuration of any server that is there.
fn found(dir: &Path) -> Result<Option<Config>, LayoutError> {
    let configs = (1..=u8::MAX).map(|id| dir.join(format!("server.{id}/zoo.cfg")));
    let found = configs.into_iter().find(|path| path.exists());
    Ok(found.map(load).transpose()?)
}

/// What the servers of the existing ensemble have in common, if it matches the request.
fn common_of(dir: &Path, config: &Config, wanted: &Wanted<'_>) -> Result<Common, LayoutError> {
    let lines = config
        .settings
        .iter()
        .filter_map(|(key, value)| Some((key.strip_prefix("server.")?.parse().ok()?, value.clone())));
    let entries: BTreeMap<u8, String> = lines.collect();
    let observers = entries.values().filter(|entry| entry.contains(":observer")).count();
    let consensus = config.ensemble.as_ref().map_or("raft".to_owned(), |e| e.engine.to_string());
    let secure_port = secure_port(config).map(|port| port.saturating_add(1) - config.server_id as u16);
    let port = entries.values().next().and_then(|entry| entry.rsplit(':').next()).unwrap_or_default();
    let port = secure_port.map_or_else(|| port.to_owned(), |port| port.to_string());
    let on_or_off = |on: bool| if on { "on" } else { "off" }.to_owned();
    for (what, found, wanted) in [
        ("--servers", (entries.len() - observers).to_string(), wanted.voters.map(|n| n.to_string())),
        ("--observers", observers.to_string(), wanted.observers.map(|n| n.to_string())),
        ("--consensus", consensus.clone(), wanted.consensus.map(str::to_owned)),
        ("--client-port", port, wanted.client_port.map(|n| n.to_string())),
        ("--tls", on_or_off(secure_port.is_some()), wanted.tls.then(|| on_or_off(true))),
    ] {
        if let Some(wanted) = wanted.filter(|wanted| *wanted != found) {
            return Err(LayoutError::Differs { dir: dir.to_owned(), what, found, wanted });
        }
    }
    Ok(Common { entries, consensus, secure_port })
}

/// A new ensemble, on ports that are free now.
fn new_common(wanted: &Wanted<'_>) -> Result<Common, LayoutError> {
    let voters = wanted.voters.unwrap_or(3);
    let all = voters + wanted.observers.unwrap_or(0);
    let first = wanted.client_port.unwrap_or(CLIENT_PORT);
    let mut ports = free_ports(usize::from(all) * 2, first..first + u16::from(all))?.into_iter();
    let mut entries = BTreeMap::new();
    for id in 1..=all {
        let client = first + u16::from(id) - 1;
        if !is_free(client) {
            return Err(LayoutError::PortTaken(client));
        }
        let (Some(quorum), Some(election)) = (ports.next(), ports.next()) else {
            return Err(LayoutError::NoPorts);
        };
        let role = if id > voters { "observer" } else { "participant" };
        // With TLS there is no port where clients connect without.
        let client = if wanted.tls { String::new() } else { format!(";127.0.0.1:{client}") };
        entries.insert(id, format!("127.0.0.1:{quorum}:{election}:{role}{client}"));
    }
    let consensus = wanted.consensus.unwrap_or("raft").to_owned();
    Ok(Common { entries, consensus, secure_port: wanted.tls.then_some(first) })
}

/// Ports on which no process listens, outside of those `reserved` for clients.
fn free_ports(count: usize, reserved: std::ops::Range<u16>) -> Result<Vec<u16>, LayoutError> {
    let span = PORT_END - PORT_START;
    let offset = (u32::from(reserved.start) * PORT_STRIDE % u32::from(span)) as u16;
    let candidates = (0..span).map(|step| PORT_START + (offset + step) % span);
    let free = candidates.filter(|port| !reserved.contains(port) && is_free(*port));
    let ports: Vec<u16> = free.take(count).collect();
    if ports.len() == count { Ok(ports) } else { Err(LayoutError::NoPorts) }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

fn secret_file(dir: &Path) -> PathBuf {
    dir.join("quorum.secret")
}

/// Writes a secret for the servers unless there is one. Only its owner may read it.
fn write_secret(dir: &Path) -> Result<(), LayoutError> {
    let path = secret_file(dir);
    if path.exists() {
        return Ok(());
    }
    let source = Path::new("/dev/urandom");
    let mut random = [0; 32];
    File::open(source).and_then(|mut file| file.read_exact(&mut random)).map_err(at(source))?;
    let text: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    file.and_then(|mut file| writeln!(file, "{text}")).map_err(at(&path))
}

/// Writes the files that a server lacks; existing ones stay.
fn write_missing(
    place: &Place,
    all: &[Place],
    common: &Common,
    certificates: Option<&Certificates>,
) -> Result<(), LayoutError> {
    fs::create_dir_all(&place.dir).map_err(at(&place.dir))?;
    let myid = place.dir.join("myid");
    if !myid.exists() {
        fs::write(&myid, format!("{}\n", place.id)).map_err(at(&myid))?;
    }
    let config = place.config();
    if !config.exists() {
        let addresses = common.entries.values().chain(all.iter().map(|place| &place.client));
        let used = addresses.flat_map(|text| text.split([':', ';'])).filter_map(|part| part.parse().ok());
        let used: Vec<u16> = used.collect();
        // None listens yet, so their numbers distinguish the servers.
        let client = used.last().copied().unwrap_or(CLIENT_PORT);
        let free = free_ports(used.len() + usize::from(place.id), client..client)?;
        let mut unused = free.into_iter().filter(|port| !used.contains(port));
        let admin = unused.nth(usize::from(place.id) - 1).ok_or(LayoutError::NoPorts)?;
        fs::write(&config, zoo_cfg(place, common, certificates, admin)).map_err(at(&config))?;
    }
    Ok(())
}

fn zoo_cfg(place: &Place, common: &Common, certificates: Option<&Certificates>, admin: u16) -> String {
    let Common { entries, consensus, .. } = common;
    let dir = place.dir.display();
    let ensemble = if entries.len() > 1 {
        let secret = secret_file(place.dir.parent().unwrap_or(&place.dir));
        let secret = secret.display();
        format!("initLimit=10\nsyncLimit=5\nostler.consensus={consensus}\nostler.quorumSecretFile={secret}\n")
    } else {
        String::new()
    };
    let tls = certificates.map(|own| tls_lines(place, own, entries.len() > 1)).unwrap_or_default();
    let servers: String = entries.iter().map(|(id, entry)| format!("server.{id}={entry}\n")).collect();
    format!(
        "# Written by ostler cluster, which does not change it any more.\n\
         dataDir={dir}\ntickTime=2000\n{ensemble}{tls}{servers}\
         4lw.commands.whitelist=srvr,stat,mntr,conf,isro,ruok\nadmin.serverPort={admin}\n"
    )
}

/// TLS for clients and, if there are others, between servers.
fn tls_lines(place: &Place, certificates: &Certificates, has_others: bool) -> String {
    let (own, authority) = (certificates.server(place.id), certificates.authority());
    let stores = |prefix: &str| {
        let (own, authority) = (own.display(), authority.display());
        format!("{prefix}.keyStore.location={own}\n{prefix}.trustStore.location={authority}\n")
    };
    let (address, port) = place.client.split_once(':').unwrap_or_default();
    let clients = format!("secureClientPort={port}\nsecureClientPortAddress={address}\n{}", stores("ssl"));
    let servers =
        if has_others { format!("sslQuorum=true\n{}", stores("ssl.quorum")) } else { String::new() };
    clients + &servers
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Wanted<'_> =
        Wanted { voters: None, observers: None, consensus: None, client_port: None, tls: false };

    /// The first of ten ports in a row that are free.
    fn ports() -> u16 {
        let mut start = 25_000 + (std::process::id() % 7_000) as u16;
        while !(start..start + 10).all(is_free) {
            start += 10;
        }
        start
    }

    #[test]
    fn what_was_made_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let port = ports();
        let wanted =
            Wanted { observers: Some(1), consensus: Some("paxos"), client_port: Some(port), ..NOTHING };
        let made = Layout::prepare(dir.path(), &wanted).unwrap();
        assert_eq!(made.connect_string().split(',').count(), 4);
        assert_eq!(made.places[3].client, format!("127.0.0.1:{}", port + 3));
        let config = fs::read_to_string(made.places[0].config()).unwrap();

        let found = Layout::prepare(dir.path(), &NOTHING).unwrap();
        assert_eq!((found.connect_string(), found.consensus.as_str()), (made.connect_string(), "paxos"));
        assert_eq!(fs::read_to_string(made.places[0].config()).unwrap(), config);
        Layout::prepare(dir.path(), &wanted).unwrap();
    }

    #[test]
    fn every_server_reads_its_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let wanted = Wanted { observers: Some(1), client_port: Some(ports()), ..NOTHING };
        for place in Layout::prepare(dir.path(), &wanted).unwrap().places {
            let command_line = CommandLine { config: Some(place.config()), ..CommandLine::default() };
            let loaded = config::load(&command_line).unwrap();
            assert_eq!(loaded.warnings, []);
            let config = loaded.config;
            assert_eq!(format!("{}:{}", config.listen.address, config.listen.port), place.client);
            let ensemble = config.ensemble.unwrap();
            assert_eq!(
                (config.server_id, ensemble.members.len(), ensemble.voters().count()),
                (u32::from(place.id), 4, 3)
            );
            assert!(ensemble.secret.is_some() && ensemble.is_secret_required);
        }
    }

    #[test]
    fn a_server_whose_directory_has_gone_gets_an_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        let wanted = Wanted { client_port: Some(ports()), ..NOTHING };
        let made = Layout::prepare(dir.path(), &wanted).unwrap();
        fs::remove_dir_all(&made.places[0].dir).unwrap();
        let found = Layout::prepare(dir.path(), &NOTHING).unwrap();
        assert_eq!(found.connect_string(), made.connect_string());
        assert_eq!(fs::read_to_string(made.places[0].dir.join("myid")).unwrap(), "1\n");
    }

    #[test]
    fn another_ensemble_than_the_one_there_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let port = ports();
        Layout::prepare(dir.path(), &Wanted { client_port: Some(port), ..NOTHING }).unwrap();
        for (wanted, option) in [
            (Wanted { voters: Some(5), ..NOTHING }, "--servers"),
            (Wanted { observers: Some(1), ..NOTHING }, "--observers"),
            (Wanted { consensus: Some("paxos"), ..NOTHING }, "--consensus"),
            (Wanted { client_port: Some(port + 1), ..NOTHING }, "--client-port"),
            (Wanted { tls: true, ..NOTHING }, "--tls"),
        ] {
            let refused = Layout::prepare(dir.path(), &wanted).unwrap_err().to_string();
            assert!(refused.contains(option), "{refused}");
        }
    }

    #[test]
    fn servers_with_tls_have_no_port_without_and_are_found_again() {
        for voters in [1, 3] {
            let dir = tempfile::tempdir().unwrap();
            let port = ports();
            let wanted = Wanted { voters: Some(voters), client_port: Some(port), tls: true, ..NOTHING };
            let made = Layout::prepare(dir.path(), &wanted).unwrap();
            for place in &made.places {
                let command_line = CommandLine { config: Some(place.config()), ..CommandLine::default() };
                let loaded = config::load(&command_line).unwrap();
                assert_eq!(loaded.warnings, []);
                let tls = loaded.config.tls.unwrap();
                assert!(tls.is_only, "{tls:?}");
                let secure = tls.port.unwrap();
                assert_eq!(format!("{}:{}", secure.address, secure.port), place.client);
                assert_eq!(place.client, format!("127.0.0.1:{}", port + u16::from(place.id) - 1));
                let quorum = loaded.config.quorum_tls;
                assert_eq!(quorum.is_some_and(|tls| tls.is_dialled && !tls.is_unified), voters > 1);
            }
            // Servers without a directory get the address that they had.
            for place in made.places.iter().skip(1) {
                fs::remove_dir_all(&place.dir).unwrap();
            }
            let found = Layout::prepare(dir.path(), &NOTHING).unwrap();
            assert_eq!(found.connect_string(), made.connect_string());
            assert!(found.certificates.is_some());
            Layout::prepare(dir.path(), &wanted).unwrap();
        }
    }

    #[test]
    fn a_port_that_is_taken_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let port = ports();
        let _taken = TcpListener::bind(("127.0.0.1", port + 1)).unwrap();
        let wanted = Wanted { client_port: Some(port), ..NOTHING };
        let refused = Layout::prepare(dir.path(), &wanted).unwrap_err().to_string();
        assert!(refused.contains(&format!("port {} is taken", port + 1)), "{refused}");
    }
}

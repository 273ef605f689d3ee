//! From files and command-line options to one [`Config`].

use std::fs::File;
use std::io::{self, Read as _};
use std::net::{IpAddr, ToSocketAddrs};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::fields::Loader;
use super::settings::Settings;
use super::{Config, ConfigError, Warning, properties};

/// The command line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandLine {
    /// `--config`: the zoo.cfg.
    pub config: Option<PathBuf>,
    /// `--data-dir`.
    pub data_dir: Option<PathBuf>,
    /// `--client-port`.
    pub client_port: Option<u16>,
    /// `--client-port-address`.
    pub client_port_address: Option<String>,
    /// Every `-D`, without the `-D`, in order: `key=value` or `zookeeper.key=value`. Without
    /// `=value` the value is `true`.
    pub definitions: Vec<String>,
}

/// A valid configuration, and warnings for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// The warnings to log, in order of discovery.
    pub warnings: Vec<Warning>,
}

/// Access to files and the resolver; tests and fuzzing have their own.
pub trait Outside {
    /// The bytes of a file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// The same, for a file that only its owner may access; `None` if others may.
    fn read_private(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        self.read(path).map(Some)
    }
    /// The permissions of a file that every user of the machine can read or change; `None` if not
    /// every user can, or if that cannot be told.
    fn mode_open_to_all(&self, _path: &Path) -> Option<u32> {
        None
    }
    /// An address for a host name.
    fn resolve(&self, host: &str) -> io::Result<IpAddr>;
}

/// The file system and the resolver of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealOutside;

impl Outside for RealOutside {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }

    fn read_private(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        let mut file = File::open(path)?;
        if file.metadata()?.permissions().mode() & 0o077 != 0 {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// A user that may not enter one of the directories does not reach the file.
    fn mode_open_to_all(&self, path: &Path) -> Option<u32> {
        let path = path.canonicalize().ok()?;
        let mode = |path: &Path| Some(path.metadata().ok()?.permissions().mode());
        let own = mode(&path)?;
        let is_reached = path.ancestors().skip(1).all(|dir| mode(dir).is_some_and(|mode| mode & 0o001 != 0));
        (own & 0o006 != 0 && is_reached).then_some(own & 0o7777)
    }

    fn resolve(&self, host: &str) -> io::Result<IpAddr> {
        let mut found = (host, 0).to_socket_addrs()?;
        found.next().map(|address| address.ip()).ok_or_else(|| io::Error::other("the name has no address"))
    }
}

/// Loads the configuration that the command line describes.
pub fn load(command_line: &CommandLine) -> Result<Loaded, ConfigError> {
    load_with(command_line, &RealOutside)
}

/// As [`load`], with files and names from `outside`.
pub fn load_with(command_line: &CommandLine, outside: &dyn Outside) -> Result<Loaded, ConfigError> {
    let mut settings = Settings::default();
    if let Some(path) = &command_line.config {
        read_file(&mut settings, path, "configuration file", outside)?;
    }
    for definition in &command_line.definitions {
        define(&mut settings, definition);
    }
    put_options(&mut settings, command_line);
    if let Some(name) = settings.text("dynamicConfigFile") {
        read_dynamic_file(&mut settings, Path::new(&name), command_line.config.as_deref(), outside)?;
    }
    let loader = Loader { from_file: command_line.config.is_some(), settings: &mut settings, outside };
    let config = loader.config(command_line)?;
    let Settings { problems, warnings, .. } = settings;
    if problems.is_empty() { Ok(Loaded { config, warnings }) } else { Err(ConfigError::Invalid(problems)) }
}

/// A relative name is searched where ZooKeeper does, in the working directory, and then in the
/// directory of the file that names it: authors rarely mean the directory that a start script
/// happens to run in.
fn read_dynamic_file(
    settings: &mut Settings,
    name: &Path,
    named_by: Option<&Path>,
    outside: &dyn Outside,
) -> Result<(), ConfigError> {
    const WHAT: &str = "dynamic configuration file";
    let beside = named_by.and_then(Path::parent).unwrap_or(Path::new("")).join(name);
    match read_file(settings, name, WHAT, outside) {
        Err(ConfigError::Unreadable { source, .. })
            if source.kind() == io::ErrorKind::NotFound && beside != name =>
        {
            read_file(settings, &beside, WHAT, outside)
        }
        read => read,
    }
}

fn read_file(
    settings: &mut Settings,
    path: &Path,
    what: &'static str,
    outside: &dyn Outside,
) -> Result<(), ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { what, path: path.to_owned(), source };
    let text = properties::decode(&outside.read(path).map_err(unreadable)?);
    match properties::parse(&text) {
        Ok(entries) => {
            for entry in entries {
                settings.put(&entry.key, &entry.value, &format!("{} line {}", path.display(), entry.line));
            }
        }
        Err(escape) => {
            let place = format!("{} line {}", path.display(), escape.line);
            settings.problem(&place, "\\u", "", "must be followed by four hexadecimal digits");
        }
    }
    Ok(())
}

/// One `-D`. Both spellings name the same key, even for a setting that is a system property without
/// prefix in ZooKeeper (`jute.maxbuffer`).
fn define(settings: &mut Settings, definition: &str) {
    let (key, value) = definition.split_once('=').unwrap_or((definition, "true"));
    let key = properties::java_trim(key);
    let name = key.strip_prefix("zookeeper.").unwrap_or(key);
    settings.put(name, properties::java_trim(value), &format!("-D{key}"));
}

fn put_options(settings: &mut Settings, command_line: &CommandLine) {
    if let Some(dir) = &command_line.data_dir {
        settings.put("dataDir", &dir.to_string_lossy(), "--data-dir");
    }
    if let Some(port) = command_line.client_port {
        settings.put("clientPort", &port.to_string(), "--client-port");
    }
    if let Some(address) = &command_line.client_port_address {
        settings.put("clientPortAddress", address, "--client-port-address");
    }
}

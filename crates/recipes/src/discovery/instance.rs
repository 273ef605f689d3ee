//! An instance of a service, as it describes itself.

use std::collections::BTreeMap;

use balance::{ID_BYTES_MAX, Weight, ZONE_BYTES_MAX};

use crate::error::Error;
use crate::names::{Layout, unique};

/// The longest address of an instance in bytes, as long as a name of the DNS can be.
const ADDRESS_BYTES_MAX: usize = 255;

/// What the health check of an instance says. Without one it is passing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Health {
    /// It can be chosen.
    #[default]
    Passing,
    /// It fails its check, or has not passed it yet, and is not chosen.
    Failing,
}

impl std::fmt::Display for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Passing => "passing",
            Self::Failing => "failing",
        })
    }
}

/// One instance of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// The name of the service: that of a znode, so without slashes.
    pub service: String,
    /// What the instance is called. No other instance of the service has the same id.
    pub id: String,
    /// The host: a name, or an address of IPv4 or IPv6 without brackets.
    pub address: String,
    /// The port, not 0.
    pub port: u16,
    /// A second port, for TLS, as Curator has it.
    pub ssl_port: Option<u16>,
    /// The share of requests that it gets, relative to the others.
    pub weight: Weight,
    /// Where it is.
    pub zone: Option<String>,
    /// What else it says of itself.
    pub metadata: BTreeMap<String, String>,
    /// Whether its operator lets it be chosen.
    pub is_enabled: bool,
    /// Whether its health check finds that it works.
    pub health: Health,
    /// When it was registered, in milliseconds since 1970. Registering sets it.
    pub registered_ms: i64,
}

impl Instance {
    /// An instance with a random id, weight 1, and no zone.
    pub fn new(service: &str, address: &str, port: u16) -> Self {
        Self {
            service: service.to_owned(),
            id: unique(Layout::Curator),
            address: address.to_owned(),
            port,
            ssl_port: None,
            weight: Weight::ONE,
            zone: None,
            metadata: BTreeMap::new(),
            is_enabled: true,
            health: Health::Passing,
            registered_ms: 0,
        }
    }

    /// Whether it can be chosen: it is enabled and passes its check.
    pub fn is_available(&self) -> bool {
        self.is_enabled && self.health == Health::Passing
    }

    /// Where to connect, as `host:port`; an address of IPv6 has brackets.
    pub fn endpoint(&self) -> String {
        match self.address.contains(':') {
            true => format!("[{}]:{}", self.address, self.port),
            false => format!("{}:{}", self.address, self.port),
        }
    }

    /// Whether the instance makes sense.
    ///
    /// # Errors
    /// [`Error::Argument`], which names the field and what is allowed.
    pub fn check(&self) -> Result<(), Error> {
        check_name("the name of a service", &self.service)?;
        check_name("the id of an instance", &self.id)?;
        let refused = |what, why: &str| Err(Error::Argument { what, why: why.to_owned() });
        let is_host = |c: char| !c.is_whitespace() && !c.is_control() && !"/[]".contains(c);
        if !(1..=ADDRESS_BYTES_MAX).contains(&self.address.len()) || !self.address.chars().all(is_host) {
            return refused(
                "the address of an instance",
                "a host of 1 to 255 bytes, without port, brackets, spaces and slashes",
            );
        }
        if self.port == 0 || self.ssl_port == Some(0) {
            return refused("the port of an instance", "1 to 65535");
        }
        if self.zone.as_ref().is_some_and(|zone| !(1..=ZONE_BYTES_MAX).contains(&zone.len())) {
            return refused("the zone of an instance", "1 to 256 bytes");
        }
        if self.metadata.keys().any(String::is_empty) {
            return refused("the metadata of an instance", "keys that are not empty");
        }
        Ok(())
    }
}

/// Whether a text can be the name of a znode here.
pub(super) fn is_name(name: &str) -> bool {
    let is_plain = |c: char| !c.is_control() && c != '/';
    (1..=ID_BYTES_MAX).contains(&name.len()) && name != "." && name != ".." && name.chars().all(is_plain)
}

pub(super) fn check_name(what: &'static str, name: &str) -> Result<(), Error> {
    if is_name(name) {
        return Ok(());
    }
    let why = format!(
        "1 to {ID_BYTES_MAX} bytes, neither . nor .., without slashes and control characters, and not {:?}",
        name.chars().take(80).collect::<String>()
    );
    Err(Error::Argument { what, why })
}

//! Service discovery and load balancing.
//!
//! An instance of a service registers with an ephemeral znode, `<base>/<service>/<id>`, which holds
//! its description as JSON. Layout and JSON are those of Apache Curator's `ServiceDiscovery`, so
//! Java and Rust programs find each other. Clients follow a service as a live set and choose one of
//! its instances by any strategy of the crate `balance`.
//!
//! ```no_run
//! # async fn example(client: client::Client) -> Result<(), Box<dyn std::error::Error>> {
//! use recipes::discovery::{Discovery, Instance, Settings};
//!
//! let discovery = Discovery::new(&client, "/services")?;
//! let registration = discovery.register(Instance::new("web", "10.0.0.7", 8080)).await?;
//!
//! let service = discovery.service("web", "two-choices".parse()?, Settings::default()).await?;
//! if let Some(chosen) = service.pick(b"the key of the request, if the strategy uses one") {
//!     let stream = tokio::net::TcpStream::connect(chosen.instance().endpoint()).await?;
//! }
//! registration.leave().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What is promised
//!
//! - An instance that dies leaves the set with its session: at most one session timeout later, plus
//!   a tick of the server.
//! - A set that is followed is never behind what its session has read. While no server can be
//!   reached, the last known set stays in use ([`Service::is_live`] tells).
//! - An instance that is disabled, or fails its health check, is listed and not chosen.
//! - What stands in a znode and makes no sense is skipped and reported ([`Found::skipped`]).
//!
//! With [`Discovery::new`] all ends with the session of the client. With [`Discovery::keep`] a new
//! session is opened when one has expired, in which registrations are made and sets read again, as
//! Curator does.

mod health;
mod instance;
mod json;
mod probe;
mod registration;
mod service;
mod sessions;

use std::sync::Arc;

use client::{Client, ErrorCode};

pub use balance::{Choice, Picker, PickerError, Settings, Strategy, Weight};
pub use health::{CheckError, HealthCheck, Thresholds};
pub use instance::{Health, Instance};
pub use json::Skipped;
pub use probe::{Probe, ProbeError};
pub use registration::Registration;
pub use service::{Known, Picked, Service};

use crate::contender::is_unsure;
use crate::error::Error;
use registration::register;
use sessions::Sessions;

/// The services below one znode.
#[derive(Clone, Debug)]
pub struct Discovery {
    sessions: Arc<Sessions>,
    /// Without a slash at its end.
    base: String,
}

/// The instances of a service at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// All that are registered, in the order of their ids, with those that are not to be chosen.
    pub instances: Vec<Arc<Instance>>,
    /// The znodes that describe no instance.
    pub skipped: Vec<Skipped>,
}

impl Discovery {
    /// The services below the znode `base`, which is created when it is first used. Ends with the
    /// session of the client.
    ///
    /// # Errors
    /// [`Error::Argument`] for a base that is no absolute path.
    pub fn new(client: &Client, base: &str) -> Result<Self, Error> {
        Self::with(Sessions::of(client), base)
    }

    /// As [`Self::new`], with a session that `connect` opens: at once, and again whenever it has
    /// expired. Registrations are then made again, and sets read again. While no session can be
    /// opened, it is tried again after pauses of at most two seconds.
    ///
    /// # Errors
    /// What `connect` returns the first time; [`Error::Argument`].
    pub async fn keep<F>(connect: impl Fn() -> F + Send + Sync + 'static, base: &str) -> Result<Self, Error>
    where
        F: Future<Output = Result<Client, client::Error>> + Send + 'static,
    {
        Self::with(Sessions::keep(connect).await?, base)
    }

    fn with(sessions: Sessions, base: &str) -> Result<Self, Error> {
        let trimmed = base.trim_end_matches('/');
        if !base.starts_with('/') || trimmed[..].split('/').skip(1).any(|name| !instance::is_name(name)) {
            let why = "it begins with a slash, and no name in it is empty, . or ..".to_owned();
            return Err(Error::Argument { what: "the base of the services", why });
        }
        Ok(Self { sessions: Arc::new(sessions), base: trimmed.to_owned() })
    }

    /// Registers an instance. It is registered when this returns, and until the [`Registration`]
    /// is dropped or the session ends. An instance of the same id that another session has
    /// registered is replaced: it is taken for an earlier life of this one.
    ///
    /// # Errors
    /// [`Error::Argument`] for an instance that makes no sense; the session is over, or the server
    /// refuses.
    pub async fn register(&self, mut instance: Instance) -> Result<Registration, Error> {
        instance.check()?;
        instance.registered_ms = now_ms();
        register(Arc::clone(&self.sessions), self.path_of(&instance.service)?, instance).await
    }

    /// The names of the services, sorted. A service without instances is listed until the server
    /// has removed its znode.
    ///
    /// # Errors
    /// The session is over, or the server refuses.
    pub async fn services(&self) -> Result<Vec<String>, Error> {
        let base = if self.base.is_empty() { "/" } else { &self.base };
        loop {
            match self.sessions.live().await?.get_children(base, false).await {
                Ok((names, _)) => return Ok(names),
                Err(error) if error.code() == Some(ErrorCode::NoNode) => return Ok(Vec::new()),
                Err(error) if is_unsure(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The instances of a service at this moment.
    ///
    /// # Errors
    /// As [`Self::services`]; [`Error::Argument`] for a name that no service can have.
    pub async fn instances(&self, service: &str) -> Result<Found, Error> {
        let path = self.path_of(service)?;
        loop {
            match self.sessions.live().await?.children_with_data(&path).await {
                Ok((children, _)) => {
                    let read = children.iter().map(|child| {
                        json::read(service, &child.name, child.data.as_deref().unwrap_or_default())
                    });
                    return Ok(Found::of(read));
                }
                Err(error) if error.code() == Some(ErrorCode::NoNode) => return Ok(Found::default()),
                Err(error) if is_unsure(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Follows a service as a live set, and reads it. A service that does not exist has no
    /// instances. Needs a server of ZooKeeper 3.6 or later.
    ///
    /// # Errors
    /// The strategy needs a zone and the settings name none, or the name is that of no service:
    /// [`Error::Argument`]; the session is over, or the server refuses.
    pub async fn service(
        &self,
        name: &str,
        strategy: Strategy,
        settings: Settings,
    ) -> Result<Service, Error> {
        Service::follow(Arc::clone(&self.sessions), name, self.path_of(name)?, strategy, settings).await
    }

    /// Ends the session, and with it all registrations and sets.
    ///
    /// # Errors
    /// The connection is lost: the session then ends with its timeout.
    pub async fn close(&self) -> Result<(), Error> {
        Ok(self.sessions.close().await?)
    }

    fn path_of(&self, service: &str) -> Result<String, Error> {
        instance::check_name("the name of a service", service)?;
        Ok(format!("{}/{service}", self.base))
    }
}

impl Found {
    fn of(read: impl Iterator<Item = Result<Instance, Skipped>>) -> Self {
        let mut found = Self::default();
        for one in read {
            match one {
                Ok(instance) => found.instances.push(Arc::new(instance)),
                Err(skipped) => found.skipped.push(skipped),
            }
        }
        found
    }
}

/// Milliseconds since 1970, as Curator has them.
fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as i64)
}

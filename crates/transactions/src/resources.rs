//! The resources of a process, by their names.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::participant::Participant;
use crate::{BadName, Http, MariaDb, Postgres, ResourceName, Znodes};

/// What can take part in the transactions of a process.
///
/// Every process that recovers transactions needs all resources of their cluster: what it does not
/// have, it cannot finish.
#[derive(Clone, Default)]
pub struct Resources {
    resources: BTreeMap<ResourceName, Resource>,
}

/// One of them.
#[derive(Clone)]
pub(crate) enum Resource {
    Postgres(Arc<Postgres>),
    MariaDb(Arc<MariaDb>),
    Znodes(Arc<Znodes>),
    Http(Arc<Http>),
    Other(Arc<dyn Participant>),
}

/// Why a resource is not added.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadResource {
    /// Its name has a form that names do not have.
    #[error(transparent)]
    Name(#[from] BadName),
    /// Another one has its name.
    #[error("two resources are called {0}")]
    Twice(ResourceName),
}

impl Resource {
    pub(crate) fn participant(&self) -> &dyn Participant {
        match self {
            Self::Postgres(postgres) => &**postgres,
            Self::MariaDb(mariadb) => &**mariadb,
            Self::Znodes(znodes) => &**znodes,
            Self::Http(http) => &**http,
            Self::Other(other) => &**other,
        }
    }
}

impl Resources {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a database of PostgreSQL.
    ///
    /// # Errors
    /// [`BadResource`].
    pub fn postgres(self, name: &str, database: Postgres) -> Result<Self, BadResource> {
        self.with(name, Resource::Postgres(Arc::new(database)))
    }

    /// Adds a server of MariaDB or MySQL.
    ///
    /// # Errors
    /// [`BadResource`].
    pub fn mariadb(self, name: &str, server: MariaDb) -> Result<Self, BadResource> {
        self.with(name, Resource::MariaDb(Arc::new(server)))
    }

    /// Adds znodes.
    ///
    /// # Errors
    /// [`BadResource`].
    pub fn znodes(self, name: &str, znodes: Znodes) -> Result<Self, BadResource> {
        self.with(name, Resource::Znodes(Arc::new(znodes)))
    }

    /// Adds a service.
    ///
    /// # Errors
    /// [`BadResource`].
    pub fn http(self, name: &str, service: Http) -> Result<Self, BadResource> {
        self.with(name, Resource::Http(Arc::new(service)))
    }

    /// Adds a participant of another kind.
    ///
    /// # Errors
    /// [`BadResource`].
    pub fn other(self, name: &str, participant: Arc<dyn Participant>) -> Result<Self, BadResource> {
        self.with(name, Resource::Other(participant))
    }

    fn with(mut self, name: &str, resource: Resource) -> Result<Self, BadResource> {
        let name = ResourceName::new(name)?;
        match self.resources.contains_key(&name) {
            true => Err(BadResource::Twice(name)),
            false => {
                self.resources.insert(name, resource);
                Ok(self)
            }
        }
    }

    /// The participant of this name.
    pub fn participant(&self, name: &ResourceName) -> Option<&dyn Participant> {
        self.resources.get(name).map(Resource::participant)
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &ResourceName> {
        self.resources.keys()
    }

    pub(crate) fn find(&self, name: &str) -> Option<(&ResourceName, &Resource)> {
        self.resources.iter().find(|(known, _)| known.as_str() == name)
    }
}

impl std::fmt::Debug for Resources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.resources.keys().map(ResourceName::as_str)).finish()
    }
}

//! Resources as a file names them.

use std::collections::BTreeMap;
use std::time::Duration;

use client::Client;
use serde::Deserialize;

use crate::database_tls::DatabaseCa;
use crate::participant::Trouble;
use crate::resources::{BadResource, Resources};
use crate::{Http, MariaDb, Postgres, Znodes};

/// A file's content.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Configuration {
    resources: BTreeMap<String, Kind>,
}

/// One resource.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Postgres(String),
    MariaDb(String),
    Znodes(String),
    Http(String),
}

/// Why a file does not name resources.
#[derive(Debug, thiserror::Error)]
pub enum BadConfiguration {
    /// It is not the JSON that is expected.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// A resource cannot be called so.
    #[error(transparent)]
    Resource(#[from] BadResource),
    /// Where a resource is cannot be understood.
    #[error("{name}: {trouble}")]
    Place {
        /// The resource.
        name: String,
        /// Why.
        #[source]
        trouble: Trouble,
    },
}

/// The resources of a text of JSON, all with the bound `step` for each exchange:
///
/// ```json
/// {"resources": {
///   "orders": {"postgres": "host=db1 user=shop dbname=shop sslmode=verify-full sslrootcert=/etc/ca.pem"},
///   "stock": {"mariadb": "mysql://shop:secret@db2/shop"},
///   "config": {"znodes": "/transactions/shop-znodes"},
///   "billing": {"http": "http://billing:8080"}
/// }}
/// ```
///
/// Znodes are those of `client`; their text is where they are staged.
///
/// # Errors
/// [`BadConfiguration`].
pub fn configured(json: &str, client: &Client, step: Duration) -> Result<Resources, BadConfiguration> {
    read(json, client, step, None)
}

/// As [`configured`]. Databases whose texts do not say otherwise are connected to with TLS, and
/// trusted by `ca`, as [`Postgres::new_with_ca`] and [`MariaDb::new_with_ca`] say.
///
/// # Errors
/// [`BadConfiguration`].
pub fn configured_with_ca(
    json: &str,
    client: &Client,
    step: Duration,
    ca: &DatabaseCa,
) -> Result<Resources, BadConfiguration> {
    read(json, client, step, Some(ca))
}

fn read(
    json: &str,
    client: &Client,
    step: Duration,
    ca: Option<&DatabaseCa>,
) -> Result<Resources, BadConfiguration> {
    let configuration: Configuration = serde_json::from_str(json)?;
    let mut resources = Resources::new();
    for (name, kind) in configuration.resources {
        let place = |trouble| BadConfiguration::Place { name: name.clone(), trouble };
        resources = match kind {
            Kind::Postgres(text) => {
                resources.postgres(&name, Postgres::read(&text, step, ca).map_err(place)?)?
            }
            Kind::MariaDb(url) => resources.mariadb(&name, MariaDb::read(&url, step, ca).map_err(place)?)?,
            Kind::Znodes(root) => resources.znodes(&name, Znodes::new(client, &root, step))?,
            Kind::Http(url) => resources.http(&name, Http::new(&url, step).map_err(place)?)?,
        };
    }
    Ok(resources)
}

//! Where the stores are, directly and through cables.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use mysql_async::Opts;
use serde::{Deserialize, Serialize};

use super::cable::Cable;

/// What one connects to the stores with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Places {
    /// A connect string.
    pub(super) ensemble: String,
    /// `host=… port=…`, and more.
    pub(super) postgres: String,
    /// A URL.
    pub(super) mariadb: String,
}

impl Places {
    /// The same stores, all through one cable.
    pub(super) async fn through(&self, cable: &Arc<Cable>) -> Places {
        let mut ensemble = Vec::new();
        for address in self.ensemble.split(',') {
            let port = cable.to(address.parse().expect("an address")).await;
            ensemble.push(here(port).to_string());
        }
        let databases = self.databases_through(cable, cable).await;
        Places { ensemble: ensemble.join(","), ..databases }
    }

    /// The same stores, each database through a cable of its own.
    pub(super) async fn databases_through(&self, postgres: &Arc<Cable>, mariadb: &Arc<Cable>) -> Places {
        let config: tokio_postgres::Config = self.postgres.parse().expect("a connection string");
        let postgres_port = config.get_ports()[0];
        let postgres_here = postgres.to(here(postgres_port)).await;
        let mariadb_port = Opts::from_url(&self.mariadb).expect("a URL").tcp_port();
        let mariadb_here = mariadb.to(here(mariadb_port)).await;
        let port = |port: u16| format!("port={port} ");
        let authority = |port: u16| format!(":{port}/");
        Places {
            ensemble: self.ensemble.clone(),
            postgres: self.postgres.replace(&port(postgres_port), &port(postgres_here)),
            mariadb: self.mariadb.replace(&authority(mariadb_port), &authority(mariadb_here)),
        }
    }
}

fn here(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

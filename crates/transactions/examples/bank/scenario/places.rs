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
    /// A URL.
    pub(super) service: String,
}

impl Places {
    /// The same stores, all through one cable.
    pub(super) async fn through(&self, cable: &Arc<Cable>) -> Places {
        let mut ensemble = Vec::new();
        for address in self.ensemble.split(',') {
            let port = cable.to(address.parse().expect("an address")).await;
            ensemble.push(here(port).to_string());
        }
        let others = self.each_through(cable, cable, cable).await;
        Places { ensemble: ensemble.join(","), ..others }
    }

    /// The same stores, all but the ensemble through these cables.
    pub(super) async fn each_through(
        &self,
        postgres: &Arc<Cable>,
        mariadb: &Arc<Cable>,
        service: &Arc<Cable>,
    ) -> Places {
        let config: tokio_postgres::Config = self.postgres.parse().expect("a connection string");
        let postgres_port = config.get_ports()[0];
        let postgres_here = postgres.to(here(postgres_port)).await;
        let mariadb_port = Opts::from_url(&self.mariadb).expect("a URL").tcp_port();
        let mariadb_here = mariadb.to(here(mariadb_port)).await;
        let address = self.service.trim_start_matches("http://").parse().expect("a URL of an address");
        let service_here = service.to(address).await;
        let port = |port: u16| format!("port={port} ");
        let authority = |port: u16| format!(":{port}/");
        Places {
            ensemble: self.ensemble.clone(),
            postgres: self.postgres.replace(&port(postgres_port), &port(postgres_here)),
            mariadb: self.mariadb.replace(&authority(mariadb_port), &authority(mariadb_here)),
            service: format!("http://{}", here(service_here)),
        }
    }
}

fn here(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

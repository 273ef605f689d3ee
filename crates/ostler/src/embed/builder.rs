//! How a server is configured and started.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use server::config::{self, CommandLine, Config, ConfigError, Loaded};
use server::handler::HandlerSettings;
use server::serve::{Server as Running, StartError as ServeError};

use super::handler::Handler;
use super::method::{Method, Methods};
use super::server::Server;
use super::workers;
use super::zoo_server::{Calls, ZooServer};

/// How long a client waits for a method, unless the program says otherwise.
const DEADLINE: Duration = Duration::from_secs(10);
/// Requests that wait for a method.
const WAITING_MAX: usize = 10_000;
/// The same in bytes.
const WAITING_BYTES_MAX: usize = 64 << 20;

/// The settings of a server.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Builder {
    command_line: CommandLine,
    deadline: Option<Duration>,
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The port or the data cannot be opened, or what [`server::serve::StartError`] says.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The methods and the settings do not go together.
    #[error("{0}")]
    Unsuited(String),
    /// The system refused a thread or a signal handler.
    #[error("cannot start a thread: {0}")]
    System(#[from] io::Error),
}

impl Builder {
    /// Takes the settings of a zoo.cfg.
    pub fn config(mut self, file: impl Into<PathBuf>) -> Builder {
        self.command_line.config = Some(file.into());
        self
    }

    /// Where snapshots and the log are (`dataDir`); `./ostler-data` without a configuration.
    pub fn data_dir(mut self, folder: impl Into<PathBuf>) -> Builder {
        self.command_line.data_dir = Some(folder.into());
        self
    }

    /// The port for clients (`clientPort`); 2181 without a configuration, and 0 takes a free one.
    pub fn port(mut self, port: u16) -> Builder {
        self.command_line.client_port = Some(port);
        self
    }

    /// The address for clients (`clientPortAddress`); 127.0.0.1 without a configuration.
    pub fn address(mut self, address: impl Into<String>) -> Builder {
        self.command_line.client_port_address = Some(address.into());
        self
    }

    /// Any other setting, by its name in zoo.cfg or as a system property of ZooKeeper.
    pub fn set(mut self, key: &str, value: &str) -> Builder {
        self.command_line.definitions.push(format!("{key}={value}"));
        self
    }

    /// How long a client waits for a method before its request fails with `OperationTimeout`. 10 s
    /// unless set; at least 10 ms.
    pub fn deadline(mut self, deadline: Duration) -> Builder {
        self.deadline = Some(deadline.max(Duration::from_millis(10)));
        self
    }

    /// Starts the server.
    ///
    /// # Errors
    /// See [`StartError`]. Nothing is left running then.
    pub fn start(self, server: impl ZooServer) -> Result<Server, StartError> {
        self.start_with(Calls(server))
    }

    /// Starts a server whose requests go to this handler.
    ///
    /// # Errors
    /// See [`StartError`]. Nothing is left running then.
    pub fn start_with(self, handler: impl Handler) -> Result<Server, StartError> {
        let Loaded { mut config, warnings } = config::load(&self.command_line)?;
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        let methods = handler.methods();
        check(&config, methods)?;
        if methods != Methods::NONE {
            // No method would be asked about the requests that only ClickHouse Keeper has.
            config.requests.keeper_extensions = false;
        }
        let settings = HandlerSettings {
            operations: methods.operations(),
            hears_of_sessions: methods.has(Method::SessionOpened) || methods.has(Method::SessionClosed),
            deadline: self.deadline.unwrap_or(DEADLINE),
            waiting_max: WAITING_MAX,
            waiting_bytes_max: WAITING_BYTES_MAX,
        };
        let running = Running::start_for(config, Some(settings))?;
        let threads = workers::start(running.shared(), handler);
        match threads {
            Ok(threads) => Ok(Server::new(running, threads)),
            Err(error) => {
                running.stopper().stop();
                // It has served nobody yet.
                let _ended = running.wait();
                Err(error.into())
            }
        }
    }
}

/// Checks whether a server with this configuration can have these methods.
fn check(config: &Config, methods: Methods) -> Result<(), StartError> {
    let writing = methods.iter().find(|method| method.concerns_writes());
    match (&config.ensemble, writing) {
        (Some(_), Some(method)) => Err(StartError::Unsuited(format!(
            "the method {method:?} concerns writes, which all servers of an ensemble must execute alike: only a \
             single server may have it. In an ensemble, methods may answer reads"
        ))),
        _ => Ok(()),
    }
}

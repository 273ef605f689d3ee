//! The options that all commands have in common.

use clap::Args;
use client::Client;
use recipes::config::{Change, Store};

use super::error::CommandError;
use crate::session_options::SessionArgs;
use crate::user::user_and_host;

/// Which servers, and how to connect.
#[derive(Args, Debug, Clone)]
pub(super) struct ConnectArgs {
    #[command(flatten)]
    session: SessionArgs,
}

impl ConnectArgs {
    /// Opens a session.
    pub(super) async fn open(&self) -> Result<Client, CommandError> {
        Ok(Client::open(&self.session.server, self.session.settings()?).await?)
    }

    /// Does something with a configuration, in a session that then ends.
    pub(super) async fn with_store<T>(
        &self,
        root: &str,
        work: impl AsyncFnOnce(&Store) -> Result<T, CommandError>,
    ) -> Result<T, CommandError> {
        // Refused before anything is sent.
        let client = match root.starts_with('/') {
            true => self.open().await?,
            false => {
                let why = "it has to begin with a slash".to_owned();
                return Err(recipes::config::Error::Argument { what: format!("ROOT {root}"), why }.into());
            }
        };
        // Another session than the one that wrote last may be behind it.
        client.sync("/").await?;
        let done = work(&Store::new(&client, root)?).await;
        // The session ends in any case, at the latest with its timeout.
        let _ = client.close().await;
        done
    }
}

/// Which configuration to change, and who changes it.
#[derive(Args, Debug)]
pub(super) struct ChangeArgs {
    /// The znode of the configuration. The first change creates it.
    pub(super) root: String,
    #[command(flatten)]
    pub(super) author: AuthorArgs,
    /// Print JSON: the new revision, or what is shown.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) connect: ConnectArgs,
}

/// Who changes something, and why.
#[derive(Args, Debug, Clone)]
pub(super) struct AuthorArgs {
    /// Why, for the history.
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    /// Who, for the history; the user and the host by default.
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Change only this revision: otherwise exit with 5.
    #[arg(long, value_name = "REVISION")]
    at: Option<u64>,
}

impl AuthorArgs {
    pub(super) fn change(&self) -> Change {
        let mut change = Change::by(&self.by.clone().unwrap_or_else(user_and_host));
        if let Some(message) = &self.message {
            change = change.because(message);
        }
        match self.at {
            Some(revision) => change.only_at(revision),
            None => change,
        }
    }
}

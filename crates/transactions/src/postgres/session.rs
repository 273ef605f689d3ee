//! One connection to PostgreSQL.

use std::error::Error as _;
use std::ops::Deref;
use std::time::{Duration, SystemTime};

use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

use super::encryption::Encryption;
use crate::participant::{Prepared, Trouble};
use crate::sessions::State;

/// A session of PostgreSQL, in the transaction of a branch. It is a [`tokio_postgres::Client`].
pub struct PostgresSession {
    client: Client,
    backend: i32,
    started: String,
    state: State,
}

/// Why a statement has no result.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The server refused it.
    #[error("{0}")]
    Refused(String),
    /// There was no answer: it may be executed.
    #[error("{0}")]
    Lost(String),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(why) => Self::Refused(why),
            Failure::Lost(why) => Self::Away(why),
        }
    }
}

/// A row of texts; `None` is NULL.
type Row = Vec<Option<String>>;

impl PostgresSession {
    /// Connects, and checks that the server takes prepared transactions.
    pub(super) async fn open(
        config: &Config,
        encryption: Option<&Encryption>,
        step: Duration,
    ) -> Result<Self, Trouble> {
        let connect = tokio::time::timeout(step, connect(config, encryption)).await;
        let connected = connect.map_err(|_| Trouble::Away(format!("no connection in {step:?}")))?;
        let client = connected.map_err(|error| match (error.as_db_error(), encryption) {
            // It is starting, ending, or has no place left.
            (Some(refusal), _) if !is_passing(refusal.code().code()) => Trouble::Unfit(text(&error)),
            (None, Some(encryption)) => encryption.trouble(&error),
            _ => Trouble::Away(text(&error)),
        })?;
        let mut session = Self { client, backend: 0, started: String::new(), state: State::Working };
        let ask = "SELECT pid, backend_start, current_setting('max_prepared_transactions') \
                   FROM pg_stat_activity WHERE pid = pg_backend_pid()";
        let rows = session.ask(ask, step).await.map_err(Trouble::from)?;
        let mut columns = rows.into_iter().next().unwrap_or_default().into_iter().flatten();
        session.backend = columns.next().and_then(|pid| pid.parse().ok()).unwrap_or_default();
        session.started = columns.next().unwrap_or_default();
        match columns.next().as_deref() {
            Some("0") => Err(Trouble::Unfit(
                "max_prepared_transactions is 0 in PostgreSQL: set it to the number of transactions at once, \
                 and restart the server"
                    .to_owned(),
            )),
            _ => Ok(session),
        }
    }

    pub(super) fn with_state(self, state: State) -> Self {
        Self { state, ..self }
    }

    pub(super) fn state(&self) -> State {
        self.state
    }

    /// What selects this session in `pg_stat_activity`. The number alone may be another's later.
    pub(super) fn condition(&self) -> String {
        format!("pid = {} AND backend_start = '{}'", self.backend, self.started)
    }

    pub(super) async fn execute(&self, statement: &str, step: Duration) -> Result<(), Failure> {
        self.ask(statement, step).await.map(drop)
    }

    pub(super) async fn ask(&self, statement: &str, step: Duration) -> Result<Vec<Row>, Failure> {
        let answer = tokio::time::timeout(step, self.client.simple_query(statement)).await;
        let messages = match answer {
            Ok(Ok(messages)) => messages,
            Ok(Err(error)) if is_refusal(&error) => return Err(Failure::Refused(text(&error))),
            Ok(Err(error)) => return Err(Failure::Lost(text(&error))),
            Err(_) => return Err(Failure::Lost(format!("no answer in {step:?}"))),
        };
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect())
            }
            _ => None,
        });
        Ok(rows.collect())
    }
}

impl Deref for PostgresSession {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

/// Connects. A task keeps the connection going.
async fn connect(config: &Config, encryption: Option<&Encryption>) -> Result<Client, tokio_postgres::Error> {
    // Errors of the connection come to the one who waits for an answer.
    match encryption {
        None => {
            let (client, connection) = config.connect(NoTls).await?;
            tokio::spawn(async move { drop(connection.await) });
            Ok(client)
        }
        Some(encryption) => {
            let (client, connection) = config.connect(encryption.clone()).await?;
            tokio::spawn(async move { drop(connection.await) });
            Ok(client)
        }
    }
}

/// Whether the server has answered the statement, and lives on. When it ends a session, it says so
/// as an error too, and has perhaps executed the statement.
fn is_refusal(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_some_and(|refusal| !is_passing(refusal.code().code()))
}

/// Whether an error is about the session or the server, and not about the statement.
fn is_passing(code: &str) -> bool {
    // Connection exceptions, insufficient resources, operator intervention.
    code.starts_with("08") || code.starts_with("53") || (code.starts_with("57") && code != "57014")
}

/// The first column of the first row.
pub(super) fn first_value(rows: Vec<Row>) -> String {
    rows.into_iter().flatten().flatten().next().unwrap_or_default()
}

/// The prepared branch of a row of name and milliseconds; `None` if it is not ours.
pub(super) fn prepared(row: Row) -> Option<Prepared> {
    let mut columns = row.into_iter().flatten();
    let branch = columns.next()?.parse().ok()?;
    let since_ms: Option<u64> = columns.next().and_then(|since| since.parse().ok());
    let since = since_ms.map(|since| SystemTime::UNIX_EPOCH + Duration::from_millis(since));
    Some(Prepared { branch, since })
}

/// An error with its cause, which alone says what the server has said.
pub(super) fn text(error: &tokio_postgres::Error) -> String {
    match (error.as_db_error(), error.source()) {
        (Some(refusal), _) => refusal.message().to_owned(),
        (None, Some(cause)) => format!("{error}: {cause}"),
        (None, None) => error.to_string(),
    }
}

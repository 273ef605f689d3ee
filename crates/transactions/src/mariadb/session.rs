//! One connection to MariaDB.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use crate::BranchId;
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, DriverError, Error, Opts, Row, ServerError};

use crate::database_tls::refused_certificate;
use crate::participant::{Order, Trouble};
use crate::sessions::State;

/// Tells our XA transactions from those of other programs, which use other numbers.
const FORMAT: u32 = 0x4f73_746c;
/// The server's errors by their numbers.
pub(super) const NO_SUCH_XID: u16 = 1397;
const ACCESS_DENIED: u16 = 1045;
const XA_REFUSED: [u16; 2] = [1401, 1227];

/// A session of MariaDB, in the transaction of a branch. It is a [`mysql_async::Conn`].
pub struct MariaDbSession {
    connection: Conn,
    number: u64,
    state: State,
}

/// Why a statement has no result.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server refused it.
    Refused(ServerError),
    /// There was no answer: it may be executed.
    Lost(String),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(refusal) if XA_REFUSED.contains(&refusal.code) => {
                Self::Unfit(format!("the user may not see prepared XA transactions: {}", refusal.message))
            }
            Failure::Refused(refusal) => Self::Refused(refusal.message),
            Failure::Lost(why) => Self::Away(why),
        }
    }
}

/// The name of a branch in XA's statements.
pub(super) struct Xid(String);

impl Xid {
    pub(super) fn of(branch: &BranchId) -> Self {
        Self(format!("'{}','{}',{FORMAT}", branch.transaction, branch.branch.qualifier()))
    }

    pub(super) fn start(&self) -> String {
        format!("XA START {}", self.0)
    }

    /// Two statements in one request.
    pub(super) fn prepare(&self) -> String {
        format!("XA END {0}; XA PREPARE {0}", self.0)
    }

    /// The statement that finishes a prepared branch.
    pub(super) fn finish(&self, order: Order) -> String {
        match order {
            Order::Commit => format!("XA COMMIT {}", self.0),
            Order::Abort => self.rollback(),
        }
    }

    pub(super) fn commit_at_once(&self) -> String {
        format!("XA END {0}; XA COMMIT {0} ONE PHASE", self.0)
    }

    pub(super) fn end(&self) -> String {
        format!("XA END {}", self.0)
    }

    pub(super) fn rollback(&self) -> String {
        format!("XA ROLLBACK {}", self.0)
    }
}

impl MariaDbSession {
    /// Connects, checks that the server can take part, and takes the lock that marks the session.
    /// Also returns all prepared branches that are Ostler's.
    pub(super) async fn open(options: &Opts, step: Duration) -> Result<(Self, Vec<BranchId>), Trouble> {
        let connect = tokio::time::timeout(step, Conn::new(options.clone())).await;
        let connected = connect.map_err(|_| Trouble::Away(format!("no connection in {step:?}")))?;
        let connection =
            connected.map_err(|error| refused_connection(error, options.ssl_opts().is_some()))?;
        let mut number = [0; 8];
        getrandom::fill(&mut number).map_err(|error| Trouble::Refused(error.to_string()))?;
        let number = u64::from_le_bytes(number);
        let mut session = Self { connection, number, state: State::Working };
        let mark = format!("DO GET_LOCK('{}', 0)", lock_name(number));
        session.execute(&mark, step).await.map_err(Trouble::from)?;
        check_version(&session.version(step).await.map_err(Trouble::from)?)?;
        let prepared = session.prepared(step).await.map_err(Trouble::from)?;
        Ok((session, prepared))
    }

    /// What the lock that this session holds is named after.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn with_state(self, state: State) -> Self {
        Self { state, ..self }
    }

    pub(super) fn state(&self) -> State {
        self.state
    }

    /// Whether the next answer that comes would be that of its own question. It is not when the
    /// program has dropped the future of a statement that was sent.
    pub(super) fn is_in_step(&self) -> bool {
        !self.connection.is_disconnected()
    }

    fn in_step(&self) -> Result<(), Failure> {
        let why = "a statement was given up before its answer came";
        self.is_in_step().then_some(()).ok_or_else(|| Failure::Lost(why.to_owned()))
    }

    pub(super) async fn execute(&mut self, statement: &str, step: Duration) -> Result<(), Failure> {
        self.in_step()?;
        within(step, self.connection.query_drop(statement)).await
    }

    async fn version(&mut self, step: Duration) -> Result<String, Failure> {
        let version: Option<String> = within(step, self.connection.query_first("SELECT VERSION()")).await?;
        Ok(version.unwrap_or_default())
    }

    /// All prepared branches that are Ostler's.
    pub(super) async fn prepared(&mut self, step: Duration) -> Result<Vec<BranchId>, Failure> {
        self.in_step()?;
        let rows: Vec<Row> = within(step, self.connection.query("XA RECOVER")).await?;
        Ok(rows.into_iter().filter_map(branch_of).collect())
    }

    /// The server's number of the session that holds the lock of this name, if there is one.
    pub(super) async fn holder(&mut self, number: u64, step: Duration) -> Result<Option<u64>, Failure> {
        self.in_step()?;
        let ask = format!("SELECT IS_USED_LOCK('{}')", lock_name(number));
        let row: Option<Option<u64>> = within(step, self.connection.query_first(ask)).await?;
        Ok(row.flatten())
    }
}

impl Deref for MariaDbSession {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        &self.connection
    }
}

impl DerefMut for MariaDbSession {
    fn deref_mut(&mut self) -> &mut Conn {
        &mut self.connection
    }
}

/// Why there is no connection. What an operator has to change does not pass.
fn refused_connection(error: Error, is_encrypted: bool) -> Trouble {
    match error {
        // Too many connections, or the server is ending.
        Error::Server(refusal) if [1040, 1053, 1203].contains(&refusal.code) => {
            Trouble::Away(refusal.message)
        }
        Error::Server(refusal) if refusal.code == ACCESS_DENIED && !is_encrypted => {
            Trouble::Unfit(format!("{} (so says a server that demands TLS, too)", refusal.message))
        }
        Error::Server(refusal) => Trouble::Unfit(refusal.message),
        Error::Driver(DriverError::NoClientSslFlagFromServer) => {
            Trouble::Unfit("the server does not support TLS, and its URL demands it".to_owned())
        }
        error if refused_certificate(&error) => {
            Trouble::Unfit(format!("its certificate is not accepted: {error}"))
        }
        other => Trouble::Away(other.to_string()),
    }
}

async fn within<T>(step: Duration, answer: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
    match tokio::time::timeout(step, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        // The server is ending, or ends this session.
        Ok(Err(Error::Server(refusal))) if ![1053, 1927, 1317].contains(&refusal.code) => {
            Err(Failure::Refused(refusal))
        }
        Ok(Err(error)) => Err(Failure::Lost(error.to_string())),
        Err(_) => Err(Failure::Lost(format!("no answer in {step:?}"))),
    }
}

fn lock_name(number: u64) -> String {
    format!("ostler-{number:016x}")
}

/// Refuses servers that roll a prepared branch back when its session ends.
fn check_version(version: &str) -> Result<(), Trouble> {
    let mut numbers = version.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let found = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    let needed = if version.contains("MariaDB") { (10, 5) } else { (8, 0) };
    match found >= needed {
        true => Ok(()),
        false => Err(Trouble::Unfit(format!(
            "version {version} forgets a prepared transaction when its session ends; {}.{} does not",
            needed.0, needed.1
        ))),
    }
}

/// The branch of a row of `XA RECOVER`: format, lengths of both parts, both parts as one text.
fn branch_of(row: Row) -> Option<BranchId> {
    let (format, gtrid, bqual, data): (u32, usize, usize, Vec<u8>) = mysql_async::from_row_opt(row).ok()?;
    let text = std::str::from_utf8(&data).ok()?;
    let (gtrid, rest) = text.split_at_checked(gtrid)?;
    (format == FORMAT).then_some(())?;
    BranchId::from_xa(gtrid, rest.get(..bqual)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_that_forget_prepared_transactions_are_refused() {
        for old in ["10.4.34-MariaDB", "5.7.44-log", ""] {
            assert!(check_version(old).is_err(), "{old}");
        }
        for new in ["10.5.0-MariaDB", "10.11.19-MariaDB-0+deb12u1", "11.4.2-MariaDB-log", "8.0.36"] {
            assert_eq!(check_version(new), Ok(()), "{new}");
        }
    }
}

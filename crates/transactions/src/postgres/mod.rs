//! PostgreSQL, by `PREPARE TRANSACTION`.

mod connection;
mod encryption;
mod finish;
mod session;

use std::time::Duration;

use crate::{Branch, BranchId, Cluster, ResourceName, TransactionId};
use async_trait::async_trait;
use tokio_postgres::Config;
use tokio_postgres::config::SslMode;

use crate::database_tls::DatabaseCa;
use crate::participant::{Finish, Order, Participant, Prepared, Trouble, Vote};
use crate::sessions::{Lent, Sessions, State, Taken};
use crate::turns::Turns;
use encryption::Encryption;
pub use session::PostgresSession;
use session::{Failure, first_value};

/// A database of a PostgreSQL server, version 13 or later.
///
/// The server must have `max_prepared_transactions` above the number of transactions that are under
/// way at once. Its user needs no rights besides those for the application's own tables; it must be
/// the same in all processes, or a superuser.
///
/// A branch works in one session. It is in a transaction already: `COMMIT` and `ROLLBACK` are not
/// the program's. Sessions are used again, so what a branch sets, it sets with `SET LOCAL`.
pub struct Postgres {
    config: Config,
    /// `None`: connections without TLS.
    encryption: Option<Encryption>,
    step: Duration,
    sessions: Sessions<PostgresSession>,
    turns: Turns,
}

impl Postgres {
    /// The database that `connection` names, as a URL or as `host=… user=… dbname=…`. It is
    /// connected to when it is first needed. `step` bounds each exchange with the server.
    ///
    /// Connections have no TLS, unless the text has one of libpq's `sslmode`s: `require` encrypts,
    /// `verify-ca` also demands a certificate that is signed by one of the file `sslrootcert=…`
    /// (PEM or DER), and `verify-full` demands that it names the host, too. As in libpq, `require`
    /// with an `sslrootcert` is `verify-ca`; an `sslrootcert` alone is `verify-full`. `allow` and
    /// `prefer` are without TLS.
    ///
    /// # Errors
    /// The text is not understood, or the file cannot be used.
    pub fn new(connection: &str, step: Duration) -> Result<Self, Trouble> {
        Self::read(connection, step, None)
    }

    /// As [`Self::new`], with the certificates to trust where the text has no `sslrootcert`; its
    /// `sslmode` is `verify-full` unless it says otherwise.
    ///
    /// # Errors
    /// The text is not understood, or the file that it names cannot be used.
    pub fn new_with_ca(connection: &str, step: Duration, ca: &DatabaseCa) -> Result<Self, Trouble> {
        Self::read(connection, step, Some(ca))
    }

    pub(crate) fn read(connection: &str, step: Duration, ca: Option<&DatabaseCa>) -> Result<Self, Trouble> {
        let (config, encryption) = connection::read(connection, ca)?;
        Ok(Self::with_encryption(config, encryption, step))
    }

    /// As [`Self::new`]. `SslMode::Require` is `sslmode=require`, other modes are without TLS.
    pub fn with_config(config: Config, step: Duration) -> Self {
        let encryption = (config.get_ssl_mode() == SslMode::Require).then(Encryption::of_anybody);
        Self::with_encryption(config, encryption, step)
    }

    fn with_encryption(mut config: Config, encryption: Option<Encryption>, step: Duration) -> Self {
        config.connect_timeout(step);
        config.ssl_mode(if encryption.is_some() { SslMode::Require } else { SslMode::Disable });
        Self { config, encryption, step, sessions: Sessions::new(), turns: Turns::default() }
    }

    /// Begins a branch. The session is in its transaction; dropping it, or the branch's end, gives
    /// it back.
    ///
    /// # Errors
    /// The server cannot be reached, or cannot take part.
    pub async fn begin(
        &self,
        transaction: &TransactionId,
        resource: &ResourceName,
    ) -> Result<(BranchId, Lent<PostgresSession>), Trouble> {
        let branch = Branch { resource: resource.clone(), session: None };
        let branch = BranchId { transaction: *transaction, branch };
        let begin = format!("BEGIN; SET LOCAL ostler.branch = '{branch}'");
        // An idle session may have lost its server meanwhile; a new one has not.
        while let Some(session) = self.sessions.idle(|session| !session.is_closed()) {
            match session.execute(&begin, self.step).await {
                Ok(()) => return Ok((branch.clone(), self.sessions.assign(&branch, session))),
                Err(Failure::Lost(_)) => self.sessions.close_idle(),
                Err(Failure::Refused(_)) => {}
            }
        }
        let session = self.connect().await?;
        session.execute(&begin, self.step).await.map_err(Trouble::from)?;
        Ok((branch.clone(), self.sessions.assign(&branch, session)))
    }

    /// The session of a branch again; `None` if the program has it already, or there is no such
    /// branch.
    pub fn session(&self, branch: &BranchId) -> Option<Lent<PostgresSession>> {
        self.sessions.lend(branch)
    }

    async fn connect(&self) -> Result<PostgresSession, Trouble> {
        PostgresSession::open(&self.config, self.encryption.as_ref(), self.step).await
    }

    /// A session that belongs to no branch.
    async fn any_session(&self) -> Result<PostgresSession, Trouble> {
        // An idle session may have lost its server meanwhile; a new one has not.
        while let Some(session) = self.sessions.idle(|session| !session.is_closed()) {
            match session.execute("", self.step).await {
                Ok(()) => return Ok(session),
                Err(Failure::Lost(_)) => self.sessions.close_idle(),
                Err(Failure::Refused(_)) => {}
            }
        }
        self.connect().await
    }

    /// The number of the branch's transaction in this database; empty if it has changed nothing.
    async fn own_number(&self, branch: &BranchId, session: &PostgresSession) -> Result<String, Failure> {
        let ask = "SELECT coalesce(current_setting('ostler.branch', true), ''), \
                   coalesce(pg_current_xact_id_if_assigned()::text, '')";
        let rows = session.ask(ask, self.step).await?;
        let mut columns = rows.into_iter().next().unwrap_or_default().into_iter().flatten();
        let (name, number) = (columns.next().unwrap_or_default(), columns.next().unwrap_or_default());
        match name == branch.to_string() {
            true => Ok(number),
            false => Err(Failure::Refused("its transaction was ended by the program itself".to_owned())),
        }
    }

    /// Sends the question for the number and the preparation together.
    async fn prepare_in(&self, branch: &BranchId, session: &PostgresSession) -> Result<Vote, Failure> {
        let prepare = format!("PREPARE TRANSACTION '{branch}'");
        // The first is sent first.
        let (number, prepared) =
            tokio::join!(self.own_number(branch, session), session.execute(&prepare, self.step));
        match (number, prepared) {
            (Err(Failure::Lost(why)), _) | (_, Err(Failure::Lost(why))) => Err(Failure::Lost(why)),
            (Ok(receipt), Ok(())) if receipt.is_empty() => {
                session.execute(&format!("COMMIT PREPARED '{branch}'"), self.step).await?;
                Ok(Vote::ReadOnly)
            }
            (Ok(receipt), Ok(())) => Ok(Vote::Prepared { receipt }),
            (Err(refusal), Ok(())) => {
                // It was another transaction, which the program has begun, or a failed one, which
                // the server has rolled back instead.
                match session.execute(&format!("ROLLBACK PREPARED '{branch}'"), self.step).await {
                    Err(Failure::Lost(why)) => Err(Failure::Lost(why)),
                    Ok(()) | Err(Failure::Refused(_)) => Err(refusal),
                }
            }
            (Ok(_) | Err(_), Err(refusal)) => Err(refusal),
        }
    }
}

#[async_trait]
impl Participant for Postgres {
    async fn check(&self) -> Result<(), Trouble> {
        let session = self.connect().await?;
        self.sessions.keep(session);
        Ok(())
    }

    async fn prepare(&self, branch: &BranchId) -> Vote {
        let _turn = self.turns.turn(branch).await;
        let session = match self.sessions.take(branch) {
            Taken::Session(session) => session,
            Taken::Lent => return Vote::Refused("the program still uses its session".to_owned()),
            Taken::Unknown => return Vote::Refused("there is no such branch".to_owned()),
        };
        match self.prepare_in(branch, &session).await {
            Ok(vote @ Vote::Prepared { .. }) => {
                self.sessions.put(branch, session.with_state(State::Prepared));
                vote
            }
            Ok(vote) => {
                self.sessions.keep(session);
                vote
            }
            Err(Failure::Refused(why)) => {
                if session.execute("ROLLBACK", self.step).await.is_ok() {
                    self.sessions.keep(session);
                }
                Vote::Refused(why)
            }
            Err(Failure::Lost(why)) => {
                self.sessions.put(branch, session.with_state(State::Doubtful));
                Vote::Unknown(why)
            }
        }
    }

    async fn commit_at_once(&self, branch: &BranchId) -> Finish {
        let _turn = self.turns.turn(branch).await;
        let session = match self.sessions.take(branch) {
            Taken::Session(session) => session,
            Taken::Lent => return Finish::Refused("the program still uses its session".to_owned()),
            Taken::Unknown => return Finish::Refused("there is no such branch".to_owned()),
        };
        let number = match self.own_number(branch, &session).await {
            Ok(number) => number,
            Err(failure) => {
                // Closed, it is rolled back: nothing was asked of it yet.
                return Finish::Refused(failure.to_string());
            }
        };
        match session.execute("COMMIT", self.step).await {
            Ok(()) => {
                self.sessions.keep(session);
                Finish::Done
            }
            Err(Failure::Refused(why)) => Finish::Refused(why),
            Err(Failure::Lost(why)) => self.look_for(&session, &number, why).await,
        }
    }

    async fn commit(&self, branch: &BranchId, receipt: &str) -> Finish {
        let _turn = self.turns.turn(branch).await;
        self.finish(branch, receipt, Order::Commit).await
    }

    async fn abort(&self, branch: &BranchId, receipt: &str) -> Finish {
        let _turn = self.turns.turn(branch).await;
        match self.sessions.take(branch) {
            Taken::Session(session) => self.abort_in(branch, receipt, session).await,
            Taken::Lent => {
                self.sessions.forget(branch);
                Finish::Done
            }
            Taken::Unknown => self.finish(branch, receipt, Order::Abort).await,
        }
    }

    async fn prepared(&self, cluster: Cluster) -> Result<Vec<Prepared>, Trouble> {
        let ask = format!(
            "SELECT gid, (extract(epoch FROM prepared) * 1000)::bigint FROM pg_prepared_xacts \
             WHERE database = current_database() AND starts_with(gid, '{}')",
            cluster.prefix()
        );
        let session = self.any_session().await?;
        let rows = session.ask(&ask, self.step).await.map_err(Trouble::from)?;
        self.sessions.keep(session);
        Ok(rows.into_iter().filter_map(session::prepared).collect())
    }
}

impl Postgres {
    async fn abort_in(&self, branch: &BranchId, receipt: &str, session: PostgresSession) -> Finish {
        match session.state() {
            State::Prepared => self.sessions.put(branch, session),
            State::Working if session.execute("ROLLBACK", self.step).await.is_ok() => {
                self.sessions.keep(session);
                return Finish::Done;
            }
            // The server may hold it, and even be about to prepare.
            State::Working | State::Doubtful => {
                if let Err(trouble) = self.end(&session).await {
                    self.sessions.put(branch, session.with_state(State::Doubtful));
                    return Finish::Unknown(trouble.to_string());
                }
            }
        }
        self.finish(branch, receipt, Order::Abort).await
    }

    /// Ends a session at the server, and waits until it has ended.
    async fn end(&self, doubtful: &PostgresSession) -> Result<(), Trouble> {
        let condition = doubtful.condition();
        let session = self.any_session().await?;
        let terminate = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {condition}");
        session.ask(&terminate, self.step).await.map_err(Trouble::from)?;
        let ask = format!("SELECT count(*) FROM pg_stat_activity WHERE {condition}");
        let deadline = tokio::time::Instant::now() + self.step;
        while first_value(session.ask(&ask, self.step).await.map_err(Trouble::from)?) != "0" {
            if tokio::time::Instant::now() > deadline {
                return Err(Trouble::Refused("its session does not end".to_owned()));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.sessions.keep(session);
        Ok(())
    }
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Postgres").field("hosts", &self.config.get_hosts()).finish_non_exhaustive()
    }
}

//! MariaDB and MySQL, by XA.

mod connection;
mod finish;
mod rolled_back;
mod session;

use std::time::Duration;

use crate::{Branch, BranchId, Cluster, ResourceName, TransactionId};
use async_trait::async_trait;
use mysql_async::{Opts, OptsBuilder};

use crate::database_tls::DatabaseCa;
use crate::participant::{Finish, Order, Participant, Prepared, Trouble, Vote};
use crate::sessions::{Lent, Sessions, State, Taken};
use crate::turns::Turns;
use rolled_back::RolledBack;
pub use session::MariaDbSession;
use session::{Failure, Xid};

/// A server of MariaDB, version 10.5 or later, or of MySQL, version 8 or later.
///
/// MariaDB's user needs no rights besides those for the application's own tables; MySQL's needs
/// `XA_RECOVER_ADMIN`. Processes use the same user, or one that may end the others' sessions.
///
/// A branch works in one session, which is in an XA transaction already: `COMMIT` and `ROLLBACK`
/// are not the program's. Sessions are used again, with what a program has set in them.
///
/// A session prepares its own branch, and while it lives no other can finish it, although `XA
/// RECOVER` lists it. So each session holds a named lock, whose name is part of the names of its
/// branches: who finds a branch that is prepared and cannot be finished sees by the lock which
/// session to end.
pub struct MariaDb {
    options: Opts,
    step: Duration,
    sessions: Sessions<MariaDbSession>,
    turns: Turns,
    rolled_back: RolledBack,
}

impl MariaDb {
    /// The server and database of a URL, `mysql://USER:PASSWORD@HOST:PORT/DATABASE`. It is
    /// connected to when it is first needed. `step` bounds each exchange with the server.
    ///
    /// Connections have no TLS, unless the URL has the parameter `require_ssl=true`: then the
    /// server's certificate must name the host, and be signed by one of Mozilla's list; or, with
    /// `ssl_ca=FILE`, which demands TLS too, by one of that file (PEM or DER). `verify_ca=false`
    /// takes any certificate.
    ///
    /// # Errors
    /// The URL is not understood, or the file cannot be used.
    pub fn new(url: &str, step: Duration) -> Result<Self, Trouble> {
        Self::read(url, step, None)
    }

    /// As [`Self::new`], with the certificates to trust where the URL has no `ssl_ca`. It demands
    /// TLS unless the URL has `require_ssl=false`.
    ///
    /// # Errors
    /// The URL is not understood, or the file that it names cannot be used.
    pub fn new_with_ca(url: &str, step: Duration, ca: &DatabaseCa) -> Result<Self, Trouble> {
        Self::read(url, step, Some(ca))
    }

    pub(crate) fn read(url: &str, step: Duration, ca: Option<&DatabaseCa>) -> Result<Self, Trouble> {
        Ok(Self::with_options(connection::read(url, ca)?, step))
    }

    /// As [`Self::new`].
    pub fn with_options(options: Opts, step: Duration) -> Self {
        // A socket of the same machine would be asked for first, at a cost.
        let options = OptsBuilder::from_opts(options).prefer_socket(false).into();
        let (turns, rolled_back) = (Turns::default(), RolledBack::default());
        Self { options, step, sessions: Sessions::new(), turns, rolled_back }
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
    ) -> Result<(BranchId, Lent<MariaDbSession>), Trouble> {
        let named = |session: &MariaDbSession| BranchId {
            transaction: *transaction,
            branch: Branch { resource: resource.clone(), session: Some(session.number()) },
        };
        // An idle session may have lost its server meanwhile; a new one has not.
        while let Some(mut session) = self.sessions.idle(|_| true) {
            let branch = named(&session);
            match session.execute(&Xid::of(&branch).start(), self.step).await {
                Ok(()) => return Ok((branch.clone(), self.sessions.assign(&branch, session))),
                Err(Failure::Lost(_)) => self.sessions.close_idle(),
                Err(Failure::Refused(_)) => {}
            }
        }
        let mut session = self.connect().await?;
        let branch = named(&session);
        session.execute(&Xid::of(&branch).start(), self.step).await.map_err(Trouble::from)?;
        Ok((branch.clone(), self.sessions.assign(&branch, session)))
    }

    /// The session of a branch again; `None` if the program has it already, or there is no such
    /// branch.
    pub fn session(&self, branch: &BranchId) -> Option<Lent<MariaDbSession>> {
        self.sessions.lend(branch)
    }

    /// A new session. Its server may have died since the last one, and with it the rollback of a
    /// branch, which is then done again.
    async fn connect(&self) -> Result<MariaDbSession, Trouble> {
        let (mut session, prepared) = MariaDbSession::open(&self.options, self.step).await?;
        for branch in self.rolled_back.undone(prepared) {
            match session.execute(&Xid::of(&branch).rollback(), self.step).await {
                Err(Failure::Lost(why)) => return Err(Trouble::Away(why)),
                // Another process was faster.
                Ok(()) | Err(Failure::Refused(_)) => {}
            }
        }
        Ok(session)
    }

    /// A session that belongs to no branch.
    async fn any_session(&self) -> Result<MariaDbSession, Trouble> {
        while let Some(mut session) = self.sessions.idle(|_| true) {
            match session.execute("DO 0", self.step).await {
                Ok(()) => return Ok(session),
                Err(Failure::Lost(_)) => self.sessions.close_idle(),
                Err(Failure::Refused(_)) => {}
            }
        }
        self.connect().await
    }
}

#[async_trait]
impl Participant for MariaDb {
    async fn check(&self) -> Result<(), Trouble> {
        let session = self.connect().await?;
        self.sessions.keep(session);
        Ok(())
    }

    async fn prepare(&self, branch: &BranchId) -> Vote {
        let _turn = self.turns.turn(branch).await;
        let mut session = match self.sessions.take(branch) {
            Taken::Session(session) => session,
            Taken::Lent => return Vote::Refused("the program still uses its session".to_owned()),
            Taken::Unknown => return Vote::Refused("there is no such branch".to_owned()),
        };
        let xid = Xid::of(branch);
        match session.execute(&xid.prepare(), self.step).await {
            Ok(()) => {
                self.sessions.put(branch, session.with_state(State::Prepared));
                Vote::Prepared { receipt: String::new() }
            }
            Err(Failure::Refused(refusal)) => {
                if session.execute(&xid.rollback(), self.step).await.is_ok() {
                    self.sessions.keep(session);
                }
                Vote::Refused(refusal.message)
            }
            Err(Failure::Lost(why)) => {
                self.sessions.put(branch, session.with_state(State::Doubtful));
                Vote::Unknown(why)
            }
        }
    }

    async fn commit_at_once(&self, branch: &BranchId) -> Finish {
        let _turn = self.turns.turn(branch).await;
        let mut session = match self.sessions.take(branch) {
            Taken::Session(session) => session,
            Taken::Lent => return Finish::Refused("the program still uses its session".to_owned()),
            Taken::Unknown => return Finish::Refused("there is no such branch".to_owned()),
        };
        if !session.is_in_step() {
            // It is rolled back when it is aborted.
            self.sessions.put(branch, session.with_state(State::Doubtful));
            return Finish::Refused("a statement was given up before its answer came".to_owned());
        }
        let xid = Xid::of(branch);
        match session.execute(&xid.commit_at_once(), self.step).await {
            Ok(()) => {
                self.sessions.keep(session);
                Finish::Done
            }
            Err(Failure::Refused(refusal)) => {
                if session.execute(&xid.rollback(), self.step).await.is_ok() {
                    self.sessions.keep(session);
                }
                Finish::Refused(refusal.message)
            }
            Err(Failure::Lost(why)) => Finish::Unknown(why),
        }
    }

    async fn commit(&self, branch: &BranchId, _receipt: &str) -> Finish {
        let _turn = self.turns.turn(branch).await;
        match self.sessions.take(branch) {
            Taken::Session(session) => self.finish_in(session, branch, Order::Commit).await,
            Taken::Lent | Taken::Unknown => self.finish(branch, Order::Commit).await,
        }
    }

    async fn abort(&self, branch: &BranchId, _receipt: &str) -> Finish {
        let _turn = self.turns.turn(branch).await;
        match self.sessions.take(branch) {
            Taken::Session(session) => match session.state() {
                State::Prepared => self.finish_in(session, branch, Order::Abort).await,
                State::Working => self.abort_in(session, branch).await,
                State::Doubtful => self.end_and_abort(session, branch).await,
            },
            Taken::Lent => {
                self.sessions.forget(branch);
                Finish::Done
            }
            Taken::Unknown => self.finish(branch, Order::Abort).await,
        }
    }

    async fn prepared(&self, cluster: Cluster) -> Result<Vec<Prepared>, Trouble> {
        let mut session = self.any_session().await?;
        let branches = session.prepared(self.step).await.map_err(Trouble::from)?;
        self.sessions.keep(session);
        let ours = branches.into_iter().filter(|branch| branch.transaction.cluster == cluster);
        Ok(ours.map(|branch| Prepared { branch, since: None }).collect())
    }
}

impl std::fmt::Debug for MariaDb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MariaDb").field("host", &self.options.ip_or_hostname()).finish_non_exhaustive()
    }
}

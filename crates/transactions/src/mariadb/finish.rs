//! The end of a branch in MariaDB, also where another session still holds it.

use std::time::Duration;

use crate::BranchId;
use tokio::time::Instant;

use super::MariaDb;
use super::session::{Failure, MariaDbSession, NO_SUCH_XID, Xid};
use crate::participant::{Ending, Finish, Heuristic, Order, Trouble};
use crate::sessions::State;

/// The answers by which the server has rolled a branch back of its own accord.
const ROLLED_BACK: [u16; 3] = [1402, 1613, 1614];
/// How long to wait before the server is asked again whether a session has ended.
const PAUSE: Duration = Duration::from_millis(5);

impl MariaDb {
    /// Finishes a prepared branch in the session that has prepared it.
    pub(super) async fn finish_in(
        &self,
        mut session: MariaDbSession,
        branch: &BranchId,
        order: Order,
    ) -> Finish {
        match session.execute(&Xid::of(branch).finish(order), self.step).await {
            Ok(()) => self.done(session.with_state(State::Working), branch, order),
            Err(Failure::Refused(_)) => {
                drop(session);
                self.finish(branch, order).await
            }
            // The session is closed, and the next attempt takes another one.
            Err(Failure::Lost(why)) => Finish::Unknown(why),
        }
    }

    /// Finishes a prepared branch from any session.
    ///
    /// "Unknown XID" does not say that it is finished: while the session that has prepared it
    /// lives, other sessions are told the same. So this looks whether it is listed, ends that
    /// session, and tries again.
    pub(super) async fn finish(&self, branch: &BranchId, order: Order) -> Finish {
        let statement = Xid::of(branch).finish(order);
        let deadline = Instant::now() + self.step;
        let mut session = match self.any_session().await {
            Ok(session) => session,
            Err(trouble) => return Finish::Unknown(trouble.to_string()),
        };
        loop {
            let refusal = match session.execute(&statement, self.step).await {
                Ok(()) => break self.done(session, branch, order),
                Err(Failure::Lost(why)) => return Finish::Unknown(why),
                Err(Failure::Refused(refusal)) => refusal,
            };
            if ROLLED_BACK.contains(&refusal.code) {
                break self.kept(session, rolled_back(order, &refusal.message));
            }
            if refusal.code != NO_SUCH_XID {
                break self.kept(session, Finish::Refused(refusal.message));
            }
            match self.release(&mut session, branch).await {
                Ok(false) => break self.kept(session, Finish::NotFound),
                Ok(true) if Instant::now() > deadline => {
                    let why = "it is prepared, and the session that holds it does not end";
                    break self.kept(session, Finish::Refused(why.to_owned()));
                }
                Ok(true) => tokio::time::sleep(PAUSE).await,
                Err(trouble) => return Finish::Unknown(trouble.to_string()),
            }
        }
    }

    /// A prepared branch is finished.
    fn done(&self, session: MariaDbSession, branch: &BranchId, order: Order) -> Finish {
        if matches!(order, Order::Abort) {
            self.rolled_back.add(branch);
        }
        self.kept(session, Finish::Done)
    }

    fn kept(&self, session: MariaDbSession, finish: Finish) -> Finish {
        self.sessions.keep(session);
        finish
    }

    /// Whether a branch is prepared; ends the session that holds it.
    async fn release(&self, session: &mut MariaDbSession, branch: &BranchId) -> Result<bool, Trouble> {
        let listed = session.prepared(self.step).await.map_err(Trouble::from)?;
        if !listed.contains(branch) {
            return Ok(false);
        }
        self.kill_holder(session, branch).await?;
        Ok(true)
    }

    /// Ends the session of a branch, if it lives. Returns whether it did.
    async fn kill_holder(&self, session: &mut MariaDbSession, branch: &BranchId) -> Result<bool, Trouble> {
        let Some(number) = branch.branch.session else { return Ok(false) };
        let holder = session.holder(number, self.step).await.map_err(Trouble::from)?;
        let Some(holder) = holder else { return Ok(false) };
        match session.execute(&format!("KILL {holder}"), self.step).await {
            // It has ended meanwhile.
            Err(Failure::Refused(refusal)) if refusal.code == 1094 => Ok(true),
            Err(Failure::Refused(refusal)) => {
                let why =
                    format!("session {holder} holds the branch, and may not be ended: {}", refusal.message);
                Err(Trouble::Refused(why))
            }
            Err(failure) => Err(failure.into()),
            Ok(()) => Ok(true),
        }
    }

    /// Rolls a branch back that is not prepared, in its session.
    pub(super) async fn abort_in(&self, mut session: MariaDbSession, branch: &BranchId) -> Finish {
        let xid = Xid::of(branch);
        // The program may have had an error after which the server has ended it already.
        let ended = session.execute(&xid.end(), self.step).await;
        if matches!(ended, Err(Failure::Lost(_))) {
            return self.end_and_abort(session, branch).await;
        }
        match session.execute(&xid.rollback(), self.step).await {
            Ok(()) => self.kept(session, Finish::Done),
            Err(_) => self.end_and_abort(session, branch).await,
        }
    }

    /// Rolls a branch back whose session may be about to prepare it: ends that session first.
    pub(super) async fn end_and_abort(&self, doubtful: MariaDbSession, branch: &BranchId) -> Finish {
        let deadline = Instant::now() + self.step;
        let ended = async {
            let mut session = self.any_session().await?;
            while self.kill_holder(&mut session, branch).await? {
                if Instant::now() > deadline {
                    return Err(Trouble::Refused("its session does not end".to_owned()));
                }
                tokio::time::sleep(PAUSE).await;
            }
            self.sessions.keep(session);
            Ok(())
        };
        match ended.await {
            Ok(()) => {
                drop(doubtful);
                self.finish(branch, Order::Abort).await
            }
            Err(trouble) => {
                self.sessions.put(branch, doubtful.with_state(State::Doubtful));
                Finish::Unknown(trouble.to_string())
            }
        }
    }
}

/// The server has rolled a branch back that was to be finished so.
fn rolled_back(order: Order, message: &str) -> Finish {
    match order {
        Order::Abort => Finish::Done,
        Order::Commit => {
            let evidence = format!("MariaDB says: {message}");
            Finish::Heuristic(Heuristic { ending: Ending::Aborted, evidence })
        }
    }
}

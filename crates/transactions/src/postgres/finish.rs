//! The end of a prepared branch in PostgreSQL, and what the server knows about one that is gone.

use crate::BranchId;

use super::Postgres;
use super::session::{Failure, PostgresSession, first_value};
use crate::participant::{Ending, Finish, Heuristic, Order};
use crate::sessions::{State, Taken};

fn statement(order: Order) -> &'static str {
    match order {
        Order::Commit => "COMMIT PREPARED",
        Order::Abort => "ROLLBACK PREPARED",
    }
}

/// What the server calls a transaction that has ended so.
fn status_after(order: Order) -> &'static str {
    match order {
        Order::Commit => "committed",
        Order::Abort => "aborted",
    }
}

impl Postgres {
    /// Finishes a prepared branch in any session.
    pub(super) async fn finish(&self, branch: &BranchId, receipt: &str, order: Order) -> Finish {
        let session = match self.sessions.take(branch) {
            Taken::Session(session) if !session.is_closed() => session.with_state(State::Working),
            _ => match self.any_session().await {
                Ok(session) => session,
                Err(trouble) => return Finish::Unknown(trouble.to_string()),
            },
        };
        let statement = format!("{} '{branch}'", statement(order));
        let finish = match session.execute(&statement, self.step).await {
            Ok(()) => Finish::Done,
            Err(Failure::Lost(why)) => return Finish::Unknown(why),
            Err(Failure::Refused(why)) => match self.look(&session, branch, receipt, order).await {
                Ok(Some(finish)) => finish,
                // It is still prepared.
                Ok(None) => Finish::Refused(why),
                Err(failure) => return Finish::Unknown(failure.to_string()),
            },
        };
        self.sessions.keep(session);
        finish
    }

    /// Looks again at a branch that the server did not finish; `None` if it is prepared.
    async fn look(
        &self,
        session: &PostgresSession,
        branch: &BranchId,
        receipt: &str,
        order: Order,
    ) -> Result<Option<Finish>, Failure> {
        let listed = format!("SELECT count(*) FROM pg_prepared_xacts WHERE gid = '{branch}'");
        if first_value(session.ask(&listed, self.step).await?) != "0" {
            return Ok(None);
        }
        let Ok(number) = receipt.parse::<u64>() else { return Ok(Some(Finish::NotFound)) };
        let status = self.status(session, number).await?;
        let ending = match status.as_str() {
            known if known == status_after(order) => return Ok(Some(Finish::Done)),
            "committed" => Ending::Committed,
            "aborted" => Ending::Aborted,
            _ => return Ok(Some(Finish::NotFound)),
        };
        let evidence = format!("PostgreSQL says that its transaction {number} was {status}");
        Ok(Some(Finish::Heuristic(Heuristic { ending, evidence })))
    }

    /// How a transaction has ended: `committed`, `aborted`, `in progress`, or empty if the server
    /// does not know any more.
    async fn status(&self, session: &PostgresSession, number: u64) -> Result<String, Failure> {
        let ask = format!("SELECT coalesce(pg_xact_status('{number}'::xid8), '')");
        Ok(first_value(session.ask(&ask, self.step).await?))
    }

    /// What has become of a `COMMIT` without an answer.
    pub(super) async fn look_for(&self, lost: &PostgresSession, number: &str, why: String) -> Finish {
        let Ok(number) = number.parse::<u64>() else {
            // It had changed nothing.
            return Finish::Done;
        };
        let status = async {
            self.end(lost).await.ok()?;
            let session = self.any_session().await.ok()?;
            let status = self.status(&session, number).await.ok()?;
            self.sessions.keep(session);
            Some(status)
        };
        match status.await.as_deref() {
            Some("committed") => Finish::Done,
            Some("aborted") => Finish::Refused(why),
            _ => Finish::Unknown(why),
        }
    }
}

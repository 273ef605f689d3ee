//! Connections that are over, though their threads do not know it yet.
//!
//! What somebody waits for can be lost: given to a leader that is none any more, or refused because the session has gone elsewhere. The
//! host closes that connection. What its thread has read before it hears of that is handed over all the same, and would be done behind
//! something that may never be.

use crate::line::Line;
use crate::outlet::Token;
use crate::replica::Replica;

impl Replica {
    /// Nobody knows what became of something that this connection waits for.
    pub(crate) fn lose(&mut self, token: Token) {
        self.lost.push(token);
        self.dead.insert(token);
    }

    /// Takes nothing any more that comes on these connections: the host is about to close them.
    pub fn bury(&mut self, tokens: impl IntoIterator<Item = Token>) {
        self.dead.extend(tokens);
    }

    /// The connections of which nothing is taken any more.
    pub fn dead(&self) -> impl Iterator<Item = Token> + '_ {
        self.dead.iter().copied()
    }

    /// Nothing can come on this connection any more.
    pub fn forget_dead(&mut self, token: Token) {
        self.dead.remove(&token);
    }

    /// How many requests have been taken, and neither answered nor given up.
    pub fn unanswered(&self) -> usize {
        self.lost_requests + self.lines.values().map(Line::len).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use consensus::engine::{Settings as EngineSettings, Start};
    use consensus::entry::MemberId;
    use consensus::paxos::PaxosEngine;
    use state::command::{Command, Features};
    use state::machine::Machine;

    use super::*;
    use crate::replica::Settings;
    use crate::submission::Submission;

    fn member_of_three() -> Replica {
        let member = MemberId(1);
        let voters = [1, 2, 3].map(MemberId);
        let engine = PaxosEngine::new(EngineSettings::new(0, member, 1, 1), Start::bootstrap(&voters));
        let settings = Settings {
            member,
            boot: 1,
            features: Features::NONE,
            entry_bytes_max: 1 << 20,
            linearizable_reads: false,
        };
        Replica::new(Box::new(engine), settings, 0)
    }

    /// A server that joined anew lost a write it had taken, and did the next one of the same connection, which its thread had read before it
    /// heard that the connection was closed. (Seed 14025253 of the simulator.)
    #[test]
    fn nothing_is_taken_behind_what_is_lost() {
        let mut replica = member_of_three();
        let machine = Machine::new(1);
        let submit = |replica: &mut Replica, connection: u64, cxid: i32| {
            let mut submission = Submission::default();
            let session = connection as i64;
            let command = Command { session, cxid, opcode: 5, identities: &[], body: b"record" };
            submission.command(Token(connection), &command);
            replica.submit(0, &machine, &mut submission);
        };
        submit(&mut replica, 1, 1);
        submit(&mut replica, 2, 1);
        replica.bury([Token(1)]);
        submit(&mut replica, 1, 2);
        submit(&mut replica, 2, 2);
        let held: Vec<i64> = replica.held.iter().map(|held| held.session).collect();
        assert_eq!(held, [1, 2, 2]);
        assert_eq!(replica.unanswered(), 4, "what was not taken has to be given up like what is lost");
        replica.forget_dead(Token(1));
        assert_eq!(replica.dead().count(), 0);
    }
}

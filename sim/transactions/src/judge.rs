//! The guarantees: what happened in participants and what callers were told, compared.

use std::fmt;

use commit::decision::Outcome;

/// All participants that wrote commit, or none does.
pub const ATOMIC: &str = "a transaction takes effect in all participants or in none";
/// A refusal, and a vote that was never given, forbid the commit.
pub const ALL_VOTED: &str = "nothing commits before every participant has voted for it";
/// What a caller was told is so, whatever happens later.
pub const ANSWERED: &str = "what a caller is told agrees with what the participants do";
/// Once all faults have ended, everything is finished in time.
pub const ENDS: &str = "nothing stays prepared once faults have ended";
/// A participant that can reach what decides does not wait long.
pub const NO_BLOCKING: &str = "no participant stays prepared for long because another process is gone";
/// Records of finished transactions are deleted.
pub const CLEAN: &str = "no record of a finished transaction of a coordinator that is gone stays in the log";

/// A party that hears of the other decision says so.
pub const AGREE: &str = "all parties of a transaction decide the same";
/// Nobody finishes branches by hand in these runs, so nobody may be blamed for it.
pub const NO_HANDS: &str = "nothing is taken for a heuristic outcome";

/// A broken guarantee.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// One of the guarantees of this module.
    pub guarantee: &'static str,
    /// What happened.
    pub detail: String,
    /// When, in ms.
    pub at_ms: u64,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not so at {} ms: {}", self.guarantee, self.at_ms, self.detail)
    }
}

/// What became of a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Open,
    /// It changed nothing.
    ReadOnly,
    Committed,
    Aborted,
}

#[derive(Clone, Debug)]
struct Transaction {
    fates: Vec<Fate>,
    voted: Vec<bool>,
    answer: Option<Outcome>,
}

/// What is known of all transactions of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Judge {
    transactions: Vec<Transaction>,
    violation: Option<Violation>,
}

impl Judge {
    /// Another transaction with this many branches; returns its number.
    pub(crate) fn begun(&mut self, branches: usize) -> usize {
        let (fates, voted) = (vec![Fate::Open; branches], vec![false; branches]);
        self.transactions.push(Transaction { fates, voted, answer: None });
        self.transactions.len() - 1
    }

    pub(crate) fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    /// Notes a broken guarantee; the first one counts.
    pub(crate) fn broken(&mut self, guarantee: &'static str, detail: String, at_ms: u64) {
        self.violation.get_or_insert(Violation { guarantee, detail, at_ms });
    }

    /// A branch votes to be prepared, or to have changed nothing.
    pub(crate) fn votes(&mut self, transaction: usize, branch: usize) {
        self.transactions[transaction].voted[branch] = true;
    }

    /// This becomes of a branch. A branch that commits `alone` does not vote.
    pub(crate) fn ends(&mut self, transaction: usize, branch: usize, fate: Fate, alone: bool, at_ms: u64) {
        let it = &mut self.transactions[transaction];
        if it.fates[branch] == fate {
            return;
        }
        it.fates[branch] = fate;
        it.voted[branch] |= alone;
        let it = &self.transactions[transaction];
        let name = |branch: usize| format!("branch {branch} of transaction {transaction}");
        if fate == Fate::Committed
            && let Some(silent) = it.voted.iter().position(|voted| !voted)
        {
            let detail = format!("{} commits, {} has not voted for it", name(branch), name(silent));
            return self.broken(ALL_VOTED, detail, at_ms);
        }
        let other = match fate {
            Fate::Committed => it.fates.iter().position(|fate| *fate == Fate::Aborted),
            Fate::Aborted => it.fates.iter().position(|fate| *fate == Fate::Committed),
            Fate::Open | Fate::ReadOnly => None,
        };
        if let Some(other) = other {
            let detail = format!("{} is {fate:?}, {} is {:?}", name(branch), name(other), it.fates[other]);
            return self.broken(ATOMIC, detail, at_ms);
        }
        self.compare_answer(transaction, at_ms);
    }

    /// The caller of a transaction is told.
    pub(crate) fn answers(&mut self, transaction: usize, outcome: &Outcome, at_ms: u64) {
        self.transactions[transaction].answer = Some(outcome.clone());
        self.compare_answer(transaction, at_ms);
    }

    fn compare_answer(&mut self, transaction: usize, at_ms: u64) {
        let it = &self.transactions[transaction];
        let wrong = match &it.answer {
            Some(Outcome::Committed) => Fate::Aborted,
            Some(Outcome::Aborted(_)) => Fate::Committed,
            Some(Outcome::Unknown(_)) | None => return,
        };
        if let Some(branch) = it.fates.iter().position(|fate| *fate == wrong) {
            let detail = format!("the answer is {:?}, branch {branch} is {wrong:?}", it.answer);
            self.broken(ANSWERED, format!("transaction {transaction}: {detail}"), at_ms);
        }
    }

    /// The run is over: what was answered must have happened.
    pub(crate) fn run_is_over(&mut self, at_ms: u64) {
        for transaction in 0..self.transactions.len() {
            let it = &self.transactions[transaction];
            let open = it.fates.iter().position(|fate| *fate == Fate::Open);
            if let Some(branch) = open.filter(|_| it.answer == Some(Outcome::Committed)) {
                let detail =
                    format!("transaction {transaction} is answered as committed, branch {branch} is open");
                self.broken(ANSWERED, detail, at_ms);
            }
        }
    }

    /// What the run came to; how long a branch stayed prepared, the number of events and their
    /// digest are the world's.
    pub(crate) fn outcome(&self, longest_ms: u64, events: u64, fingerprint: u64) -> crate::Outcome {
        let count =
            |is: fn(&Option<Outcome>) -> bool| self.transactions.iter().filter(|it| is(&it.answer)).count();
        crate::Outcome {
            violation: self.violation.clone(),
            begun: self.transactions.len(),
            committed: count(|answer| *answer == Some(Outcome::Committed)),
            aborted: count(|answer| matches!(answer, Some(Outcome::Aborted(_)))),
            unknown: count(|answer| matches!(answer, Some(Outcome::Unknown(_)))),
            unanswered: count(Option::is_none),
            longest_ms,
            events,
            fingerprint,
        }
    }
}

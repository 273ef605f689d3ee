//! The second phase: every prepared branch is told the decision until it is known to be finished.

use crate::decision::{Decision, Finish, Heuristic, Presence};
use crate::record::PreparedBranch;
use crate::settings::Settings;

/// The next request about one branch, named by its place in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Tell it the decision; with `release`, after its session has been ended.
    Finish { at: usize, release: bool },
    /// Ask whether it is prepared.
    Inspect { at: usize },
}

/// The branches of one decided transaction.
#[derive(Clone, Debug)]
pub(crate) struct Finishing {
    decision: Decision,
    /// A branch is told only after it has been seen to be prepared, since the decision was made.
    looks_first: bool,
    branches: Vec<Progress>,
}

#[derive(Clone, Debug)]
struct Progress {
    branch: PreparedBranch,
    state: State,
    /// Requests that were sent.
    attempts: u32,
    /// When the next step is due if nothing is heard.
    due_ms: u64,
    /// Its session has to be ended first.
    release: bool,
    /// It was prepared when it was asked.
    was_prepared: bool,
    /// Why the last attempt failed; empty if none has.
    trouble: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// To be told at `due_ms`.
    Waiting,
    /// Told; told again at `due_ms`.
    Told,
    /// Asked whether it is prepared; told again at `due_ms`.
    Inspected,
    /// Finished as decided.
    Done,
    /// Finished otherwise, by hand.
    Heuristic(Decision),
}

impl Finishing {
    /// Begins; the first steps are due at once. `true` beside a branch: it may not be prepared yet,
    /// and what would prepare it has to be ended first.
    pub(crate) fn new(decision: Decision, branches: Vec<(PreparedBranch, bool)>, now_ms: u64) -> Finishing {
        let progress = |(branch, release)| Progress {
            branch,
            state: State::Waiting,
            attempts: 0,
            due_ms: now_ms,
            release,
            was_prepared: false,
            trouble: String::new(),
        };
        let branches = branches.into_iter().map(progress).collect();
        Finishing { decision, looks_first: false, branches }
    }

    /// The same for an abort of branches that a list names: the list may be older than the
    /// decision, and the transaction long committed and forgotten.
    pub(crate) fn of_listed(branches: Vec<PreparedBranch>, now_ms: u64) -> Finishing {
        let branches = branches.into_iter().map(|branch| (branch, false)).collect();
        Finishing { looks_first: true, ..Finishing::new(Decision::Abort, branches, now_ms) }
    }

    pub(crate) fn decision(&self) -> Decision {
        self.decision
    }

    /// Adds a branch that was found later; nothing if it is known and not finished.
    pub(crate) fn add(&mut self, branch: PreparedBranch, now_ms: u64) {
        let known = self.branches.iter_mut().find(|known| known.branch.branch == branch.branch);
        let added = Finishing::new(self.decision, vec![(branch, false)], now_ms).branches;
        match known {
            Some(known) if known.state == State::Done => {
                // It was taken for finished, and is prepared: it has to be told again.
                known.state = State::Waiting;
                known.was_prepared = false;
                known.due_ms = now_ms;
            }
            Some(_) => {}
            None => self.branches.extend(added),
        }
    }

    pub(crate) fn branch(&self, at: usize) -> &PreparedBranch {
        &self.branches[at].branch
    }

    /// The place of the branch.
    pub(crate) fn place(&self, branch: &crate::branch::Branch) -> Option<usize> {
        self.branches.iter().position(|known| known.branch.branch == *branch)
    }

    /// What is due.
    pub(crate) fn due(&mut self, now_ms: u64, settings: &Settings) -> Vec<Step> {
        let mut steps = Vec::new();
        for (at, progress) in self.branches.iter_mut().enumerate() {
            if !progress.is_finished() && progress.due_ms <= now_ms {
                progress.due_ms = now_ms.saturating_add(settings.finish_timeout_ms);
                if self.looks_first && !progress.was_prepared {
                    progress.state = State::Inspected;
                    steps.push(Step::Inspect { at });
                } else {
                    steps.push(progress.tell(at));
                }
            }
        }
        steps
    }

    /// The participant answers a request to finish its branch.
    pub(crate) fn finished(
        &mut self,
        at: usize,
        answer: Finish,
        now_ms: u64,
        settings: &Settings,
    ) -> Option<Step> {
        let decision = self.decision;
        let progress = self.branches.get_mut(at).filter(|progress| !progress.is_finished())?;
        match answer {
            Finish::Done => progress.state = State::Done,
            Finish::Heuristic(did) => progress.ended(did, decision),
            Finish::NotFound => {
                progress.state = State::Inspected;
                progress.due_ms = now_ms.saturating_add(settings.finish_timeout_ms);
                return Some(Step::Inspect { at });
            }
            Finish::Failed(reason) => progress.wait(reason, now_ms, settings),
        }
        None
    }

    /// The participant says whether a branch that was not found is prepared.
    pub(crate) fn inspected(
        &mut self,
        at: usize,
        presence: Presence,
        now_ms: u64,
        settings: &Settings,
    ) -> Option<Step> {
        let decision = self.decision;
        let progress = self.branches.get_mut(at).filter(|progress| progress.state == State::Inspected)?;
        match presence {
            Presence::Absent => progress.state = State::Done,
            Presence::Ended(did) => progress.ended(did, decision),
            Presence::Prepared if self.looks_first && !progress.was_prepared => {
                progress.was_prepared = true;
                progress.due_ms = now_ms.saturating_add(settings.finish_timeout_ms);
                return Some(progress.tell(at));
            }
            Presence::Prepared => {
                let is_new = !std::mem::replace(&mut progress.release, true);
                progress.wait("it is prepared, and its session holds it".to_owned(), now_ms, settings);
                if is_new {
                    progress.due_ms = now_ms;
                }
            }
            Presence::Unknown(reason) => progress.wait(reason, now_ms, settings),
        }
        None
    }

    /// When something is due; `None` once all is finished.
    pub(crate) fn due_ms(&self) -> Option<u64> {
        self.branches.iter().filter(|progress| !progress.is_finished()).map(|progress| progress.due_ms).min()
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.branches.iter().all(Progress::is_finished)
    }

    /// The branches that are not finished, each with the reason of the last failure, or "".
    pub(crate) fn unfinished(&self) -> impl Iterator<Item = (&PreparedBranch, &str)> {
        let unfinished = self.branches.iter().filter(|progress| !progress.is_finished());
        unfinished.map(|progress| (&progress.branch, progress.trouble.as_str()))
    }

    /// The branches that were finished otherwise, by hand. If no listed branch was prepared when it
    /// was asked, the list was out of date, and what the participants say was our own doing.
    pub(crate) fn heuristics(&self) -> Vec<Heuristic> {
        if self.looks_first && self.branches.iter().all(|progress| !progress.was_prepared) {
            return Vec::new();
        }
        let did = self.branches.iter().filter_map(|progress| match progress.state {
            State::Heuristic(did) => Some(Heuristic { branch: progress.branch.branch.clone(), did }),
            _ => None,
        });
        did.collect()
    }

    /// Requests that were sent again.
    pub(crate) fn retries(&self) -> u64 {
        self.branches.iter().map(|progress| u64::from(progress.attempts.saturating_sub(1))).sum()
    }
}

impl Progress {
    fn is_finished(&self) -> bool {
        matches!(self.state, State::Done | State::Heuristic(_))
    }

    fn tell(&mut self, at: usize) -> Step {
        self.state = State::Told;
        self.attempts = self.attempts.saturating_add(1);
        Step::Finish { at, release: self.release }
    }

    fn ended(&mut self, did: Decision, decision: Decision) {
        self.state = if did == decision { State::Done } else { State::Heuristic(did) };
    }

    fn wait(&mut self, trouble: String, now_ms: u64, settings: &Settings) {
        self.state = State::Waiting;
        self.due_ms = now_ms.saturating_add(settings.wait_ms(self.attempts));
        self.trouble = trouble;
    }
}

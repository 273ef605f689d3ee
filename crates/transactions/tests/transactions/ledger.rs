//! A participant in memory that does as it is told. All processes of a test share it, as they would
//! share a database.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;
use transactions::{BranchId, Cluster, Ending, Finish, Heuristic, Participant, Prepared, Trouble, Vote};

#[derive(Default)]
pub(crate) struct Ledger {
    state: Mutex<State>,
}

#[derive(Default)]
pub(crate) struct State {
    /// Work that is not prepared.
    working: BTreeMap<BranchId, u64>,
    prepared: BTreeMap<BranchId, u64>,
    values: BTreeSet<u64>,
    /// The branches that were undone by hand.
    by_hand: BTreeSet<BranchId>,
    pub(crate) mood: Mood,
    /// What it was asked to do.
    pub(crate) calls: Vec<&'static str>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Mood {
    #[default]
    Good,
    /// It refuses to prepare.
    Refusing,
    /// It has changed nothing.
    Reading,
    /// It prepares, and does not say so.
    Silent,
    /// It prepares, and is away from then on.
    Leaving,
    /// It prepares, and somebody undoes that.
    Undone,
    /// It does not do what it is told, and cannot be listed.
    Away,
}

impl Ledger {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn work(&self, branch: &BranchId, value: u64) {
        self.state().working.insert(branch.clone(), value);
    }

    pub(crate) fn has(&self, value: u64) -> bool {
        self.state().values.contains(&value)
    }

    pub(crate) fn prepared_count(&self) -> usize {
        self.state().prepared.len()
    }

    pub(crate) fn become_(&self, mood: Mood) {
        self.state().mood = mood;
    }

    /// Loses the work that is not prepared, as a crash does.
    pub(crate) fn forget_work(&self) {
        self.state().working.clear();
    }

    fn finish(&self, branch: &BranchId, commits: bool) -> Finish {
        let mut state = self.state();
        state.calls.push(if commits { "commit" } else { "abort" });
        if state.mood == Mood::Away {
            return Finish::Unknown("it is away".to_owned());
        }
        let undone = state.working.remove(branch).is_some();
        if commits && state.by_hand.contains(branch) {
            let evidence = "the operator undid it".to_owned();
            return Finish::Heuristic(Heuristic { ending: Ending::Aborted, evidence });
        }
        match state.prepared.remove(branch) {
            Some(value) => {
                if commits {
                    state.values.insert(value);
                }
                Finish::Done
            }
            None if undone && !commits => Finish::Done,
            None => Finish::NotFound,
        }
    }
}

#[async_trait]
impl Participant for Ledger {
    async fn check(&self) -> Result<(), Trouble> {
        Ok(())
    }

    async fn prepare(&self, branch: &BranchId) -> Vote {
        let mood = {
            let mut state = self.state();
            state.calls.push("prepare");
            let Some(value) = state.working.remove(branch) else {
                return Vote::Refused("no work".to_owned());
            };
            match state.mood {
                Mood::Refusing => return Vote::Refused("the ledger is full".to_owned()),
                Mood::Reading => return Vote::ReadOnly,
                Mood::Away => return Vote::Unknown("it is away".to_owned()),
                Mood::Undone => {
                    state.by_hand.insert(branch.clone());
                    Mood::Undone
                }
                mood => {
                    state.prepared.insert(branch.clone(), value);
                    if mood == Mood::Leaving {
                        state.mood = Mood::Away;
                    }
                    mood
                }
            }
        };
        if mood == Mood::Silent {
            std::future::pending::<()>().await;
        }
        Vote::Prepared { receipt: "r".to_owned() }
    }

    async fn commit_at_once(&self, branch: &BranchId) -> Finish {
        let mut state = self.state();
        state.calls.push("commit at once");
        let Some(value) = state.working.remove(branch) else { return Finish::Refused("no work".to_owned()) };
        match state.mood {
            Mood::Refusing => Finish::Refused("the ledger is full".to_owned()),
            Mood::Away => Finish::Unknown("it is away".to_owned()),
            _ => {
                state.values.insert(value);
                Finish::Done
            }
        }
    }

    async fn commit(&self, branch: &BranchId, _receipt: &str) -> Finish {
        self.finish(branch, true)
    }

    async fn abort(&self, branch: &BranchId, _receipt: &str) -> Finish {
        self.finish(branch, false)
    }

    async fn prepared(&self, cluster: Cluster) -> Result<Vec<Prepared>, Trouble> {
        let state = self.state();
        if state.mood == Mood::Away {
            return Err(Trouble::Away("it is away".to_owned()));
        }
        let ours = state.prepared.keys().filter(|branch| branch.transaction.cluster == cluster);
        Ok(ours.map(|branch| Prepared { branch: branch.clone(), since: None }).collect())
    }
}

//! The books of the service: accounts and branches, and a journal of what has to survive.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Accounts, Work};
use crate::scenario::world::{ACCOUNTS, BALANCE};

/// A line of the journal. It is flushed before the request is answered.
#[derive(Serialize, Deserialize)]
enum Line {
    Prepared { branch: String, work: Work },
    Committed { branch: String },
    Aborted { branch: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Stage {
    Working,
    Prepared,
    Committed,
    Aborted,
}

pub(super) struct Books {
    pub(super) accounts: Accounts,
    pub(super) branches: BTreeMap<String, (Work, Stage)>,
    journal: File,
}

impl Books {
    /// Reads the journal. A last line without an end was not answered, and is cut off.
    pub(super) fn open(path: &Path) -> Books {
        let options = File::options().read(true).write(true).create(true).truncate(false).open(path);
        let mut journal = options.expect("a journal");
        let mut text = String::new();
        journal.read_to_string(&mut text).expect("a journal");
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        journal.set_len(whole as u64).expect("a journal");
        journal.seek(SeekFrom::End(0)).expect("a journal");
        let accounts = Accounts { balances: vec![BALANCE; ACCOUNTS as usize], moved: BTreeSet::new() };
        let mut books = Books { accounts, branches: BTreeMap::new(), journal };
        for line in text[..whole].lines() {
            books.apply(serde_json::from_str(line).expect("a line of a journal"));
        }
        books
    }

    /// Writes a line, and does what it says.
    fn note(&mut self, line: Line) {
        let text = serde_json::to_string(&line).expect("a line") + "\n";
        let written = self.journal.write_all(text.as_bytes()).and_then(|()| self.journal.sync_data());
        written.expect("write to the journal");
        self.apply(line);
    }

    fn apply(&mut self, line: Line) {
        match line {
            Line::Prepared { branch, work } => {
                self.branches.insert(branch, (work, Stage::Prepared));
            }
            Line::Committed { branch } => {
                let (work, stage) = self.branches.get_mut(&branch).expect("a prepared branch");
                *stage = Stage::Committed;
                self.accounts.balances[work.account as usize] += work.amount;
                assert!(self.accounts.moved.insert(work.id.clone()), "{} is committed twice", work.id);
            }
            Line::Aborted { branch } => {
                self.branches.get_mut(&branch).expect("a branch").1 = Stage::Aborted;
            }
        }
    }

    /// Takes work for a branch; `false` if there is no such account, or the branch has work.
    pub(super) fn begin(&mut self, branch: &str, work: Work) -> bool {
        let is_new = work.account < ACCOUNTS && !self.branches.contains_key(branch);
        if is_new {
            self.branches.insert(branch.to_owned(), (work, Stage::Working));
        }
        is_new
    }

    /// Does with a branch what a request asks for; status and body of the answer.
    pub(super) fn step(&mut self, name: &str, what: &str) -> (StatusCode, Value) {
        let branch = name.to_owned();
        let Some((work, stage)) = self.branches.get_mut(name) else {
            let status = if what == "prepare" { StatusCode::CONFLICT } else { StatusCode::NOT_FOUND };
            return (status, json!({ "reason": "there is no such branch" }));
        };
        match (what, *stage) {
            ("prepare", Stage::Working) => {
                let work = work.clone();
                self.note(Line::Prepared { branch, work });
                (StatusCode::OK, json!({ "vote": "prepared" }))
            }
            ("commit", Stage::Prepared) => {
                self.note(Line::Committed { branch });
                (StatusCode::OK, json!({}))
            }
            ("abort", Stage::Prepared) => {
                self.note(Line::Aborted { branch });
                (StatusCode::OK, json!({}))
            }
            ("abort", Stage::Working) => {
                *stage = Stage::Aborted;
                (StatusCode::OK, json!({}))
            }
            ("commit", Stage::Committed) | ("abort", Stage::Aborted) => (StatusCode::OK, json!({})),
            ("commit" | "abort", ended @ (Stage::Committed | Stage::Aborted)) => {
                (StatusCode::GONE, json!({ "ending": ended, "evidence": "the journal" }))
            }
            _ => (StatusCode::CONFLICT, json!({ "reason": "it has another state" })),
        }
    }
}

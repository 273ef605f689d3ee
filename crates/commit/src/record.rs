//! The record of a decision, as it stands in the log.

use crate::branch::Branch;
use crate::decision::{Decision, Heuristic, Witness};

/// One decision. A record of commit names every branch that voted to be prepared, so that everybody
/// who finds it can finish the transaction and knows when it is finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What was decided.
    pub decision: Decision,
    /// Who decided, and why if it is not the usual course: one line for people.
    pub by: String,
    /// The prepared branches. Of a record of abort: those known to its writer.
    pub branches: Vec<PreparedBranch>,
    /// What people did by hand, against the decision. A record that has any stays until somebody
    /// says that it may go.
    pub heuristics: Vec<Heuristic>,
}

/// A branch in a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreparedBranch {
    /// The branch.
    pub branch: Branch,
    /// What its participant wants to know again.
    pub witness: Witness,
}

/// Bytes are no record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRecord {
    /// The first line is not that of a record of this version.
    #[error("the first line is not {FIRST_LINE:?}")]
    Version,
    /// A line has none of the forms.
    #[error("line {number} of the record is not understood: {line:?}")]
    Line {
        /// Which line, from 1.
        number: usize,
        /// The line.
        line: String,
    },
    /// No line says what was decided.
    #[error("the record says no decision")]
    NoDecision,
}

/// The form of a record; another form has another first line.
const FIRST_LINE: &str = "ostler-transaction 1";

impl Record {
    /// A record that nobody has touched by hand. Line breaks in `by` become spaces.
    pub fn new(decision: Decision, by: &str, branches: Vec<PreparedBranch>) -> Record {
        let by = by.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        Record { decision, by, branches, heuristics: Vec::new() }
    }

    /// The bytes of the record: lines of text, since people look at them.
    pub fn encode(&self) -> Vec<u8> {
        let mut text = format!("{FIRST_LINE}\ndecision {}\nby {}\n", self.decision, self.by);
        for PreparedBranch { branch, witness } in &self.branches {
            text += &format!("branch {branch} {}\n", witness.as_str());
        }
        for Heuristic { branch, did } in &self.heuristics {
            text += &format!("heuristic {branch} {did}\n");
        }
        text.into_bytes()
    }

    /// The record of these bytes.
    ///
    /// # Errors
    /// The bytes are not a record, or have another version.
    pub fn decode(bytes: &[u8]) -> Result<Record, BadRecord> {
        let text = std::str::from_utf8(bytes).map_err(|_| BadRecord::Version)?;
        let mut lines = text.lines().enumerate();
        if lines.next().is_none_or(|(_, line)| line != FIRST_LINE) {
            return Err(BadRecord::Version);
        }
        let mut decision = None;
        let mut record = Record::new(Decision::Abort, "", Vec::new());
        for (at, line) in lines {
            let bad = || BadRecord::Line { number: at + 1, line: line.to_owned() };
            let (key, value) = line.split_once(' ').ok_or_else(bad)?;
            match key {
                "decision" => decision = Some(parse_decision(value).ok_or_else(bad)?),
                "by" => record.by = value.to_owned(),
                "branch" => record.branches.push(parse_branch(value).ok_or_else(bad)?),
                "heuristic" => record.heuristics.push(parse_heuristic(value).ok_or_else(bad)?),
                _ => return Err(bad()),
            }
        }
        record.decision = decision.ok_or(BadRecord::NoDecision)?;
        Ok(record)
    }
}

fn parse_decision(text: &str) -> Option<Decision> {
    [Decision::Commit, Decision::Abort].into_iter().find(|decision| decision.to_string() == text)
}

fn parse_branch(text: &str) -> Option<PreparedBranch> {
    let (branch, witness) = text.split_once(' ')?;
    let branch = Branch::from_qualifier(branch).ok()?;
    Some(PreparedBranch { branch, witness: Witness::new(witness).ok()? })
}

fn parse_heuristic(text: &str) -> Option<Heuristic> {
    let (branch, did) = text.split_once(' ')?;
    Some(Heuristic { branch: Branch::from_qualifier(branch).ok()?, did: parse_decision(did)? })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::branch::ResourceName;

    fn branch(name: &str, session: Option<u64>) -> Branch {
        Branch { resource: ResourceName::new(name).expect("a name"), session }
    }

    #[test]
    fn a_record_is_readable_text() {
        let prepared =
            |branch, witness| PreparedBranch { branch, witness: Witness::new(witness).expect("short") };
        let branches = vec![prepared(branch("bank", None), "742"), prepared(branch("shop", Some(255)), "")];
        let mut record = Record::new(Decision::Commit, "teller\n7", branches);
        record.heuristics = vec![Heuristic { branch: branch("shop", Some(255)), did: Decision::Abort }];
        let text = "ostler-transaction 1\ndecision commit\nby teller 7\nbranch bank 742\nbranch shop:ff \n\
                    heuristic shop:ff abort\n";
        assert_eq!(String::from_utf8(record.encode()), Ok(text.to_owned()));
        assert_eq!(Record::decode(text.as_bytes()), Ok(record));
    }

    #[test]
    fn what_is_no_record_is_refused() {
        let line = |number, line: &str| BadRecord::Line { number, line: line.to_owned() };
        for (text, error) in [
            ("", BadRecord::Version),
            ("commit", BadRecord::Version),
            ("ostler-transaction 2\ndecision commit\n", BadRecord::Version),
            ("ostler-transaction 1\n", BadRecord::NoDecision),
            ("ostler-transaction 1\nby me\n", BadRecord::NoDecision),
            ("ostler-transaction 1\ndecision maybe\n", line(2, "decision maybe")),
            ("ostler-transaction 1\ndecision commit\nbranch A x\n", line(3, "branch A x")),
            ("ostler-transaction 1\ndecision commit\nelse x\n", line(3, "else x")),
            ("ostler-transaction 1\ndecision commit\n\n", line(3, "")),
        ] {
            assert_eq!(Record::decode(text.as_bytes()), Err(error), "{text:?}");
        }
        assert_eq!(Record::decode(&[0xff]), Err(BadRecord::Version));
    }

    fn any_decision() -> impl Strategy<Value = Decision> {
        prop_oneof![Just(Decision::Commit), Just(Decision::Abort)]
    }

    /// Names of resources.
    const NAME: &str = "[a-z0-9._-]{1,40}";

    proptest! {
        #[test]
        fn what_is_written_is_read(
            decision in any_decision(),
            by: String,
            branches in prop::collection::vec((NAME, any::<Option<u64>>(), "[!-~]{0,64}"), 0..5),
            heuristics in prop::collection::vec((NAME, any::<Option<u64>>(), any_decision()), 0..3),
        ) {
            let branches = branches.iter().map(|(name, session, witness)| PreparedBranch {
                branch: branch(name, *session),
                witness: Witness::new(witness).expect("short"),
            });
            let mut record = Record::new(decision, &by, branches.collect());
            let heuristics = heuristics.iter();
            record.heuristics = heuristics
                .map(|(name, session, did)| Heuristic { branch: branch(name, *session), did: *did })
                .collect();
            prop_assert_eq!(Record::decode(&record.encode()), Ok(record));
        }

        #[test]
        fn no_bytes_break_the_reader(bytes: Vec<u8>) {
            let _ = Record::decode(&bytes);
        }
    }
}

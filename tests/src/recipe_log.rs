//! What the programs of `crates/recipes/examples/faults_worker.rs` write down, and what must not be
//! in it.
//!
//! Each line is a word, the process id of a program, and sometimes what it is about. Besides theirs
//! there are `over PID` when a program has ended, and `stopped PID` and `cut PID` before the test
//! stops it or cuts it off. Lines come in the order in which they were written.

use std::collections::{BTreeMap, BTreeSet};

fn words(line: &str) -> (&str, u32, Option<u64>) {
    let mut words = line.split(' ');
    let word = words.next().expect("a word");
    let pid = words.next().and_then(|pid| pid.parse().ok()).unwrap_or_else(|| panic!("no process: {line}"));
    (word, pid, words.next().map(|number| number.parse().expect("a number")))
}

/// What the log of a counter shows.
#[derive(Debug, Default)]
pub struct Counts {
    /// The sums that were told, each to one program.
    pub sums: BTreeSet<u64>,
    /// Additions that may have been made.
    pub unsure: usize,
    /// What must not be.
    pub violations: Vec<String>,
    /// Those that have not heard yet.
    adding: BTreeSet<u32>,
}

impl Counts {
    /// Reads a log.
    pub fn read(log: &str) -> Counts {
        let mut counts = Counts::default();
        for line in log.lines() {
            let (word, pid, number) = words(line);
            match word {
                "adding" => _ = counts.adding.insert(pid),
                "added" => {
                    counts.adding.remove(&pid);
                    if !counts.sums.insert(number.expect("a sum")) {
                        counts.violations.push(format!("{line}: another one has this sum"));
                    }
                }
                "unsure" => counts.unsure += usize::from(counts.adding.remove(&pid)),
                "failed" => _ = counts.adding.remove(&pid),
                "over" => counts.unsure += usize::from(counts.adding.remove(&pid)),
                "stopped" | "cut" => {}
                _ => panic!("no such line: {line}"),
            }
        }
        counts
    }

    /// What is wrong with this number at the end: it has all additions that were acknowledged, and
    /// besides them only such as may have been made.
    pub fn check(&self, last: u64) -> Vec<String> {
        let (told, most) = (self.sums.len() as u64, (self.sums.len() + self.unsure) as u64);
        let mut wrong = self.violations.clone();
        if !(told..=most).contains(&last) {
            wrong.push(format!("{last} is not between {told} and {most}"));
        }
        if let Some(high) = self.sums.last().filter(|sum| **sum > last) {
            wrong.push(format!("{high} was told, and {last} is the end"));
        }
        wrong
    }
}

/// What the log of double barriers shows, one for each round.
#[derive(Debug, Default)]
pub struct Rounds {
    /// Those that have left, by the round.
    pub left: BTreeMap<u64, usize>,
    /// What must not be.
    pub violations: Vec<String>,
    rounds: BTreeMap<u64, Round>,
    /// Those that may be gone without knowing it.
    doubtful: BTreeSet<u32>,
}

#[derive(Debug, Default)]
struct Round {
    entering: BTreeSet<u32>,
    /// Those that are about to leave, or have ended.
    leaving: BTreeSet<u32>,
}

impl Rounds {
    /// Reads a log of rounds for this many participants.
    pub fn read(log: &str, participants: usize) -> Rounds {
        let mut rounds = Rounds::default();
        log.lines().for_each(|line| rounds.follow(line, participants));
        rounds
    }

    fn follow(&mut self, line: &str, participants: usize) {
        let (word, pid, number) = words(line);
        let number = number.unwrap_or_default();
        let round = self.rounds.entry(number).or_default();
        match word {
            "entering" => _ = round.entering.insert(pid),
            "leaving" => _ = round.leaving.insert(pid),
            "over" => self.end(pid),
            "stopped" | "cut" => _ = self.doubtful.insert(pid),
            "lingering" => {}
            // All that were counted have come before one has entered.
            "entered" => {
                let there = round.entering.len();
                self.require(line, there, participants);
            }
            // All that were counted want to leave, or are gone, before one has left.
            "left" => {
                let is_leaving = |pid: &&u32| round.leaving.contains(pid) || self.doubtful.contains(pid);
                let there = round.entering.iter().filter(is_leaving).count();
                *self.left.entry(number).or_default() += 1;
                self.require(line, there, participants);
            }
            _ => panic!("no such line: {line}"),
        }
    }

    fn require(&mut self, line: &str, there: usize, participants: usize) {
        if there < participants {
            self.violations.push(format!("{line}: {there} of {participants}"));
        }
    }

    /// A process id may come again.
    fn end(&mut self, pid: u32) {
        self.doubtful.remove(&pid);
        self.rounds.values_mut().filter(|round| round.entering.contains(&pid)).for_each(|round| {
            round.leaving.insert(pid);
        });
    }
}

/// What the log of a barrier shows.
#[derive(Debug, Default)]
pub struct Gate {
    /// How often one has passed.
    pub passes: usize,
    /// What must not be.
    pub violations: Vec<String>,
    /// How often the gate was closed, and whether it is.
    closings: usize,
    is_closed: bool,
    /// When those that wait have begun: the number of the closing, if the gate was closed.
    waiting: BTreeMap<u32, Option<usize>>,
    /// Those that may say late what they have done long before.
    doubtful: BTreeSet<u32>,
}

impl Gate {
    /// Reads a log.
    pub fn read(log: &str) -> Gate {
        let mut gate = Gate::default();
        log.lines().for_each(|line| gate.follow(line));
        gate
    }

    fn now(&self) -> Option<usize> {
        self.is_closed.then_some(self.closings)
    }

    fn follow(&mut self, line: &str) {
        let (word, pid, _) = words(line);
        match word {
            "closed" if self.is_closed || self.doubtful.contains(&pid) => {}
            "closed" => (self.is_closed, self.closings) = (true, self.closings + 1),
            "opening" => self.is_closed = false,
            "waiting" => _ = self.waiting.insert(pid, self.now()),
            "passed" => {
                self.passes += 1;
                let since = self.waiting.remove(&pid).expect("it has waited");
                if since.is_some() && since == self.now() {
                    self.violations.push(format!("{line}: the gate is closed"));
                }
            }
            "stopped" | "cut" => _ = self.doubtful.insert(pid),
            "over" => _ = self.doubtful.remove(&pid),
            _ => panic!("no such line: {line}"),
        }
    }
}

/// Lines of the log of a group that must not be: its members tell of it.
pub fn unlisted(log: &str) -> Vec<String> {
    log.lines().filter(|line| line.starts_with("unlisted ")).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn additions_that_are_lost_or_made_twice_are_noticed() {
        let log = "adding 1\nadding 2\nadded 2 2\nadded 1 1\nadding 1\nunsure 1\nadding 2\nover 2\n\
                   adding 3\nfailed 3\n";
        let counts = Counts::read(log);
        assert_eq!((counts.sums.len(), counts.unsure), (2, 2));
        for last in 2..=4 {
            assert_eq!(counts.check(last), Vec::<String>::new(), "{last}");
        }
        assert_eq!(counts.check(1), ["1 is not between 2 and 4", "2 was told, and 1 is the end"]);
        assert_eq!(counts.check(5), ["5 is not between 2 and 4"]);
        let twice = Counts::read("adding 1\nadded 1 1\nadding 2\nadded 2 1\n");
        assert_eq!(twice.violations, ["added 2 1: another one has this sum"]);
    }

    #[test]
    fn those_who_enter_or_leave_too_early_are_noticed() {
        let enter = "entering 1 7\nentering 2 7\nentered 2 7\nentered 1 7\n";
        let good = format!("{enter}leaving 1 7\nleaving 2 7\nleft 2 7\nleft 1 7\n");
        let rounds = Rounds::read(&good, 2);
        assert_eq!((rounds.violations.len(), rounds.left[&7]), (0, 2));
        assert_eq!(Rounds::read("entering 1 7\nentered 1 7\n", 2).violations, ["entered 1 7: 1 of 2"]);
        let left = format!("{enter}leaving 1 7\nleft 1 7\n");
        assert_eq!(Rounds::read(&left, 2).violations, ["left 1 7: 1 of 2"]);
        // One that is gone holds nobody up, and its successor holds nobody up either.
        for gone in ["over 2", "stopped 2", "cut 2", "over 2\nentering 3 7"] {
            let left = format!("{enter}{gone}\nleaving 1 7\nleft 1 7\n");
            assert_eq!(Rounds::read(&left, 2).violations, Vec::<String>::new(), "{gone}");
        }
        // One of another round that has ended counts for nothing.
        let other = format!("entering 9 6\nover 9\n{enter}leaving 1 7\nleft 1 7\n");
        assert_eq!(Rounds::read(&other, 2).violations.len(), 1);
    }

    #[test]
    fn one_that_passes_a_closed_gate_is_noticed() {
        let wrong = "closed 1\nwaiting 2\npassed 2\n";
        assert_eq!(Gate::read(wrong).violations, ["passed 2: the gate is closed"]);
        for good in [
            "waiting 2\nclosed 1\npassed 2\n",
            "closed 1\nwaiting 2\nopening 1\npassed 2\n",
            // It has passed while the gate was open, and says so late.
            "closed 1\nwaiting 2\nopening 1\nclosed 1\npassed 2\n",
            "waiting 2\npassed 2\nclosed 1\n",
            // What it says it has done before another one has opened the gate.
            "stopped 1\nopening 3\nclosed 1\nwaiting 2\npassed 2\n",
        ] {
            let gate = Gate::read(good);
            assert_eq!((gate.violations.len(), gate.passes), (0, 1), "{good}");
        }
        // A successor finds the gate closed, and closes it.
        let again = Gate::read("closed 1\nover 1\nwaiting 2\nclosed 3\npassed 2\n");
        assert_eq!(again.violations.len(), 1);
    }

    #[test]
    fn a_member_that_is_not_listed_is_noticed() {
        assert_eq!(unlisted("joined 1\nunlisted 1\nover 1\n"), ["unlisted 1"]);
    }
}

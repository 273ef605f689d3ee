//! What the programs of a [`Contest`](crate::contest::Contest) write down, and what must not be in
//! it.
//!
//! Each line is a word, sometimes something it is about, and the process id of an `ostler` or a
//! worker. Lines come in the order in which they were written: a program says that it begins when
//! it holds something, and that it ends before it gives it back.

use std::collections::{BTreeMap, BTreeSet};

/// What the log of those that hold something shows: `begin PID TOKEN`, `write PID TOKEN`,
/// `end PID`, `over PID` when its `ostler` has ended, and `stopped PID` before the test stops it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Holds {
    /// How often one has begun.
    pub turns: usize,
    /// Writes with a token lower than one that was seen before: what is protected refuses them.
    pub refused: usize,
    /// Those that hold it at the end.
    pub holders: BTreeMap<u32, i64>,
    /// What must not be.
    pub violations: Vec<String>,
    stopped: BTreeSet<u32>,
    token_max: i64,
}

impl Holds {
    /// Reads a log of holds of which at most this many may be at a time. One whose `ostler` was
    /// stopped goes on beside the next one, which nothing can prevent, and writes with a token that
    /// is too low.
    pub fn read(log: &str, leases: usize) -> Holds {
        let mut holds = Holds::default();
        log.lines().for_each(|line| holds.follow(line, leases));
        holds
    }

    fn follow(&mut self, line: &str, leases: usize) {
        let words: Vec<&str> = line.split(' ').collect();
        let pid = words[1].parse().expect("a process id");
        let token = || words[2].parse().expect("a token");
        match words[0] {
            "begin" => self.begin(pid, token(), leases),
            // Several that hold leases have no order among each other.
            "write" if leases == 1 => self.write(pid, token()),
            "end" => drop(self.holders.remove(&pid)),
            "over" => {
                self.holders.remove(&pid);
                // The process id may come again.
                self.stopped.remove(&pid);
            }
            "stopped" => drop(self.stopped.insert(pid)),
            "write" | "lingering" => {}
            _ => panic!("no such line: {line}"),
        }
    }

    fn begin(&mut self, pid: u32, token: i64, leases: usize) {
        self.turns += 1;
        self.holders.insert(pid, token);
        let counted: Vec<_> = self.holders.iter().filter(|(pid, _)| !self.stopped.contains(pid)).collect();
        if counted.len() > leases {
            self.violations.push(format!("more than {leases} at a time: {counted:?}"));
        }
    }

    fn write(&mut self, pid: u32, token: i64) {
        if token >= self.token_max {
            self.token_max = token;
            return;
        }
        self.refused += 1;
        if !self.stopped.contains(&pid) {
            self.violations.push(format!("{pid} is refused with {token} after {}", self.token_max));
        }
    }
}

/// What the log of a queue shows: `putting ITEM PID`, `put ITEM PID` and so on, as
/// `crates/recipes/examples/queue_worker.rs` writes it, `over PID` and `stopped PID`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Items {
    /// Items that were put for certain.
    pub put: BTreeSet<String>,
    /// How often an item was taken.
    pub takes: usize,
    /// What must not be.
    pub violations: Vec<String>,
    /// Items that may have been put.
    putting: BTreeSet<String>,
    /// What each worker was last about to acknowledge.
    acknowledging: BTreeMap<u32, String>,
    acknowledged: BTreeSet<String>,
    /// Items whose worker has ended before it could say whether it has acknowledged them.
    unsure: BTreeSet<String>,
    stopped: BTreeSet<u32>,
}

impl Items {
    /// Reads a log.
    pub fn read(log: &str) -> Items {
        let mut items = Items::default();
        log.lines().for_each(|line| items.follow(line));
        items
    }

    /// The items that were put and not acknowledged.
    pub fn left(&self) -> Vec<&String> {
        let is_done = |item: &&String| self.acknowledged.contains(*item) || self.unsure.contains(*item);
        self.put.iter().filter(|item| !is_done(item)).collect()
    }

    fn follow(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        let pid: u32 = words[words.len() - 1].parse().expect("a process id");
        let item = words[1].to_owned();
        let is_right = match words[0] {
            "putting" => self.putting.insert(item),
            "put" => self.put.insert(item),
            "taken" => self.take(&item, pid),
            "acknowledging" => self.acknowledging.insert(pid, item).is_none(),
            "acknowledged" => {
                self.acknowledging.remove(&pid) == Some(item.clone()) && self.acknowledged.insert(item)
            }
            // A worker whose session has expired is told so: nobody else takes an item away.
            "refused" => false,
            "over" => {
                self.unsure.extend(self.acknowledging.remove(&pid));
                // The process id may come again.
                self.stopped.remove(&pid);
                true
            }
            "stopped" => self.stopped.insert(pid),
            "lingering" => true,
            _ => panic!("no such line: {line}"),
        };
        if !is_right {
            self.violations.push(line.to_owned());
        }
    }

    /// Whether the item may be taken. One that was stopped says late what it has taken long before.
    fn take(&mut self, item: &str, pid: u32) -> bool {
        self.takes += 1;
        let is_back = self.acknowledged.contains(item) && !self.stopped.contains(&pid);
        self.putting.contains(item) && !is_back
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_that_hold_one_lock_are_noticed() {
        let good = "begin 1 5\nwrite 1 5\nend 1\nover 1\nbegin 2 6\nwrite 2 6\nover 2\n";
        assert_eq!(Holds::read(good, 1).violations, Vec::<String>::new());
        assert_eq!(Holds::read(good, 1).turns, 2);
        let two = Holds::read("begin 1 5\nbegin 2 6\n", 1);
        assert_eq!(two.violations, ["more than 1 at a time: [(1, 5), (2, 6)]"]);
        assert_eq!(two.holders, BTreeMap::from([(1, 5), (2, 6)]));
        let low = Holds::read("begin 1 5\nwrite 1 5\nend 1\nbegin 2 4\nwrite 2 4\n", 1);
        assert_eq!(low.violations, ["2 is refused with 4 after 5"]);
    }

    #[test]
    fn one_that_was_stopped_is_refused_and_does_not_count() {
        let stopped = Holds::read("begin 1 5\nstopped 1\nbegin 2 6\nwrite 2 6\nwrite 1 5\nover 1\n", 1);
        assert_eq!((stopped.violations.len(), stopped.refused), (0, 1), "{stopped:?}");
        let three = Holds::read("begin 1 5\nstopped 1\nbegin 2 6\nbegin 3 7\n", 1);
        assert_eq!(three.violations, ["more than 1 at a time: [(2, 6), (3, 7)]"]);
    }

    #[test]
    fn leases_are_counted() {
        let log = "begin 1 5\nbegin 2 6\nwrite 1 5\nend 2\nbegin 3 7\n";
        assert_eq!(Holds::read(log, 2).violations, Vec::<String>::new());
        let more = Holds::read(&format!("{log}begin 4 8\n"), 2);
        assert_eq!(more.violations, ["more than 2 at a time: [(1, 5), (3, 7), (4, 8)]"]);
    }

    #[test]
    fn items_that_are_lost_or_come_back_are_noticed() {
        let put = "putting a 9\nput a 9\n";
        let done = format!("{put}taken a 1\nacknowledging a 1\nacknowledged a 1\n");
        let items = Items::read(&done);
        assert_eq!((items.violations.len(), items.left().len(), items.takes), (0, 0, 1));
        for (log, left) in
            [("", 1), ("taken a 1\nacknowledging a 1\n", 1), ("acknowledging a 1\nover 1\n", 0)]
        {
            assert_eq!(Items::read(&format!("{put}{log}")).left().len(), left, "{log}");
        }
        for wrong in ["taken a 2", "acknowledged a 1", "taken b 1", "refused a 1", "put a 9"] {
            assert_eq!(Items::read(&format!("{done}{wrong}\n")).violations, [wrong]);
        }
        let late = format!("{put}taken a 2\nstopped 1\nacknowledging a 2\nacknowledged a 2\ntaken a 1\n");
        assert_eq!(Items::read(&late).violations, Vec::<String>::new());
    }
}

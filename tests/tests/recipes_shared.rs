//! Programs with our recipes, with Curator in Java and with kazoo in Python share barriers, queues,
//! counters, groups and leases. Each program obeys the test line by line, so what must wait is seen
//! to wait.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use ostler_tests::client::{Program, java_class, python_program};
use ostler_tests::process::{Kind, Server, example};
use ostler_tests::request::{Request, op};
use ostler_tests::session::Session;
use ostler_tests::waiting::await_that;

/// Only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// The members of each kind at one server.
struct Members {
    /// First in the order of dropping: the programs end before their server.
    programs: Vec<Program>,
    server: Server,
}

/// Their places in [`Members`].
const OURS: usize = 0;
const CURATOR: usize = 1;
const KAZOO: usize = 2;

/// All orders of three.
const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

impl Members {
    /// `None`, with a line saying why, without what they need.
    fn start() -> Option<Members> {
        let server = Server::start(Kind::under_test())?;
        let commands = [Command::new(example("member")), java_class("Member")?, python_program("member.py")?];
        let address = server.address().to_string();
        let start = |mut command: Command| Program::start(command.arg(&address));
        Some(Members { programs: commands.into_iter().map(start).collect(), server })
    }

    fn tell(&mut self, member: usize, line: &str) {
        self.programs[member].tell(line);
    }

    fn told(&mut self, member: usize) -> String {
        self.programs[member].told()
    }

    fn ask(&mut self, member: usize, line: &str) -> String {
        self.tell(member, line);
        self.told(member)
    }

    fn must(&mut self, member: usize, line: &str) {
        assert_eq!(self.ask(member, line), "done", "{line}");
    }

    /// Waits until `count` watches are on znodes for which `is_meant` is true: each is of a member
    /// that waits.
    fn await_watches(&self, count: usize, is_meant: impl Fn(&str) -> bool) {
        let reached = || (watches(&self.server.four_letter_word("wchp"), &is_meant) == count).then_some(());
        await_that(PATIENCE, &format!("there are {count} watches"), reached);
    }

    /// Waits until a znode has this many children.
    fn await_children(&self, path: &str, count: i32) {
        let mut session = Session::open(self.server.address(), 10_000).expect("a session");
        let list = Request::Read { op: op::GET_CHILDREN, path: path.to_owned(), watch: false };
        let mut reached = || {
            let reply = session.call(&list);
            (reply.err == 0 && reply.count() == count).then_some(())
        };
        await_that(PATIENCE, &format!("{path} has {count} children"), &mut reached);
    }

    fn assert_silent(&self, members: &[usize], what: &str) {
        members.iter().for_each(|member| assert!(self.programs[*member].is_silent(), "{member}: {what}"));
    }

    /// Takes items by turns until there is no more.
    fn take_by_turns(&mut self, takers: &[usize], kind: &str, path: &str) -> Vec<String> {
        let mut taken = Vec::new();
        for taker in takers.iter().cycle() {
            // Each has its own name for the queues that are simple.
            let kind = if *taker == KAZOO && kind == "simple" { "kazoo" } else { kind };
            match self.ask(*taker, &format!("take {kind} {path}")) {
                item if item == "nothing" => return taken,
                item => taken.push(item),
            }
        }
        taken
    }

    /// Takes items all at once until there are this many. Panics if one comes twice.
    fn take_at_once(&mut self, takers: &[(usize, &str)], path: &str, count: usize) -> Vec<usize> {
        let mut taken: BTreeMap<String, usize> = BTreeMap::new();
        while taken.len() < count {
            takers.iter().for_each(|(taker, kind)| self.tell(*taker, &format!("take {kind} {path}")));
            for (taker, _) in takers {
                let item = self.told(*taker);
                assert!(item == "nothing" || taken.insert(item.clone(), *taker).is_none(), "{item} again");
            }
        }
        takers.iter().map(|(taker, _)| taken.values().filter(|by| *by == taker).count()).collect()
    }
}

/// How many watches on such znodes the answer to `wchp` lists: each path, then the sessions that
/// watch it, indented.
fn watches(listed: &str, is_meant: impl Fn(&str) -> bool) -> usize {
    let mut counts = false;
    let watches = listed.lines().filter(|line| {
        let is_path = line.starts_with('/');
        if is_path {
            counts = is_meant(line);
        }
        counts && !is_path
    });
    watches.count()
}

#[test]
fn all_wait_at_one_barrier() {
    let Some(mut members) = Members::start() else { return };
    for [closes, opens, waits] in ORDERS {
        members.must(closes, "close /barriers");
        // The one that has closed it waits, too.
        for waiting in [closes, waits] {
            members.tell(waiting, "wait /barriers");
        }
        members.await_watches(2, |watched| watched == "/barriers");
        members.assert_silent(&[closes, waits], "the barrier is closed");
        members.must(opens, "open /barriers");
        for waiting in [closes, waits] {
            assert_eq!(members.told(waiting), "done");
            members.must(waiting, "wait /barriers");
        }
    }
}

#[test]
fn all_enter_and_leave_a_double_barrier_together() {
    let Some(mut members) = Members::start() else { return };
    // Who is the lowest is random, and matters.
    for (round, order) in ORDERS.iter().cycle().take(4 * ORDERS.len()).enumerate() {
        // A place of its own for each round: kazoo leaves watches behind.
        let path = format!("/double/{round}");
        let ready = format!("{path}/ready");
        let [first, second, last] = *order;
        let what = format!("the last of {order:?} is not there");
        for (count, member) in [(1, first), (2, second)] {
            members.tell(member, &format!("enter {path} 3"));
            members.await_children(&path, count);
            members.await_watches(count as usize, |watched| watched == ready);
        }
        members.assert_silent(&[first, second], &what);
        members.tell(last, &format!("enter {path} 3"));
        order.iter().for_each(|member| assert_eq!(members.told(*member), "done"));

        // Those that leave watch each other.
        let is_below = |watched: &str| watched.starts_with(&format!("{path}/")) && watched != ready;
        for (count, member) in [(1, first), (2, second)] {
            members.tell(member, "leave");
            members.await_watches(count, is_below);
        }
        members.assert_silent(&[first, second], &what);
        members.tell(last, "leave");
        order.iter().for_each(|member| assert_eq!(members.told(*member), "done"));
    }
}

#[test]
fn kazoo_and_ours_share_a_locking_queue() {
    let Some(mut members) = Members::start() else { return };
    for (puts, takes) in [(OURS, KAZOO), (KAZOO, OURS)] {
        for (item, priority) in [("c", 100), ("d", 100), ("a", 5), ("b", 5), ("e", 999)] {
            members.must(puts, &format!("put locking /locking {priority} {item}"));
        }
        assert_eq!(members.take_by_turns(&[takes], "locking", "/locking").join(" "), "a b c d e");
    }
    for number in 0..40 {
        members.must([OURS, KAZOO][number % 2], &format!("put locking /locking 100 {number}"));
    }
    let shares = members.take_at_once(&[(OURS, "locking"), (KAZOO, "locking")], "/locking", 40);
    assert!(shares.iter().all(|share| *share > 0), "{shares:?}");
}

/// Curator takes only items with names of its own, kazoo those of either.
#[test]
fn all_share_simple_queues() {
    let Some(mut members) = Members::start() else { return };
    let numbers = |count: usize| (0..count).map(|number| number.to_string()).collect::<Vec<_>>();
    for puts in [OURS, CURATOR] {
        for number in numbers(9) {
            members.must(puts, &format!("put simple /simple 100 {number}"));
        }
        let taken = members.take_by_turns(&[OURS, CURATOR, KAZOO], "simple", "/simple");
        assert_eq!(taken, numbers(9), "by turns, in order");
    }
    for puts in [OURS, KAZOO] {
        for number in numbers(8) {
            members.must(puts, &format!("put kazoo /kazoo 100 {number}"));
        }
        assert_eq!(members.take_by_turns(&[OURS, KAZOO], "simple", "/kazoo"), numbers(8));
    }
    for (number, puts) in [OURS, CURATOR].iter().cycle().take(60).enumerate() {
        members.must(*puts, &format!("put simple /simple 100 {number}"));
    }
    let takers = [(OURS, "simple"), (CURATOR, "simple"), (KAZOO, "kazoo")];
    let shares = members.take_at_once(&takers, "/simple", 60);
    assert!(shares.iter().all(|share| *share > 0), "{shares:?}");
}

#[test]
fn additions_of_all_add_up() {
    let Some(mut members) = Members::start() else { return };
    for (format, adders) in
        [("text", &[OURS, KAZOO][..]), ("int", &[OURS, CURATOR, KAZOO]), ("long", &[OURS, CURATOR])]
    {
        // kazoo creates a znode without data, which Curator's SharedCount cannot read.
        assert_eq!(members.ask(OURS, &format!("count {format} /{format}")), "0");
        adders.iter().for_each(|adder| members.tell(*adder, &format!("add {format} /{format} 40")));
        adders.iter().for_each(|adder| assert_eq!(members.told(*adder), "done"));
        let sum = (40 * adders.len()).to_string();
        for member in adders {
            assert_eq!(members.ask(*member, &format!("count {format} /{format}")), sum, "{format}");
        }
    }
}

#[test]
fn all_see_each_other_in_a_group() {
    let Some(mut members) = Members::start() else { return };
    let names = ["ours", "curator", "kazoo"];
    for (member, name) in names.iter().enumerate() {
        members.must(member, &format!("join /group {name}"));
    }
    let await_members = |members: &mut Members, expected: &str, lookers: &[usize]| {
        for looker in lookers {
            let seen = || (members.ask(*looker, "members /group") == expected).then_some(());
            await_that(PATIENCE, &format!("{looker} sees {expected}"), seen);
        }
    };
    await_members(&mut members, "curator kazoo ours", &[OURS, CURATOR, KAZOO]);
    members.must(OURS, "quit");
    await_members(&mut members, "curator kazoo", &[OURS, CURATOR, KAZOO]);
    // Curator always counts itself.
    members.must(CURATOR, "quit");
    await_members(&mut members, "kazoo", &[OURS, KAZOO]);
    members.must(KAZOO, "quit");
    await_members(&mut members, "", &[OURS, KAZOO]);
}

#[test]
fn kazoo_and_ours_share_a_lease() {
    let Some(mut members) = Members::start() else { return };
    for (path, holds, waits) in [("/lease/one", OURS, KAZOO), ("/lease/two", KAZOO, OURS)] {
        // Three seconds end while the test looks; an hour does not.
        members.must(holds, &format!("lease {path} first 3600"));
        assert_eq!(members.ask(waits, &format!("lease {path} second 3600")), "held");
        members.must(holds, &format!("lease {path} first 3"));
        let taken = || (members.ask(waits, &format!("lease {path} second 3600")) == "done").then_some(());
        await_that(PATIENCE, "the lease ends", taken);
        assert_eq!(members.ask(holds, &format!("lease {path} first 3600")), "held");
        members.must(holds, &format!("lease {path} second 3600"));
    }
}

//! What must be true of an ensemble after all faults, and of its clients' answers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use crate::history::{Act, Answer, Call};
use crate::jute::Reader;
use crate::load::{Ephemeral, Evidence, TIMEOUT_MS, state_of};
use crate::request::{Request, op};
use crate::session::{Session, get_data};

/// One znode, as a member shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Znode {
    /// Its data.
    pub data: String,
    /// Its stat, byte by byte.
    pub stat: Vec<u8>,
}

impl Znode {
    /// The session it goes with, or 0.
    pub fn owner(&self) -> i64 {
        let mut reader = Reader::new(&self.stat);
        reader.take(4 * 8 + 3 * 4).and_then(|_| reader.long()).expect("a stat")
    }
}

/// Everything a member shows, by path, but what belongs to the system.
pub type Tree = BTreeMap<String, Znode>;

/// Reads the whole tree through one member, after a `sync`. `None` if the member does not let that
/// happen now.
pub fn tree(address: SocketAddr) -> Option<Tree> {
    let mut session = Session::open(address, TIMEOUT_MS)?;
    session.must(&Request::Path { op: op::SYNC, path: "/".to_owned() });
    let mut tree = Tree::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let path = if folder.is_empty() { "/" } else { &folder };
        let reply =
            session.call(&Request::Read { op: op::GET_CHILDREN2, path: path.to_owned(), watch: false });
        if reply.err != 0 {
            // An ephemeral has gone meanwhile.
            continue;
        }
        let mut names = names_in(&reply.body);
        names.retain(|name| !(folder.is_empty() && name == "zookeeper"));
        let paths: Vec<String> = names.iter().map(|name| format!("{folder}/{name}")).collect();
        for some in paths.chunks(100) {
            for path in some {
                session.send(&get_data(path));
            }
            for path in some {
                let reply = session.reply().expect("a reply");
                if reply.err == 0 {
                    let znode = znode(&reply.body);
                    if children(&znode) > 0 {
                        folders.push(path.clone());
                    }
                    tree.insert(path.clone(), znode);
                }
            }
        }
    }
    session.must(&Request::Raw { op: op::CLOSE_SESSION, body: Vec::new() });
    Some(tree)
}

fn names_in(body: &[u8]) -> Vec<String> {
    let mut reader = Reader::new(body);
    let count = reader.int().expect("a count");
    let mut name = || reader.buffer().flatten().expect("a name").to_vec();
    (0..count).map(|_| String::from_utf8(name()).expect("a name")).collect()
}

fn znode(body: &[u8]) -> Znode {
    let mut reader = Reader::new(body);
    let data = String::from_utf8_lossy(reader.buffer().expect("data").unwrap_or_default()).into_owned();
    Znode { data, stat: body[reader.at()..].to_vec() }
}

fn children(znode: &Znode) -> i32 {
    let mut reader = Reader::new(&znode.stat);
    reader.take(4 * 8 + 3 * 4 + 8 + 4).and_then(|_| reader.int()).expect("a stat")
}

/// Where two members differ, for people.
pub fn difference(one: &Tree, other: &Tree) -> Option<String> {
    let paths: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let path = paths.into_iter().find(|path| one.get(*path) != other.get(*path))?;
    Some(format!("{path}: {:?} and {:?}", one.get(path), other.get(path)))
}

/// Whether ephemerals of sessions that are gone are still there; they go in their own time.
pub fn has_leftovers(tree: &Tree, evidence: &[Evidence]) -> bool {
    let gone = |path: &String| {
        evidence
            .iter()
            .any(|known| known.ephemerals.get(path).is_some_and(|(_, fate)| *fate == Ephemeral::Gone))
    };
    tree.keys().any(gone)
}

/// Holds what one member shows against what each client was told.
pub fn judge(tree: &Tree, evidence: &[Evidence]) {
    for (client, known) in evidence.iter().enumerate() {
        for (path, data) in &known.created {
            let there = tree.get(path).map(|znode| &znode.data);
            match known.deleted.get(path) {
                None => assert_eq!(there, Some(data), "acknowledged writes survive: {path}"),
                Some(true) => assert_eq!(there, None, "acknowledged writes survive: {path} was deleted"),
                Some(false) => assert!(there.is_none_or(|there| there == data), "{path}: {there:?}"),
            }
        }
        let own =
            tree.get(&format!("/own/{client}")).map_or(0, |znode| znode.data.parse().expect("a number"));
        let (acknowledged, sent) = known.own;
        assert!(
            (acknowledged..=sent).contains(&own),
            "/own/{client}: {own} is not of {acknowledged}..={sent}"
        );
        for (path, (session, fate)) in &known.ephemerals {
            let owner = tree.get(path).map(Znode::owner);
            let wanted = (*fate == Ephemeral::Held).then_some(*session);
            assert_eq!(owner, wanted, "ephemerals live as long as their sessions: {path}");
        }
    }
    judge_sequence(tree, evidence);
    judge_zxids(evidence);
}

/// Each write has a zxid of its own.
fn judge_zxids(evidence: &[Evidence]) {
    let mut seen = BTreeSet::new();
    for zxid in evidence.iter().flat_map(|known| &known.written) {
        assert!(seen.insert(zxid), "two writes were acknowledged with zxid {zxid:#x}");
    }
}

/// Sequential znodes: nothing twice, nothing lost, and each client's in the order in which it sent
/// them.
fn judge_sequence(tree: &Tree, evidence: &[Evidence]) {
    let mut names: BTreeMap<&str, &str> = BTreeMap::new();
    let mut last: BTreeMap<&str, (u64, &str)> = BTreeMap::new();
    // Names sort as their numbers do.
    for (path, znode) in tree.iter().filter(|(path, _)| path.starts_with("/sequential/")) {
        if let Some(before) = names.insert(&znode.data, path) {
            panic!("a write happens once: {} made {before} and {path}", znode.data);
        }
        let (client, number) = znode.data.split_once(':').expect("a client and a number");
        let number = number.parse().expect("a number");
        if let Some((before, earlier)) = last.insert(client, (number, path)) {
            assert!(
                before < number,
                "session order: client {client} sent {number} after {before}, but {path} comes after {earlier}"
            );
        }
    }
    for (data, name) in evidence.iter().flat_map(|known| &known.named) {
        assert_eq!(names.get(data.as_str()), Some(&name.as_str()), "acknowledged writes survive: {data}");
    }
}

/// All calls on registers, with what is in them now as the last word.
pub fn history(address: SocketAddr, evidence: &[Evidence], now: u64) -> Vec<Call> {
    let mut calls: Vec<Call> = evidence.iter().flat_map(|known| known.calls.iter().cloned()).collect();
    let registers: BTreeSet<String> = calls.iter().map(|call| call.register.clone()).collect();
    let mut session = Session::open(address, TIMEOUT_MS).expect("a session");
    session.must(&Request::Path { op: op::SYNC, path: "/".to_owned() });
    for register in registers {
        let answer = Answer::State(state_of(&session.must(&get_data(&register)), &register));
        let (client, act) = (evidence.len(), Act::Read);
        // Its end is after everything else's, which is all that matters.
        calls.push(Call { client, register, act, called: now, returned: now + 1, answer });
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jute::Record;

    fn with(path: &str, data: &str, owner: i64) -> (String, Znode) {
        let stat =
            Record::new().long(1).long(1).long(0).long(0).int(0).int(0).int(0).long(owner).int(0).int(0);
        (path.to_owned(), Znode { data: data.to_owned(), stat: stat.long(1).0 })
    }

    /// What two clients know that fits the tree below, each kind of promise once.
    fn told() -> [Evidence; 2] {
        let named = |data: &str, name: &str| (data.to_owned(), name.to_owned());
        let first = Evidence {
            created: [named("/kept/0-1", "1"), named("/kept/0-2", "2")].into(),
            deleted: [("/kept/0-2".to_owned(), true)].into(),
            named: [named("0:3", "/sequential/n-0000000000"), named("0:4", "/sequential/n-0000000002")]
                .into(),
            own: (5, 7),
            ephemerals: [
                ("/ephemerals/0-6".to_owned(), (9, Ephemeral::Held)),
                ("/ephemerals/0-5".to_owned(), (0, Ephemeral::Gone)),
            ]
            .into(),
            written: vec![1, 3],
            ..Evidence::default()
        };
        [first, Evidence { written: vec![2], ..Evidence::default() }]
    }

    fn shown() -> Tree {
        let znodes = [
            with("/kept/0-1", "1", 0),
            with("/own/0", "6", 0),
            with("/sequential/n-0000000000", "0:3", 0),
            with("/sequential/n-0000000001", "1:1", 0),
            with("/sequential/n-0000000002", "0:4", 0),
            with("/ephemerals/0-6", "", 9),
        ];
        znodes.into()
    }

    /// Whether the verdict is against an ensemble that shows something else.
    fn bites(spoil: impl FnOnce(&mut Tree)) -> bool {
        let mut tree = shown();
        spoil(&mut tree);
        std::panic::catch_unwind(|| judge(&tree, &told())).is_err()
    }

    #[test]
    fn whatever_is_kept_is_kept() {
        judge(&shown(), &told());
    }

    #[test]
    fn every_broken_promise_is_found() {
        assert!(bites(|tree| drop(tree.remove("/kept/0-1"))), "a lost create");
        assert!(bites(|tree| tree.extend([with("/kept/0-2", "2", 0)])), "a delete undone");
        assert!(bites(|tree| tree.extend([with("/own/0", "4", 0)])), "a lost set");
        assert!(bites(|tree| drop(tree.remove("/ephemerals/0-6"))), "an ephemeral that died early");
        assert!(bites(|tree| tree.extend([with("/ephemerals/0-5", "", 8)])), "one that outlives its session");
        let number = |number| format!("/sequential/n-000000000{number}");
        assert!(bites(|tree| tree.extend([with(&number(3), "1:1", 0)])), "a write that happened twice");
        assert!(bites(|tree| tree.extend([with(&number(3), "0:2", 0)])), "a session's writes out of order");
        assert!(bites(|tree| drop(tree.remove(&number(2)))), "a lost sequential znode");
    }

    #[test]
    fn a_zxid_is_given_once() {
        let twice = [told()[1].written.clone(), vec![2]];
        let told = twice.map(|written| Evidence { written, ..Evidence::default() });
        assert!(std::panic::catch_unwind(|| judge(&Tree::new(), &told)).is_err());
    }
}

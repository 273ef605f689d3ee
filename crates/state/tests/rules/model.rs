//! A simple independent model: the znodes as a map from path to fields, with every answer found by
//! scanning it.

use std::collections::BTreeMap;

use proptest::prelude::*;

/// The operations of a random run.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Create { path: String, is_sequential: bool, is_ephemeral: bool, data: Option<u8> },
    Delete { path: String, version: i32 },
    Set { path: String, data: Option<u8>, version: i32 },
    Check { path: String, version: i32 },
    Multi(Vec<Op>),
    Close,
    Open,
}

impl Op {
    /// The script line for this operation.
    pub(crate) fn text(&self) -> String {
        let data =
            |data: &Option<u8>| data.map_or("null".to_owned(), |byte| "d".repeat(usize::from(byte) + 1));
        match self {
            Self::Create { path, is_sequential, is_ephemeral, data: value } => {
                let sequential = if *is_sequential { "-s " } else { "" };
                let ephemeral = if *is_ephemeral { "-e " } else { "" };
                format!("create {sequential}{ephemeral}{path} {}", data(value))
            }
            Self::Delete { path, version } => format!("delete {path} {version}"),
            Self::Set { path, data: value, version } => format!("set {path} {} {version}", data(value)),
            Self::Check { path, version } => format!("check {path} {version}"),
            Self::Multi(parts) => {
                let parts: Vec<_> = parts.iter().map(Self::text).collect();
                format!("multi {}", parts.join("; "))
            }
            Self::Close => "close".to_owned(),
            Self::Open => "open".to_owned(),
        }
    }
}

fn path() -> impl Strategy<Value = String> {
    let name = || proptest::sample::select(vec!["a", "b", "n-", "n-0000000000", "n-0000000001"]);
    proptest::collection::vec(name(), 1..4).prop_map(|names| format!("/{}", names.join("/")))
}

fn single() -> impl Strategy<Value = Op> {
    let data = || proptest::option::of(0..4u8);
    prop_oneof![
        4 => (path(), any::<bool>(), proptest::bool::weighted(0.2), data()).prop_map(
            |(path, is_sequential, is_ephemeral, data)| Op::Create { path, is_sequential, is_ephemeral, data }
        ),
        2 => (path(), -1..2).prop_map(|(path, version)| Op::Delete { path, version }),
        2 => (path(), data(), -1..2).prop_map(|(path, data, version)| Op::Set { path, data, version }),
        1 => (path(), -1..2).prop_map(|(path, version)| Op::Check { path, version }),
    ]
}

/// A session and its operation. A check is not a request on its own, so it is put into a multi.
pub(crate) fn step() -> impl Strategy<Value = (i64, Op)> {
    let alone = single().prop_map(|op| match op {
        Op::Check { .. } => Op::Multi(vec![op]),
        other => other,
    });
    let op = prop_oneof![
        6 => alone,
        3 => proptest::collection::vec(single(), 0..6).prop_map(Op::Multi),
        1 => Just(Op::Close),
        1 => Just(Op::Open),
    ];
    (1..4i64, op)
}

#[derive(Clone, Debug)]
struct Node {
    data: Option<u8>,
    czxid: i64,
    mzxid: i64,
    pzxid: i64,
    version: i32,
    creates: i32,
    owner: i64,
}

#[derive(Clone, Debug)]
pub(crate) struct Model {
    nodes: BTreeMap<String, Node>,
    zxid: i64,
    sessions: Vec<i64>,
}

impl Model {
    /// The state after `World::new`.
    pub(crate) fn new() -> Self {
        let builtin = Node { data: None, czxid: 0, mzxid: 0, pzxid: 0, version: 0, creates: 0, owner: 0 };
        let nodes = ["", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"]
            .map(|path| (path.to_owned(), builtin.clone()));
        Self { nodes: nodes.into(), zxid: 3, sessions: vec![1, 2, 3] }
    }

    /// The answer that a script would expect.
    pub(crate) fn answer(&mut self, who: i64, op: &Op) -> String {
        self.zxid += 1;
        match op {
            Op::Open => {
                if self.sessions.contains(&who) {
                    return "NodeExists".to_owned();
                }
                self.sessions.push(who);
                "ok".to_owned()
            }
            Op::Close => {
                let own: Vec<_> = self
                    .nodes
                    .iter()
                    .filter(|(_, node)| node.owner == who)
                    .map(|(path, _)| path.clone())
                    .collect();
                for path in own {
                    self.remove(&path);
                }
                self.sessions.retain(|&session| session != who);
                "ok".to_owned()
            }
            _ if !self.sessions.contains(&who) => "SessionExpired".to_owned(),
            Op::Multi(parts) => {
                let before = self.clone();
                let mut answers = Vec::new();
                for (at, part) in parts.iter().enumerate() {
                    match self.single(who, part) {
                        Ok(answer) => answers.push(answer),
                        Err(code) => {
                            *self = before;
                            let answer = |other: usize| match other.cmp(&at) {
                                std::cmp::Ordering::Less => "Ok",
                                std::cmp::Ordering::Equal => code,
                                std::cmp::Ordering::Greater => "RuntimeInconsistency",
                            };
                            return (0..parts.len()).map(answer).collect::<Vec<_>>().join(" | ");
                        }
                    }
                }
                answers.join(" | ")
            }
            single => self.single(who, single).unwrap_or_else(str::to_owned),
        }
    }

    fn single(&mut self, who: i64, op: &Op) -> Result<String, &'static str> {
        let zxid = self.zxid;
        match op {
            Op::Create { path, is_sequential, is_ephemeral, data } => {
                let parent_path = path[..path.rfind('/').unwrap()].to_owned();
                let parent = self.nodes.get(&parent_path).ok_or("NoNode")?;
                let path =
                    if *is_sequential { format!("{path}{:010}", parent.creates) } else { path.clone() };
                if self.nodes.contains_key(&path) {
                    return Err("NodeExists");
                }
                if parent.owner != 0 {
                    return Err("NoChildrenForEphemerals");
                }
                let parent = self.nodes.get_mut(&parent_path).unwrap();
                parent.creates += 1;
                parent.pzxid = zxid;
                let owner = if *is_ephemeral { who } else { 0 };
                let node = Node {
                    data: *data,
                    czxid: zxid,
                    mzxid: zxid,
                    pzxid: zxid,
                    version: 0,
                    creates: 0,
                    owner,
                };
                self.nodes.insert(path.clone(), node);
                Ok(path)
            }
            Op::Delete { path, version } => {
                let parent = &path[..path.rfind('/').unwrap()];
                self.nodes.get(parent).ok_or("NoNode")?;
                self.at_version(path, *version)?;
                if self.children(path) > 0 {
                    return Err("NotEmpty");
                }
                self.remove(path);
                Ok("ok".to_owned())
            }
            Op::Set { path, data, version } => {
                self.at_version(path, *version)?;
                let node = self.nodes.get_mut(path).unwrap();
                node.data = *data;
                node.version += 1;
                node.mzxid = zxid;
                Ok(format!("v{}", node.version))
            }
            Op::Check { path, version } => self.at_version(path, *version).map(|()| "ok".to_owned()),
            Op::Multi(_) | Op::Close | Op::Open => unreachable!("not a single operation"),
        }
    }

    fn at_version(&self, path: &str, version: i32) -> Result<(), &'static str> {
        let node = self.nodes.get(path).ok_or("NoNode")?;
        if version == -1 || version == node.version { Ok(()) } else { Err("BadVersion") }
    }

    fn remove(&mut self, path: &str) {
        self.nodes.remove(path);
        let parent = &path[..path.rfind('/').unwrap()];
        self.nodes.get_mut(parent).unwrap().pzxid = self.zxid;
    }

    fn children(&self, path: &str) -> usize {
        let below = format!("{path}/");
        self.nodes
            .keys()
            .filter(|other| other.strip_prefix(&below).is_some_and(|name| !name.contains('/')))
            .count()
    }

    /// Every node with its `exists` answer, ordered by path. Built-in nodes other than the root are
    /// omitted.
    pub(crate) fn stats(&self) -> Vec<(String, String)> {
        let shown = self.nodes.iter().filter(|(path, _)| !path.starts_with("/zookeeper"));
        shown
            .map(|(path, node)| {
                let Node { data, czxid, mzxid, pzxid, version, creates, owner } = node;
                let children = self.children(path) as i32;
                let (cversion, length) = (2 * creates - children, data.map_or(0, |byte| byte + 1));
                let path = if path.is_empty() { "/" } else { path };
                let stat = format!(
                    "z{czxid}/{mzxid}/{pzxid} v{version}/{cversion}/0 o{owner} l{length} n{children}"
                );
                (path.to_owned(), stat)
            })
            .collect()
    }
}

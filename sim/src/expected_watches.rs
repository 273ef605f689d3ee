//! The watches a client expects to fire, tracked by the rules of ZooKeeper's client.

use std::collections::BTreeMap;

use state::change::ChangeKind;
use wire::ErrorCode;
use wire::event::{AddWatchMode, EventType, WatcherType};
use wire::opcode::Opcode;
use wire::record::{PathList, Request, SetWatches};

use crate::history::{Call, Reply};

/// Path, and the zxid up to which the client knows all changes.
type Watches = BTreeMap<String, i64>;

/// The watches of one session.
#[derive(Clone, Debug, Default)]
pub struct ExpectedWatches {
    data: Watches,
    exist: Watches,
    child: Watches,
    persistent: Watches,
    recursive: Watches,
}

/// The table a watch belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Data or existence.
    Data,
    /// Children.
    Child,
    /// Both; stays set after an event.
    Persistent,
    /// A whole subtree; stays set after an event.
    Recursive,
}

impl Kind {
    /// Whether a watch of this kind on `watched` fires for this change.
    pub fn matches(self, watched: &str, kind: ChangeKind, path: &str) -> bool {
        let itself = watched == path;
        let is_child = kind != ChangeKind::DataChanged && parent(path) == Some(watched);
        match self {
            Kind::Data => itself,
            Kind::Child => is_child || (itself && kind == ChangeKind::Deleted),
            Kind::Persistent => itself || is_child,
            Kind::Recursive => itself || is_below(path, watched),
        }
    }
}

/// The parent of a path.
pub fn parent(path: &str) -> Option<&str> {
    match path.rfind('/') {
        Some(0) if path.len() > 1 => Some("/"),
        Some(at) if at > 0 => Some(&path[..at]),
        _ => None,
    }
}

fn is_below(path: &str, top: &str) -> bool {
    top == "/" || path.strip_prefix(top).is_some_and(|rest| rest.starts_with('/'))
}

impl ExpectedWatches {
    /// Updates the watches by the reply to a request.
    pub fn on_reply(&mut self, call: &Call, reply: &Reply) {
        let Some(opcode) = Opcode::from_i32(call.opcode) else { return };
        let Ok(request) = Request::decode(opcode, &call.body) else { return };
        let fine = reply.err == 0;
        let no_node = reply.err == ErrorCode::NoNode as i32;
        match request {
            Request::Exists(r) if r.watch && fine => add(&mut self.data, r.path, reply.zxid),
            Request::Exists(r) if r.watch && no_node => add(&mut self.exist, r.path, reply.zxid),
            Request::GetData(r) if r.watch && fine => add(&mut self.data, r.path, reply.zxid),
            Request::GetChildren(r) if r.watch && fine => add(&mut self.child, r.path, reply.zxid),
            Request::GetChildren2(r) if r.watch && fine => add(&mut self.child, r.path, reply.zxid),
            Request::FilteredList(r) if r.watch && fine => add(&mut self.child, r.path, reply.zxid),
            Request::FilteredListWithStatsAndData(r) if r.watch && fine => {
                add(&mut self.child, r.path, reply.zxid);
            }
            Request::AddWatch(r) if fine => match AddWatchMode::from_i32(r.mode) {
                Some(AddWatchMode::Persistent) => add(&mut self.persistent, r.path, reply.zxid),
                Some(AddWatchMode::PersistentRecursive) => add(&mut self.recursive, r.path, reply.zxid),
                None => {}
            },
            Request::RemoveWatches(r) if fine => self.removed(r.path, r.watcher_type),
            Request::SetWatches(_) => self.on_watches_set(reply.zxid),
            _ => {}
        }
    }

    fn removed(&mut self, path: &str, watcher_type: i32) {
        let kind = WatcherType::from_i32(watcher_type);
        let any = kind == Some(WatcherType::Any);
        if any || kind == Some(WatcherType::Data) {
            self.data.remove(path);
            self.exist.remove(path);
        }
        if any || kind == Some(WatcherType::Children) {
            self.child.remove(path);
        }
        if any || kind == Some(WatcherType::Persistent) {
            self.persistent.remove(path);
        }
        if any || kind == Some(WatcherType::PersistentRecursive) {
            self.recursive.remove(path);
        }
    }

    /// The watches are set again on a new connection. These kinds miss events on reconnect: a node
    /// may have been created and deleted meanwhile, and persistent watches do not catch up at all.
    fn on_watches_set(&mut self, zxid: i64) {
        for watches in [&mut self.exist, &mut self.persistent, &mut self.recursive] {
            watches.values_mut().for_each(|since| *since = zxid);
        }
    }

    /// Updates the watches by an event; returns whether it matched one.
    pub fn on_event(&mut self, kind: i32, path: &str, zxid: i64) -> bool {
        let Some(kind) = EventType::from_i32(kind) else { return false };
        let mut waited = false;
        let in_data =
            matches!(kind, EventType::NodeCreated | EventType::NodeDataChanged | EventType::NodeDeleted);
        if in_data {
            waited |= self.data.remove(path).is_some();
            waited |= self.exist.remove(path).is_some();
        }
        if matches!(kind, EventType::NodeChildrenChanged | EventType::NodeDeleted) {
            waited |= self.child.remove(path).is_some();
        }
        if let Some(since) = self.persistent.get_mut(path) {
            *since = zxid.max(*since);
            waited = true;
        }
        for (top, since) in &mut self.recursive {
            if in_data && (top == path || is_below(path, top)) {
                *since = zxid.max(*since);
                waited = true;
            }
        }
        waited
    }

    /// Whether the client has no watches.
    pub fn is_empty(&self) -> bool {
        self.all().next().is_none()
    }

    /// Every watch: its kind, its path, and the zxid up to which the client knows all changes.
    pub fn all(&self) -> impl Iterator<Item = (Kind, &str, i64)> {
        let tables = [
            (Kind::Data, &self.data),
            (Kind::Data, &self.exist),
            (Kind::Child, &self.child),
            (Kind::Persistent, &self.persistent),
            (Kind::Recursive, &self.recursive),
        ];
        tables.into_iter().flat_map(|(kind, watches)| {
            watches.iter().map(move |(path, since)| (kind, path.as_str(), *since))
        })
    }

    /// The request that sets all of them again: opcode and record.
    pub fn set_watches(&self, relative_zxid: i64) -> (Opcode, Vec<u8>) {
        let many = !self.persistent.is_empty() || !self.recursive.is_empty();
        let kind = if many { Opcode::SetWatches2 } else { Opcode::SetWatches };
        let mut buffers: [Vec<u8>; 5] = Default::default();
        let [data, exist, child, persistent, recursive] = &mut buffers;
        let request = SetWatches {
            relative_zxid,
            data: list(&self.data, data),
            exist: list(&self.exist, exist),
            child: list(&self.child, child),
            persistent: list(&self.persistent, persistent),
            persistent_recursive: list(&self.recursive, recursive),
            kind,
        };
        let mut body = Vec::new();
        request.encode(&mut body);
        (kind, body)
    }
}

fn list<'a>(watches: &Watches, buffer: &'a mut Vec<u8>) -> PathList<'a> {
    PathList::encode_into(watches.keys().map(String::as_str), buffer)
}

fn add(watches: &mut Watches, path: &str, zxid: i64) {
    // An existing watch is not set again, and its event may come at any time.
    watches.entry(path.to_owned()).or_insert(zxid);
}

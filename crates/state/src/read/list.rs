//! Reads of many nodes' names.

use std::collections::VecDeque;

use wire::acl::perms;
use wire::code::ErrorCode;
use wire::jute::Put as _;
use wire::record::{
    FilteredList, FilteredListWithStatsAndData, GetAllChildrenNumber, GetChildren, GetChildren2,
    GetEphemerals, ListKind, ListRecursive, Request,
};
use wire::stat::Stat;

use super::{Found, Reader, WatchRequest, WatchSink, WatchedPart};
use crate::machine::Machine;
use crate::tree::{Listing, NodeId, Owner};

/// The answer to a getChildren or getChildren2 on a large directory, not yet written out. Holding it holds nothing
/// of the machine, so the names can be copied after the tree was let go, however many there are.
pub struct LargeListing {
    names: Listing,
    /// Of the directory; `None` for getChildren, whose reply has no `Stat`.
    stat: Option<Stat>,
}

impl LargeListing {
    /// Bytes that [`write`](Self::write) appends.
    pub fn encoded_len(&self) -> usize {
        4 + self.names.names_bytes() + self.stat.map_or(0, |_| Stat::ENCODED_LEN)
    }

    /// Appends the body of the reply.
    pub fn write(&self, reply: &mut Vec<u8>) {
        reply.reserve(self.encoded_len());
        self.names.write_vector(reply);
        if let Some(stat) = &self.stat {
            stat.encode(reply);
        }
    }
}

impl Machine {
    /// Answers a getChildren or getChildren2 by handing out the listing, if the directory has at least
    /// `children_min` children. `None` where [`read`](Self::read) is the way to the answer: few children, another
    /// request, or a refusal.
    pub fn large_listing(
        &self,
        request: &Request<'_>,
        reader: &Reader<'_>,
        children_min: u32,
        watch: &mut WatchSink<'_>,
    ) -> Option<LargeListing> {
        let (path, watches, with_stat) = match request {
            Request::GetChildren(get) => (get.path, get.watch, false),
            Request::GetChildren2(get) => (get.path, get.watch, true),
            _ => return None,
        };
        let id = self.find(path)?;
        if self.tree.node(id).child_count() < children_min {
            return None;
        }
        let found = self.directory(path, watches, reader, watch).ok()?;
        Some(LargeListing { names: self.tree.children(id), stat: with_stat.then_some(found.stat) })
    }

    pub(super) fn get_children(
        &self,
        get: &GetChildren<'_>,
        reader: &Reader<'_>,
        reply: &mut Vec<u8>,
        watch: &mut WatchSink<'_>,
    ) -> Result<(), ErrorCode> {
        let found = self.directory(get.path, get.watch, reader, watch)?;
        self.listing(&found).write_vector(reply);
        Ok(())
    }

    pub(super) fn get_children2(
        &self,
        get: &GetChildren2<'_>,
        reader: &Reader<'_>,
        reply: &mut Vec<u8>,
        watch: &mut WatchSink<'_>,
    ) -> Result<(), ErrorCode> {
        let found = self.directory(get.path, get.watch, reader, watch)?;
        self.listing(&found).write_vector(reply);
        found.stat.encode(reply);
        Ok(())
    }

    pub(super) fn filtered_list(
        &self,
        list: &FilteredList<'_>,
        reader: &Reader<'_>,
        reply: &mut Vec<u8>,
        watch: &mut WatchSink<'_>,
    ) -> Result<(), ErrorCode> {
        let found = self.directory(list.path, list.watch, reader, watch)?;
        self.put_children(&found, list.kind, reply, &mut |_| {});
        found.stat.encode(reply);
        Ok(())
    }

    /// Names and, as asked for, `Stat`s and data of the same children in the same order. Children whose ACL denies
    /// READ to the reader are listed as in every listing, since their names belong to the parent; but their `Stat`
    /// and data are as empty as if they were not there.
    pub(super) fn filtered_list_with_stats_and_data(
        &self,
        list: &FilteredListWithStatsAndData<'_>,
        reader: &Reader<'_>,
        reply: &mut Vec<u8>,
        watch: &mut WatchSink<'_>,
    ) -> Result<(), ErrorCode> {
        let found = self.directory(list.path, list.watch, reader, watch)?;
        let mut children = Vec::new();
        self.put_children(&found, list.kind, reply, &mut |child| children.push(child));
        found.stat.encode(reply);
        let asker = reader.asker();
        let visible = |child: NodeId| {
            let child = self.found(child);
            asker.may(perms::READ, child.acl).then_some(child)
        };
        reply.put_len(if list.with_stat { children.len() } else { 0 });
        for &child in children.iter().filter(|_| list.with_stat) {
            visible(child).map(|child| child.stat).unwrap_or_default().encode(reply);
        }
        reply.put_len(if list.with_data { children.len() } else { 0 });
        for &child in children.iter().filter(|_| list.with_data) {
            reply.put_buffer(visible(child).as_ref().and_then(|child| child.data.bytes()));
        }
        Ok(())
    }

    /// Paths of the descendants, level by level, up to a number of them; a node that the reader may not read is
    /// left out with all below it.
    pub(super) fn list_recursive(
        &self,
        list: &ListRecursive<'_>,
        reader: &Reader<'_>,
        reply: &mut Vec<u8>,
    ) -> Result<(), ErrorCode> {
        let found = self.readable(list.path, reader)?;
        let asker = reader.asker();
        let start = reply.len();
        reply.put_len(0);
        let mut count = 0;
        let mut level: VecDeque<(NodeId, String)> =
            found.id.map(|id| (id, list.path.to_owned())).into_iter().collect();
        'all: while let Some((id, path)) = level.pop_front() {
            let names = self.tree.children(id);
            for name in names.iter() {
                let child = self.tree.child(id, name).expect("a listed child is in the tree");
                if !asker.may(perms::READ, self.acl_of(child)) {
                    continue;
                }
                if count == list.limit {
                    break 'all;
                }
                count += 1;
                let mut child_path = String::with_capacity(path.len() + 1 + name.len());
                wire::path::join(&path, name, &mut child_path);
                reply.put_str(&child_path);
                level.push_back((child, child_path));
            }
        }
        reply[start..start + 4].copy_from_slice(&count.to_be_bytes());
        Ok(())
    }

    pub(super) fn get_all_children_number(
        &self,
        get: &GetAllChildrenNumber<'_>,
        reader: &Reader<'_>,
        reply: &mut Vec<u8>,
    ) -> Result<(), ErrorCode> {
        let found = self.readable(get.path, reader)?;
        let descendants = match found.id {
            Some(NodeId::ROOT) => self.tree.len() - 1,
            Some(id) => {
                let mut visited = 0;
                self.walk(id, &mut |_| visited += 1);
                visited - 1
            }
            None => 0,
        };
        reply.put_i32(i32::try_from(descendants).unwrap_or(i32::MAX));
        Ok(())
    }

    /// The reader's own ephemerals whose path starts with the prefix: a prefix of the text, not of the names.
    pub(super) fn get_ephemerals(&self, get: &GetEphemerals<'_>, reader: &Reader<'_>, reply: &mut Vec<u8>) {
        let mut paths = self.ephemeral_paths(reader.session);
        let prefix = get.prefix_path.trim();
        if !prefix.is_empty() && prefix != "/" {
            paths.retain(|path| path.starts_with(get.prefix_path));
        }
        reply.put_len(paths.len());
        for path in &paths {
            reply.put_str(path);
        }
    }

    /// The node whose children are to be listed, for somebody who may read it. With that nothing more can be refused, so
    /// the watch is asked for at once.
    fn directory(
        &self,
        path: &str,
        watches: bool,
        reader: &Reader<'_>,
        watch: &mut WatchSink<'_>,
    ) -> Result<Found<'_>, ErrorCode> {
        let found = self.readable(path, reader)?;
        if watches {
            watch(WatchRequest { part: WatchedPart::Children, path });
        }
        Ok(found)
    }

    fn listing(&self, found: &Found<'_>) -> Listing {
        found.id.map(|id| self.tree.children(id)).unwrap_or_default()
    }

    /// Appends the vector of the children of one kind, and shows each of them to `visit`.
    fn put_children(
        &self,
        found: &Found<'_>,
        kind: ListKind,
        reply: &mut Vec<u8>,
        visit: &mut dyn FnMut(NodeId),
    ) {
        let start = reply.len();
        reply.put_len(0);
        let mut count = 0u32;
        let Some(parent) = found.id else { return };
        for name in self.tree.children(parent).iter() {
            let child = self.tree.child(parent, name).expect("a listed child is in the tree");
            let owner = Owner::from_stored(self.tree.node(child).owner());
            let is_ephemeral = matches!(owner, Owner::Ephemeral(_));
            let is_wanted = match kind {
                ListKind::All => true,
                ListKind::PersistentOnly => !is_ephemeral,
                ListKind::EphemeralOnly => is_ephemeral,
            };
            if is_wanted {
                count += 1;
                reply.put_str(name);
                visit(child);
            }
        }
        reply[start..start + 4].copy_from_slice(&count.to_be_bytes());
    }
}

//! Reads that list names of many nodes.

use wire::acl::perms;
use wire::code::ErrorCode;
use wire::jute::Put as _;
use wire::record::{
    FilteredList, FilteredListWithStatsAndData, GetAllChildrenNumber, GetChildren, GetChildren2,
    GetEphemerals, ListKind, ListRecursive,
};

use super::{Body, Found, Reader, WatchRequest, WatchSink, WatchedPart};
use crate::data_tree::DataTree;
use crate::tree::{Listing, NodeId, Owner};

/// A descendant found by [`DataTree::list_recursive`].
struct Listed {
    id: NodeId,
    /// Index of its parent in the list.
    parent: usize,
    /// Length of its path.
    bytes: usize,
}

impl DataTree {
    pub(super) fn get_children(
        &self,
        get: &GetChildren<'_>,
        reader: &Reader<'_>,
        body: &mut Body<'_>,
        watch: &mut WatchSink<'_>,
    ) -> Result<(), ErrorCode> {
        let found = self.readable(get.path, reader)?;
        body.put_names(self.listing(&found))?;
        watch_children(get.watch, get.path, watch);
        Ok(())
    }

    pub(super) fn get_children2(
        &self,
        get: &GetChildren2<'_>,
        reader: &Reader<'_>,
        body: &mut Body<'_>,
        watch: &mut WatchSink<'_>,
    ) -> Result<(), ErrorCode> {
        let found = self.readable(get.path, reader)?;
        body.put_names(self.listing(&found))?;
        body.put_stat(&found.stat)?;
        watch_children(get.watch, get.path, watch);
        Ok(())
    }

    pub(super) fn filtered_list(
        &self,
        list: &FilteredList<'_>,
        reader: &Reader<'_>,
        body: &mut Body<'_>,
        watch: &mut WatchSink<'_>,
    ) -> Result<(), ErrorCode> {
        let found = self.readable(list.path, reader)?;
        match list.kind {
            ListKind::All => body.put_names(self.listing(&found))?,
            kind => drop(self.put_children(&found, kind, body)?),
        }
        body.put_stat(&found.stat)?;
        watch_children(list.watch, list.path, watch);
        Ok(())
    }

    /// Names and, as requested, `Stat`s and data of the same children in the same order. Children
    /// that the client may not read are listed, as in every listing, since their names belong to
    /// the parent; but their `Stat` and data are empty.
    pub(super) fn filtered_list_with_stats_and_data(
        &self,
        list: &FilteredListWithStatsAndData<'_>,
        reader: &Reader<'_>,
        body: &mut Body<'_>,
        watch: &mut WatchSink<'_>,
    ) -> Result<(), ErrorCode> {
        let found = self.readable(list.path, reader)?;
        let children = self.put_children(&found, list.kind, body)?;
        body.put_stat(&found.stat)?;
        let asker = reader.asker();
        let denied = self.denied_below(&asker, perms::READ, list.path);
        let visible = |id: NodeId| {
            let child = self.found(id);
            (!denied.contains(&id) && asker.may(perms::READ, child.acl)).then_some(child)
        };
        let (with_stat, with_data) = (children.iter().filter(|_| list.with_stat), children.iter());
        body.short().put_len(with_stat.clone().count());
        for &child in with_stat {
            body.put_stat(&visible(child).map(|child| child.stat).unwrap_or_default())?;
        }
        let with_data = with_data.filter(|_| list.with_data);
        body.short().put_len(with_data.clone().count());
        for &child in with_data {
            match visible(child) {
                Some(child) => body.put_data(&child.data)?,
                None => body.put_null()?,
            }
        }
        watch_children(list.watch, list.path, watch);
        Ok(())
    }

    /// Paths of the descendants, level by level, up to a limit; a node that the client may not read
    /// is omitted with its subtree.
    ///
    /// First finds the nodes, then builds each path from its parent's: a chain too deep for a reply
    /// is refused before much is built.
    pub(super) fn list_recursive(
        &self,
        list: &ListRecursive<'_>,
        reader: &Reader<'_>,
        body: &mut Body<'_>,
    ) -> Result<(), ErrorCode> {
        let found = self.readable(list.path, reader)?;
        let top = if list.path == "/" { "" } else { list.path };
        let asker = reader.asker();
        let denied = self.denied_below(&asker, perms::READ, list.path);
        let mut bytes = 4;
        let mut all = Vec::from_iter(found.id.map(|id| Listed { id, parent: 0, bytes: top.len() }));
        let mut parent = 0;
        'all: while parent < all.len() {
            let Listed { id, bytes: above, .. } = all[parent];
            for name in self.znodes().children(id).iter() {
                let id = self.znodes().child(id, name).expect("a listed child exists");
                if denied.contains(&id) || !asker.may(perms::READ, self.acl_of(id)) {
                    continue;
                }
                if all.len() > list.limit as usize {
                    break 'all;
                }
                let child = Listed { id, parent, bytes: above + 1 + name.len() };
                bytes += 4 + child.bytes;
                body.make_room(bytes)?;
                all.push(child);
            }
            parent += 1;
        }
        self.put_paths(top, &all, body.short());
        Ok(())
    }

    /// Appends the vector of the paths of all these nodes except the first, whose path is `top`.
    /// Parents precede their children.
    fn put_paths(&self, top: &str, all: &[Listed], out: &mut Vec<u8>) {
        out.put_len(all.len().saturating_sub(1));
        let mut starts = vec![0; all.len()];
        for (number, node) in all.iter().enumerate().skip(1) {
            out.put_len(node.bytes);
            starts[number] = out.len();
            if node.parent == 0 {
                out.extend_from_slice(top.as_bytes());
            } else {
                let start = starts[node.parent];
                out.extend_from_within(start..start + all[node.parent].bytes);
            }
            out.push(b'/');
            out.extend_from_slice(self.znodes().node(node.id).name().as_bytes());
        }
    }

    pub(super) fn get_all_children_number(
        &self,
        get: &GetAllChildrenNumber<'_>,
        reader: &Reader<'_>,
        body: &mut Body<'_>,
    ) -> Result<(), ErrorCode> {
        let found = self.readable(get.path, reader)?;
        let mut descendants = 0usize;
        match found.id {
            Some(NodeId::ROOT) => descendants = self.znodes().len() - 1,
            Some(id) => self.znodes().visit_below(id, &mut |_| descendants += 1),
            None => {}
        }
        body.short().put_i32(i32::try_from(descendants).unwrap_or(i32::MAX));
        Ok(())
    }

    /// The client's own ephemerals whose path starts with the prefix: a prefix of the text, not of
    /// names.
    pub(super) fn get_ephemerals(
        &self,
        get: &GetEphemerals<'_>,
        reader: &Reader<'_>,
        body: &mut Body<'_>,
    ) -> Result<(), ErrorCode> {
        let prefix = get.prefix_path.trim();
        let prefix = if prefix.is_empty() || prefix == "/" { "" } else { get.prefix_path };
        let (mut paths, mut bytes, mut result) = (Vec::new(), 4, Ok(()));
        self.ephemerals_from(reader.session, None, usize::MAX, &mut |path| {
            if result.is_ok() && path.starts_with(prefix) {
                bytes += 4 + path.len();
                result = body.make_room(bytes);
                paths.push(path.to_owned());
            }
        });
        result?;
        paths.sort_unstable();
        body.short().put_len(paths.len());
        for path in &paths {
            body.put_str(path)?;
        }
        Ok(())
    }

    fn listing(&self, found: &Found<'_>) -> Listing {
        found.id.map(|id| self.znodes().children(id)).unwrap_or_default()
    }

    /// Appends the vector of the children of one kind, and returns them.
    fn put_children(
        &self,
        found: &Found<'_>,
        kind: ListKind,
        body: &mut Body<'_>,
    ) -> Result<Vec<NodeId>, ErrorCode> {
        let listing = self.listing(found);
        let mut children = Vec::new();
        let Some(parent) = found.id else {
            body.put_names(listing)?;
            return Ok(children);
        };
        let in_tree = |name| self.znodes().child(parent, name).expect("a listed child exists");
        let is_ephemeral =
            |child| matches!(Owner::from_stored(self.znodes().node(child).owner()), Owner::Ephemeral(_));
        if kind == ListKind::All {
            children.extend(listing.iter().map(in_tree));
            body.put_names(listing)?;
            return Ok(children);
        }
        let vector = body.begin_vector();
        for name in listing.iter() {
            let child = in_tree(name);
            if is_ephemeral(child) == (kind == ListKind::EphemeralOnly) {
                body.put_str(name)?;
                children.push(child);
            }
        }
        body.end_vector(vector, children.len() as u32);
        Ok(children)
    }
}

/// Requests a child watch. Must be called only when the read can no longer be refused.
fn watch_children(wanted: bool, path: &str, watch: &mut WatchSink<'_>) {
    if wanted {
        watch(WatchRequest { part: WatchedPart::Children, path });
    }
}

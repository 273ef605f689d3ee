//! Answering reads from the tree.
//!
//! A read changes nothing; the member that receives it answers it, on any thread that holds the
//! tree for reading. A requested watch is returned, not registered: the caller must register it
//! before any write.
//!
//! | file      | what                                                    |
//! |-----------|---------------------------------------------------------|
//! | `one`     | one node: exists, getData, getACL; and whoAmI           |
//! | `dialect` | whether a client is ZooKeeper's or ClickHouse's         |
//! | `list`    | names, descendants, ephemerals                          |
//! | `multi`   | multiRead                                               |
//! | `virtual_nodes` | the nodes that announce operations 500–507        |
//! | `body`    | the reply under construction, bounded, with shared parts |

mod body;
mod dialect;
mod list;
mod multi;
mod one;
mod virtual_nodes;

use std::sync::Arc;

use wire::acl::perms;
use wire::code::ErrorCode;
use wire::record::Request;
use wire::stat::Stat;

pub use body::{Body, Piece};
pub use dialect::Dialect;

use crate::acl::Asker;
use crate::auth::Identities;
use crate::command::Features;
use crate::data_tree::{Context, DataTree};
use crate::tree::NodeId;

/// The client of a read, and the settings.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    /// The session.
    pub session: i64,
    /// Its authenticated identities.
    pub identities: &'a Identities,
    /// This member's settings.
    pub features: Features,
    /// The protocol variant the client expects.
    pub dialect: Dialect,
    /// This member's `jute.maxbuffer` in bytes, which is announced to ClickHouse's clients.
    pub request_bytes_max: u32,
}

impl<'a> Reader<'a> {
    fn context(&self) -> Context<'a> {
        Context::new(self.session, self.identities.encoded(), self.features)
    }

    pub(crate) fn asker(&self) -> Asker<'a> {
        self.context().asker
    }

    pub(crate) fn has_extensions(&self) -> bool {
        self.features.has(Features::KEEPER_EXTENSIONS)
    }
}

/// The kind of one-shot watch that a read sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchedPart {
    /// Data and existence: exists and getData.
    Data,
    /// The list of children.
    Children,
}

/// A watch that a read requested and is allowed to set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchRequest<'a> {
    /// What to watch.
    pub part: WatchedPart,
    /// Path of the node, which need not exist.
    pub path: &'a str,
}

/// Receives the watches of a read.
pub type WatchSink<'s> = dyn FnMut(WatchRequest<'_>) + 's;

/// A node as read by a client.
pub(crate) struct Found<'m> {
    /// `None` for a virtual node.
    pub(crate) id: Option<NodeId>,
    pub(crate) stat: Stat,
    pub(crate) data: Shown<'m>,
    /// Raw jute `vector<ACL>`.
    pub(crate) acl: &'m [u8],
}

/// Data as read by a client.
pub(crate) enum Shown<'m> {
    /// In the tree, or constant.
    Stored(Option<&'m [u8]>),
    /// In the tree, and long enough to be shared.
    Shared(&'m Arc<[u8]>),
    /// Built for this read.
    Made(String),
}

impl Shown<'_> {
    /// Length in bytes; 0 if the data are null.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Stored(data) => data.unwrap_or_default().len(),
            Self::Shared(data) => data.len(),
            Self::Made(text) => text.len(),
        }
    }
}

impl DataTree {
    /// Answers a read: exists, getData, getACL, getChildren(2), getAllChildrenNumber,
    /// getEphemerals, multiRead, whoAmI, and with the extensions 500, 506 and 507. Appends the body
    /// of the reply, or nothing if the code is not `Ok`; the code is `MarshallingError` if the
    /// reply would be too long. All other operations are `Unimplemented` here: writes go through
    /// the log, and watches are in the watch table.
    ///
    /// Passes the watches that the read requested and is allowed to set to `watch`; exists may set
    /// one although it fails with `NoNode`.
    pub fn read(
        &self,
        request: &Request<'_>,
        reader: &Reader<'_>,
        body: &mut Body<'_>,
        watch: &mut WatchSink<'_>,
    ) -> ErrorCode {
        let start = body.mark();
        match self.answer(request, reader, body, watch) {
            Ok(()) => ErrorCode::Ok,
            Err(code) => {
                body.back_to(start);
                code
            }
        }
    }

    /// [`read`](Self::read) without a length limit and without sharing, for callers that need the
    /// reply's bytes.
    pub fn read_whole(
        &self,
        request: &Request<'_>,
        reader: &Reader<'_>,
        reply: &mut Vec<u8>,
        watch: &mut WatchSink<'_>,
    ) -> ErrorCode {
        let mut short = Vec::new();
        let mut body = Body::new(&mut short, usize::MAX);
        let code = self.read(request, reader, &mut body, watch);
        let mut copied = 0;
        for (at, piece) in body.finish() {
            reply.extend_from_slice(&short[copied..at]);
            (0..).map_while(|number| piece.part(number)).for_each(|part| reply.extend_from_slice(part));
            copied = at;
        }
        reply.extend_from_slice(&short[copied..]);
        code
    }

    fn answer(
        &self,
        request: &Request<'_>,
        reader: &Reader<'_>,
        body: &mut Body<'_>,
        watch: &mut WatchSink<'_>,
    ) -> Result<(), ErrorCode> {
        match request {
            Request::GetData(get) => self.get_data(get, reader, body, watch),
            Request::Exists(exists) => self.exists(exists, reader, body, watch),
            Request::GetChildren(get) => self.get_children(get, reader, body, watch),
            Request::GetChildren2(get) => self.get_children2(get, reader, body, watch),
            Request::GetAcl(get) => self.get_acl(get, reader, body),
            Request::GetAllChildrenNumber(get) => self.get_all_children_number(get, reader, body),
            Request::GetEphemerals(get) => self.get_ephemerals(get, reader, body),
            Request::WhoAmI => one::who_am_i(reader, body),
            Request::MultiRead(multi) => self.multi_read(multi, reader, body, watch),
            _ if !reader.has_extensions() => Err(ErrorCode::Unimplemented),
            Request::FilteredList(list) => self.filtered_list(list, reader, body, watch),
            Request::FilteredListWithStatsAndData(list) => {
                self.filtered_list_with_stats_and_data(list, reader, body, watch)
            }
            Request::ListRecursive(list) => self.list_recursive(list, reader, body),
            _ => Err(ErrorCode::Unimplemented),
        }
    }

    /// The node at a path, if the client may read it.
    fn readable(&self, path: &str, reader: &Reader<'_>) -> Result<Found<'_>, ErrorCode> {
        let found = self.look_at(path, reader).ok_or(ErrorCode::NoNode)?;
        self.require(&reader.asker(), perms::READ, path, found.acl)?;
        Ok(found)
    }

    /// The node at a path as clients see it: with the text of a quota's count, and a virtual node
    /// if there is no other.
    pub(crate) fn look_at(&self, path: &str, reader: &Reader<'_>) -> Option<Found<'_>> {
        match self.find(path) {
            Some(id) => Some(self.found(id)),
            None if reader.has_extensions() => virtual_nodes::find(path, reader.request_bytes_max),
            None => None,
        }
    }

    fn found(&self, id: NodeId) -> Found<'_> {
        let node = self.znodes().node(id);
        let (mut stat, acl) = (node.stat(), self.acl_bytes(node.acl()));
        let data = match self.shown_count(id) {
            Some(text) => {
                stat.data_length = text.len() as i32;
                Shown::Made(text)
            }
            None => node.shared_data().map_or(Shown::Stored(node.data()), Shown::Shared),
        };
        Found { id: Some(id), stat, data, acl }
    }
}

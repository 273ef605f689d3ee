//! Outgoing events: each is encoded once and shared by all its recipients.

use std::sync::Arc;

use wire::acl::perms;
use wire::event::{EventType, KeeperState, WatcherEvent};
use wire::record::ReplyHeader;
use wire::{frame, xid};

use super::{Deliver, WatcherId};
use crate::acl::permits;
use crate::acl_table::OPEN_BYTES;
use crate::grants::Grants;

/// An event, ready to be sent.
#[derive(Clone, Debug)]
pub struct EventOut {
    /// The whole frame with its length. The bytes are the same for every watcher, so sharing only
    /// counts references.
    pub frame: Arc<[u8]>,
    /// The type of the event.
    pub event_type: EventType,
    /// zxid of the change; -1 for changes that a reconnecting client missed.
    pub zxid: i64,
}

/// What decides who may be notified of a node.
#[derive(Clone, Copy)]
pub(super) struct Guard<'a> {
    /// The node's ACL.
    pub(super) acl: &'a [u8],
    /// The rules in force.
    pub(super) grants: Option<&'a Grants>,
}

impl Guard<'_> {
    /// Whether a client with these identities may read the node at `path`.
    fn lets_read(&self, path: &str, identities: &[u8]) -> bool {
        let is_granted = |grants: &Grants| grants.permitted(path, identities) & perms::READ != 0;
        self.grants.is_none_or(is_granted)
            && (self.acl == OPEN_BYTES || permits(self.acl, perms::READ, identities))
    }
}

/// An event that may have no watchers: its frame is encoded when the first one is found.
pub(super) struct Announcement<'a> {
    event_type: EventType,
    path: &'a str,
    zxid: i64,
    guard: Guard<'a>,
    event: Option<EventOut>,
}

impl<'a> Announcement<'a> {
    pub(super) fn new(event_type: EventType, path: &'a str, zxid: i64, guard: Guard<'a>) -> Self {
        Self { event_type, path, zxid, guard, event: None }
    }

    pub(super) fn path(&self) -> &'a str {
        self.path
    }

    pub(super) fn may_be_sent_to(&self, identities: &[u8]) -> bool {
        self.guard.lets_read(self.path, identities)
    }

    pub(super) fn event(&mut self) -> &EventOut {
        let Self { event_type, path, zxid, .. } = *self;
        self.event.get_or_insert_with(|| EventOut { frame: encode(event_type, path, zxid), event_type, zxid })
    }
}

/// Delivery of one event to all its watchers.
pub(super) struct Firing<'a, 'd, 'f> {
    pub(super) announcement: Announcement<'a>,
    /// Watchers reached so far, notified or not. A watcher reached in several ways is notified
    /// once.
    reached: Vec<WatcherId>,
    /// The first `sorted` of `reached` are sorted: those of earlier groups. Within a group no
    /// watcher occurs twice.
    sorted: usize,
    deliver: &'f mut Deliver<'d>,
}

impl<'a, 'd, 'f> Firing<'a, 'd, 'f> {
    pub(super) fn new(announcement: Announcement<'a>, deliver: &'f mut Deliver<'d>) -> Self {
        Self { announcement, reached: Vec::new(), sorted: 0, deliver }
    }

    /// Starts with the watchers of another path or table.
    pub(super) fn next_group(&mut self) {
        self.reached.sort_unstable();
        self.sorted = self.reached.len();
    }

    /// Notifies a watcher, unless it was reached in an earlier group or may not read the node.
    pub(super) fn notify(&mut self, watcher: WatcherId, identities: &[u8]) {
        if self.reached[..self.sorted].binary_search(&watcher).is_ok() {
            return;
        }
        self.reached.push(watcher);
        if self.announcement.may_be_sent_to(identities) {
            (self.deliver)(watcher, self.announcement.event());
        }
    }
}

fn encode(event_type: EventType, path: &str, zxid: i64) -> Arc<[u8]> {
    let mut bytes = Vec::with_capacity(frame::LENGTH_BYTES + ReplyHeader::ENCODED_LEN + 12 + path.len());
    let mark = frame::begin(&mut bytes);
    ReplyHeader { xid: xid::NOTIFICATION, zxid, err: 0 }.encode(&mut bytes);
    WatcherEvent { event_type, state: KeeperState::SyncConnected, path }.encode(&mut bytes);
    frame::finish(&mut bytes, mark);
    bytes.into()
}

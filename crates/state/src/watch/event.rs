//! Events as they leave: made once, shared by all who get them.

use std::sync::Arc;

use wire::event::{EventType, KeeperState, WatcherEvent};
use wire::record::ReplyHeader;
use wire::{frame, xid};

use super::{Deliver, WatcherId, may_read};

/// An event, ready to be sent.
#[derive(Clone, Debug)]
pub struct EventOut {
    /// The whole frame with its length. The same bytes for every watcher, so sharing is a count.
    pub frame: Arc<[u8]>,
    /// What happened.
    pub event_type: EventType,
    /// zxid of the change; -1 for what a reconnecting client has missed (rule 7).
    pub zxid: i64,
}

/// An event that nobody may be waiting for: its frame is made when the first watcher is found.
pub(super) struct Announcement<'a> {
    event_type: EventType,
    path: &'a str,
    zxid: i64,
    acl: &'a [u8],
    event: Option<EventOut>,
}

impl<'a> Announcement<'a> {
    pub(super) fn new(event_type: EventType, path: &'a str, zxid: i64, acl: &'a [u8]) -> Self {
        Self { event_type, path, zxid, acl, event: None }
    }

    pub(super) fn path(&self) -> &'a str {
        self.path
    }

    pub(super) fn may_be_heard_by(&self, identities: &[u8]) -> bool {
        may_read(self.acl, identities)
    }

    pub(super) fn event(&mut self) -> &EventOut {
        let Self { event_type, path, zxid, .. } = *self;
        self.event.get_or_insert_with(|| EventOut { frame: encode(event_type, path, zxid), event_type, zxid })
    }
}

/// One event on its way to everybody it concerns.
pub(super) struct Firing<'a, 'd, 'f> {
    pub(super) announcement: Announcement<'a>,
    /// Who was reached so far, told or not. One watcher may be reached on several ways, and is told once (rule 4).
    reached: Vec<WatcherId>,
    /// The first so many of `reached` are sorted: those of earlier groups. In its own group nobody comes twice.
    sorted: usize,
    deliver: &'f mut Deliver<'d>,
}

impl<'a, 'd, 'f> Firing<'a, 'd, 'f> {
    pub(super) fn new(announcement: Announcement<'a>, deliver: &'f mut Deliver<'d>) -> Self {
        Self { announcement, reached: Vec::new(), sorted: 0, deliver }
    }

    /// Begins with the watchers of another path or table.
    pub(super) fn next_group(&mut self) {
        self.reached.sort_unstable();
        self.sorted = self.reached.len();
    }

    /// Tells a watcher, unless it was reached in an earlier group or may not hear of it.
    pub(super) fn tell(&mut self, watcher: WatcherId, identities: &[u8]) {
        if self.reached[..self.sorted].binary_search(&watcher).is_ok() {
            return;
        }
        self.reached.push(watcher);
        if self.announcement.may_be_heard_by(identities) {
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

//! Watches: an event comes before anything that shows its change, once for each watch, and none is
//! lost over a reconnect.

use std::collections::BTreeMap;

use state::change::ChangeKind;
use wire::event::EventType;
use wire::xid;

use super::Violation;
use super::agreement::{Agreement, ChangeSeen};
use crate::expected_watches::{ExpectedWatches, Kind, parent};
use crate::history::{History, Received};

/// What one client has received so far.
#[derive(Default)]
struct ClientView {
    expected: ExpectedWatches,
    /// The watches to set again after a reconnect.
    before: ExpectedWatches,
    /// Whether the watches are set again: on a new connection they hold only from then on.
    are_set: bool,
}

/// Judges every event, and every reply that should have followed one.
///
/// # Errors
/// The first guarantee that is broken.
pub fn judge(history: &History, agreement: &Agreement) -> Result<(), Violation> {
    let changes = &agreement.changes;
    let mut clients: BTreeMap<usize, ClientView> = BTreeMap::new();
    for (client, _, received) in &history.received {
        let view = clients.entry(*client).or_default();
        match received {
            Received::Opened { .. } => {
                view.are_set = view.expected.is_empty();
                view.before = view.expected.clone();
            }
            Received::Refused { .. } | Received::Forgotten => *view = ClientView::default(),
            Received::Event { zxid, kind, path } => {
                if *zxid > 0 {
                    happened(changes, *zxid, *kind, path)?;
                }
                // A missed event is sent once per table, although the first one satisfies all
                // watches.
                let missed = *zxid < 0 && view.before.clone().on_event(*kind, path, *zxid);
                if !view.expected.on_event(*kind, path, *zxid) && !missed {
                    let evidence = format!("client {client}: event {kind} of {path} at {zxid:#x}");
                    return Err(Violation::new("a client gets no event it does not watch", evidence));
                }
            }
            Received::Reply { call } => {
                let call = &history.calls[*call];
                let Some(reply) = &call.reply else { continue };
                if call.xid == xid::SET_WATCHES {
                    view.are_set = true;
                }
                view.expected.on_reply(call, reply);
                if view.are_set && reply.zxid > 0 {
                    check_no_event_missed(*client, &view.expected, changes, reply.zxid)?;
                }
                if call.opcode == wire::opcode::Opcode::CloseSession as i32 && reply.err == 0 {
                    *view = ClientView::default();
                }
            }
            Received::Closed => {}
        }
    }
    Ok(())
}

/// Whether that change was made then.
fn happened(changes: &[ChangeSeen], zxid: i64, kind: i32, path: &str) -> Result<(), Violation> {
    let first = changes.partition_point(|change| change.zxid < zxid);
    let now = changes[first..].iter().take_while(|change| change.zxid == zxid);
    let fits = |change: &ChangeSeen| match EventType::from_i32(kind) {
        Some(EventType::NodeCreated) => change.path == path && change.kind == ChangeKind::Created,
        Some(EventType::NodeDeleted) => change.path == path && change.kind == ChangeKind::Deleted,
        Some(EventType::NodeDataChanged) => change.path == path && change.kind == ChangeKind::DataChanged,
        Some(EventType::NodeChildrenChanged) => {
            change.kind != ChangeKind::DataChanged && parent(&change.path) == Some(path)
        }
        _ => false,
    };
    if now.into_iter().any(fits) {
        return Ok(());
    }
    Err(Violation::new("events report changes that happened", format!("event {kind} of {path} at {zxid:#x}")))
}

/// A client that sees `zxid` has received an event for every change up to it that it watches.
fn check_no_event_missed(
    client: usize,
    expected: &ExpectedWatches,
    changes: &[ChangeSeen],
    zxid: i64,
) -> Result<(), Violation> {
    let end = changes.partition_point(|change| change.zxid <= zxid);
    for (kind, path, since) in expected.all() {
        let begin = changes.partition_point(|change| change.zxid <= since);
        if begin >= end {
            continue;
        }
        let missed = changes[begin..end].iter().find(|change| kind.matches(path, change.kind, &change.path));
        if let Some(change) = missed.filter(|change| !(kind == Kind::Recursive && is_hidden(&change.path))) {
            return Err(Violation::new(
                "a watch event comes before anything that shows the change",
                format!(
                    "client {client} saw {zxid:#x} before the event for {:?} {} at {:#x}, watched ({kind:?}) since {since:#x}",
                    change.kind, change.path, change.zxid
                ),
            ));
        }
    }
    Ok(())
}

/// Clients get no events of what they may not read.
fn is_hidden(path: &str) -> bool {
    path.starts_with("/guarded")
}

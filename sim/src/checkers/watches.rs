//! Watches: a change is told before anything that shows it, once for each watch, and none is lost over a reconnect.

use std::collections::BTreeMap;

use state::change::ChangeKind;
use wire::event::EventType;
use wire::xid;

use super::Violation;
use super::agreement::{Agreement, ChangeSeen};
use crate::expected_watches::{ExpectedWatches, Kind, parent};
use crate::history::{History, Received};

/// What one client has been told so far.
#[derive(Default)]
struct Told {
    book: ExpectedWatches,
    /// What was to be set again.
    before: ExpectedWatches,
    /// On a new connection the watches hold from when they are set again.
    set_again: bool,
}

/// Judges every event, and every reply that should have come behind one.
///
/// # Errors
/// The first guarantee that is broken.
pub fn judge(history: &History, agreement: &Agreement) -> Result<(), Violation> {
    let changes = &agreement.changes;
    let mut clients: BTreeMap<usize, Told> = BTreeMap::new();
    for (client, _, received) in &history.received {
        let told = clients.entry(*client).or_default();
        match received {
            Received::Opened { .. } => {
                told.set_again = told.book.is_empty();
                told.before = told.book.clone();
            }
            Received::Refused { .. } | Received::Forgotten => *told = Told::default(),
            Received::Event { zxid, kind, path } => {
                if *zxid > 0 {
                    happened(changes, *zxid, *kind, path)?;
                }
                // What was missed is told for each table, though the first event satisfies all watches.
                let missed = *zxid < 0 && told.before.clone().heard(*kind, path, *zxid);
                if !told.book.heard(*kind, path, *zxid) && !missed {
                    let evidence = format!("client {client}: event {kind} of {path} at {zxid:#x}");
                    return Err(Violation::new("nobody hears of what he does not watch", evidence));
                }
            }
            Received::Reply { call } => {
                let call = &history.calls[*call];
                let Some(reply) = &call.reply else { continue };
                if call.xid == xid::SET_WATCHES {
                    told.set_again = true;
                }
                told.book.replied(call, reply);
                if told.set_again && reply.zxid > 0 {
                    nothing_is_untold(*client, &told.book, changes, reply.zxid)?;
                }
                if call.opcode == wire::opcode::Opcode::CloseSession as i32 && reply.err == 0 {
                    *told = Told::default();
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
    Err(Violation::new("events tell what happened", format!("event {kind} of {path} at {zxid:#x}")))
}

/// A client that sees `zxid` has heard of every change up to it that it watches.
fn nothing_is_untold(
    client: usize,
    book: &ExpectedWatches,
    changes: &[ChangeSeen],
    zxid: i64,
) -> Result<(), Violation> {
    let end = changes.partition_point(|change| change.zxid <= zxid);
    for (kind, path, since) in book.all() {
        let begin = changes.partition_point(|change| change.zxid <= since);
        if begin >= end {
            continue;
        }
        let untold = changes[begin..end].iter().find(|change| kind.hears(path, change.kind, &change.path));
        if let Some(change) = untold.filter(|change| !(kind == Kind::Recursive && is_hidden(&change.path))) {
            return Err(Violation::new(
                "a watch event comes before anything that shows the change",
                format!(
                    "client {client} saw {zxid:#x} before it heard of {:?} {} at {:#x}, watched ({kind:?}) since {since:#x}",
                    change.kind, change.path, change.zxid
                ),
            ));
        }
    }
    Ok(())
}

/// Of what a client may not read, it hears nothing.
fn is_hidden(path: &str) -> bool {
    path.starts_with("/guarded")
}

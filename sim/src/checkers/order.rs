//! The order of a session across all its connections.

use std::collections::BTreeMap;

use super::Violation;
use super::agreement::Outcome;
use super::writes::{Written, ends, is_write};
use crate::history::History;

/// The zxid and xid of the last applied write of a session, of those sent over some of its
/// connections.
type Last = Option<(i64, i32)>;

/// What one session has sent so far.
#[derive(Default)]
struct Sent {
    /// Its newest connection.
    connection: usize,
    over_earlier: Last,
    over_newest: Last,
}

/// Everything a session sent, over any connection and to any server, is applied, or can never be
/// applied any more, before anything it requests over a later connection is answered. A read-only
/// server guarantees nothing of that kind.
///
/// # Errors
/// The first reply that came too early.
pub fn judge(history: &History, written: &Written<'_>, outcomes: &[Outcome]) -> Result<(), Violation> {
    let ended = ends(outcomes);
    let mut sessions: BTreeMap<i64, Sent> = BTreeMap::new();
    for call in &history.calls {
        let sent = sessions.entry(call.session).or_default();
        if call.connection != sent.connection {
            sent.connection = call.connection;
            sent.over_earlier = sent.over_earlier.max(sent.over_newest.take());
        }
        let is_in_time =
            |outcome: &&&Outcome| ended.get(&call.session).is_none_or(|end| outcome.zxid <= *end);
        let outcome = written.get(&(call.session, call.xid)).filter(is_in_time);
        if let Some(outcome) = outcome.filter(|_| is_write(call)) {
            sent.over_newest = sent.over_newest.max(Some((outcome.zxid, call.xid)));
        }
        let shown = call.reply.as_ref().map(|reply| reply.zxid).filter(|zxid| *zxid > 0 && !call.read_only);
        if let (Some(shown), Some((zxid, xid))) = (shown, sent.over_earlier)
            && shown < zxid
        {
            return Err(Violation::new(
                "what a session sent is applied, or never will be, before its later connection is answered",
                format!(
                    "session {:#x}: xid {} over connection {} saw {shown:#x}, and xid {xid} over an earlier one got {zxid:#x}",
                    call.session, call.xid, call.connection
                ),
            ));
        }
    }
    Ok(())
}

//! Writes: each acknowledged one is in the committed log exactly once, with the result its client
//! got, and in real-time order.

use std::collections::BTreeMap;

use state::command::MOVE_SESSION;
use wire::ErrorCode;
use wire::opcode::Opcode;

use super::Violation;
use super::agreement::Outcome;
use crate::history::{Call, History, Reply};

/// The outcomes of clients' writes, by session and xid.
pub type Written<'a> = BTreeMap<(i64, i32), &'a Outcome>;

/// Every write of a client in the log.
///
/// # Errors
/// If one is in the log twice.
pub fn written(outcomes: &[Outcome]) -> Result<Written<'_>, Violation> {
    let mut written = Written::new();
    for outcome in outcomes.iter().filter(|outcome| outcome.cxid > 0 && outcome.opcode != MOVE_SESSION) {
        if let Some(earlier) = written.insert((outcome.session, outcome.cxid), outcome) {
            return Err(Violation::new(
                "a write is applied once or not at all",
                format!(
                    "xid {} of session {:#x} is at {:#x} and at {:#x}",
                    outcome.cxid, outcome.session, earlier.zxid, outcome.zxid
                ),
            ));
        }
    }
    Ok(written)
}

/// Judges every write.
///
/// # Errors
/// The first guarantee that is broken.
pub fn judge(
    history: &History,
    written: &Written<'_>,
    outcomes: &[Outcome],
    full_disks: &[(u64, u64)],
) -> Result<(), Violation> {
    let writes = || history.calls.iter().filter(|call| is_write(call));
    for call in writes() {
        let found = written.get(&(call.session, call.xid)).copied();
        if let Some(outcome) = found {
            not_on_read_only_server(call)?;
            in_real_time(call, outcome)?;
        }
        if let Some(reply) = &call.reply {
            acknowledged(call, reply, found)?;
        }
    }
    in_session_order(writes(), written, outcomes, full_disks)
}

/// Whether a call goes through the log.
pub fn is_write(call: &Call) -> bool {
    call.xid > 0 && Opcode::from_i32(call.opcode).is_some_and(Opcode::is_write)
}

fn acknowledged(call: &Call, reply: &Reply, found: Option<&Outcome>) -> Result<(), Violation> {
    let name = || format!("xid {} (opcode {}) of session {:#x}", call.xid, call.opcode, call.session);
    let Some(outcome) = found else {
        if [ErrorCode::SystemError as i32, ErrorCode::MarshallingError as i32].contains(&reply.err) {
            return Ok(());
        }
        if is_read_only_answer(call, reply) {
            return Ok(());
        }
        let evidence = format!("{} was answered {} at {:#x}", name(), reply.err, reply.zxid);
        return Err(Violation::new("acknowledged writes survive", evidence));
    };
    if reply.at_us < outcome.committed_us {
        return Err(Violation::new("nothing is acknowledged before it is committed", name()));
    }
    if (outcome.zxid, outcome.code) != (reply.zxid, reply.err) || outcome.reply != reply.body {
        return Err(Violation::new(
            "a write is answered with its own result",
            format!(
                "{} got {} at {:#x}, {:?}; its result is {} at {:#x}, {:?}",
                name(),
                reply.err,
                reply.zxid,
                reply.body,
                outcome.code,
                outcome.zxid,
                outcome.reply
            ),
        ));
    }
    Ok(())
}

/// A member without a leader cannot append to the log.
fn not_on_read_only_server(call: &Call) -> Result<(), Violation> {
    if call.read_only {
        let evidence = format!("xid {} of session {:#x} is applied", call.xid, call.session);
        return Err(Violation::new("a read-only server accepts no write", evidence));
    }
    Ok(())
}

/// Whether a read-only server may reply so: it refuses, or ends a session that only it knows.
fn is_read_only_answer(call: &Call, reply: &Reply) -> bool {
    call.read_only
        && (reply.err == ErrorCode::NotReadOnly as i32
            || (reply.err == 0 && call.opcode == Opcode::CloseSession as i32))
}

/// A write requested after another one was acknowledged gets a higher zxid.
fn in_real_time(call: &Call, outcome: &Outcome) -> Result<(), Violation> {
    if outcome.committed_us < call.at_us {
        return Err(Violation::new(
            "no write is applied before it is requested",
            format!("xid {}", call.xid),
        ));
    }
    if outcome.zxid <= call.acknowledged {
        return Err(Violation::new(
            "writes are linearizable",
            format!(
                "xid {} of session {:#x} got {:#x}, though {:#x} was acknowledged before it was requested",
                call.xid, call.session, outcome.zxid, call.acknowledged
            ),
        ));
    }
    Ok(())
}

/// The zxid at which each session ended. Later commands of the session do nothing.
pub fn ends(outcomes: &[Outcome]) -> BTreeMap<i64, i64> {
    let mut ended = BTreeMap::new();
    for close in outcomes.iter().filter(|outcome| outcome.opcode == Opcode::CloseSession as i32) {
        ended.entry(close.session).or_insert(close.zxid);
    }
    ended
}

/// A session's writes are applied in order, and a connection's writes without gaps, except for
/// those of a full disk: a write that a leader refused for that may be followed by one that found
/// room, and the refusal may be lost with the connection.
fn in_session_order<'c>(
    writes: impl Iterator<Item = &'c Call>,
    written: &Written<'_>,
    outcomes: &[Outcome],
    full_disks: &[(u64, u64)],
) -> Result<(), Violation> {
    let ended = ends(outcomes);
    let mut last: BTreeMap<i64, i64> = BTreeMap::new();
    let mut missing: BTreeMap<usize, Vec<&Call>> = BTreeMap::new();
    for call in writes {
        let Some(outcome) = written.get(&(call.session, call.xid)) else {
            if call.reply.is_none() {
                missing.entry(call.connection).or_default().push(call);
            }
            continue;
        };
        if ended.get(&call.session).is_some_and(|end| outcome.zxid > *end) {
            // It came after the end of its session, and did nothing.
            continue;
        }
        let may_be_refused = |lost: &&Call| {
            full_disks.iter().any(|(from_us, to_us)| *from_us <= outcome.committed_us && *to_us >= lost.at_us)
        };
        let lost =
            missing.get(&call.connection).and_then(|lost| lost.iter().find(|lost| !may_be_refused(lost)));
        if let Some(lost) = lost {
            return Err(Violation::new(
                "a connection's writes are applied without gaps",
                format!(
                    "session {:#x}: xid {} is applied and xid {} before it is not",
                    call.session, call.xid, lost.xid
                ),
            ));
        }
        let last = last.entry(call.session).or_default();
        if outcome.zxid <= *last {
            return Err(Violation::new(
                "a session's writes are applied in order",
                format!(
                    "session {:#x}: xid {} got {:#x} after {last:#x}",
                    call.session, call.xid, outcome.zxid
                ),
            ));
        }
        *last = outcome.zxid;
    }
    Ok(())
}

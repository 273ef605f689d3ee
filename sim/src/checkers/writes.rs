//! Writes: each acknowledged one is in the agreed log exactly once, with the result its client was told, and in the order of time.

use std::collections::BTreeMap;

use state::command::MOVE_SESSION;
use wire::ErrorCode;
use wire::opcode::Opcode;

use super::Violation;
use super::agreement::Outcome;
use crate::history::{Call, History, Reply};

/// The outcomes of clients' writes, by session and number.
pub type Written<'a> = BTreeMap<(i64, i32), &'a Outcome>;

/// Every write of a client in the log.
///
/// # Errors
/// If one is there twice.
pub fn written(outcomes: &[Outcome]) -> Result<Written<'_>, Violation> {
    let mut written = Written::new();
    for outcome in outcomes.iter().filter(|outcome| outcome.cxid > 0 && outcome.opcode != MOVE_SESSION) {
        if let Some(earlier) = written.insert((outcome.session, outcome.cxid), outcome) {
            return Err(Violation::new(
                "a write is done once or not at all",
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
            taken_by_writer(call)?;
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
    if reply.at_us < outcome.agreed_us {
        return Err(Violation::new("nothing is acknowledged before it is agreed", name()));
    }
    if (outcome.zxid, outcome.code) != (reply.zxid, reply.err) || outcome.reply != reply.body {
        return Err(Violation::new(
            "a write is answered with its own result",
            format!(
                "{} was told {} at {:#x}, {:?}; its result is {} at {:#x}, {:?}",
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

/// A member without a leader has no place in the log for anything.
fn taken_by_writer(call: &Call) -> Result<(), Violation> {
    if call.read_only {
        let evidence = format!("xid {} of session {:#x} is done", call.xid, call.session);
        return Err(Violation::new("a server that only reads takes no write", evidence));
    }
    Ok(())
}

/// Whether a server that only reads may answer so: it refuses, or ends what only it knows.
fn is_read_only_answer(call: &Call, reply: &Reply) -> bool {
    call.read_only
        && (reply.err == ErrorCode::NotReadOnly as i32
            || (reply.err == 0 && call.opcode == Opcode::CloseSession as i32))
}

/// Whoever begins after somebody was told is behind it.
fn in_real_time(call: &Call, outcome: &Outcome) -> Result<(), Violation> {
    if outcome.agreed_us < call.at_us {
        return Err(Violation::new("nothing is done before it is asked", format!("xid {}", call.xid)));
    }
    if outcome.zxid <= call.acknowledged {
        return Err(Violation::new(
            "writes are linearizable",
            format!(
                "xid {} of session {:#x} got {:#x}, though {:#x} was acknowledged before it was asked",
                call.xid, call.session, outcome.zxid, call.acknowledged
            ),
        ));
    }
    Ok(())
}

/// At which zxid each session ended. What comes behind it does nothing.
pub fn ends(outcomes: &[Outcome]) -> BTreeMap<i64, i64> {
    let mut ended = BTreeMap::new();
    for close in outcomes.iter().filter(|outcome| outcome.opcode == Opcode::CloseSession as i32) {
        ended.entry(close.session).or_insert(close.zxid);
    }
    ended
}

/// What one session writes is done in its order, and what one connection sends has no holes but those that a full disk tore: a write that
/// a leader refused for that may be followed by one that found room, and its answer may be lost with the connection.
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
            full_disks.iter().any(|(from_us, to_us)| *from_us <= outcome.agreed_us && *to_us >= lost.at_us)
        };
        let lost =
            missing.get(&call.connection).and_then(|lost| lost.iter().find(|lost| !may_be_refused(lost)));
        if let Some(lost) = lost {
            return Err(Violation::new(
                "what a connection sends is done without holes",
                format!(
                    "session {:#x}: xid {} is done and xid {} before it is not",
                    call.session, call.xid, lost.xid
                ),
            ));
        }
        let last = last.entry(call.session).or_default();
        if outcome.zxid <= *last {
            return Err(Violation::new(
                "writes of a session are done in its order",
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

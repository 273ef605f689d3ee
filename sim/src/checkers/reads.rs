//! Reads: a reply shows the state at its zxid, and no session goes back in time.

use std::collections::BTreeMap;

use server::simulation::{Features, features};
use state::machine::Machine;
use state::read::Reader;
use wire::ErrorCode;
use wire::opcode::Opcode;
use wire::record::Request;

use super::Violation;
use super::agreement::{Agreement, apply};
use super::writes::is_write;
use crate::history::{Call, History, Received, Reply};
use crate::plan::Plan;

/// Judges every reply.
///
/// # Errors
/// The first guarantee that is broken.
pub fn judge(history: &History, agreement: &Agreement, plan: &Plan) -> Result<(), Violation> {
    in_session_order(history)?;
    sees_acknowledged_writes(history, plan)?;
    matches_state_at_zxid(history, agreement, features(&plan.config(1).requests))
}

/// A session never sees an older state than before, on any server.
fn in_session_order(history: &History) -> Result<(), Violation> {
    let mut seen: BTreeMap<i64, i64> = BTreeMap::new();
    for (_, _, received) in &history.received {
        let Received::Reply { call } = received else { continue };
        let call = &history.calls[*call];
        let Some(reply) = call.reply.as_ref().filter(|reply| reply.zxid > 0) else { continue };
        let seen = seen.entry(call.session).or_default();
        if reply.zxid < *seen {
            return Err(Violation::new(
                "a session never sees time run backwards",
                format!(
                    "session {:#x}: xid {} shows {:#x} after {seen:#x}",
                    call.session, call.xid, reply.zxid
                ),
            ));
        }
        *seen = reply.zxid;
    }
    Ok(())
}

/// A sync, and every read if reads are linearizable, shows everything acknowledged before it was
/// requested.
fn sees_acknowledged_writes(history: &History, plan: &Plan) -> Result<(), Violation> {
    for call in &history.calls {
        let Some(reply) = call.reply.as_ref().filter(|reply| reply.zxid > 0) else { continue };
        // A client that accepts a read-only server gets no further guarantee.
        if call.read_only {
            continue;
        }
        let opcode = Opcode::from_i32(call.opcode);
        let is_sync = opcode == Some(Opcode::Sync);
        let is_read = !is_write(call) && call.xid > 0 && plan.has_linearizable_reads();
        if (is_sync || is_read) && reply.zxid < call.acknowledged {
            let guarantee =
                if is_sync { "a sync sees all acknowledged writes" } else { "reads are linearizable" };
            return Err(Violation::new(
                guarantee,
                format!(
                    "session {:#x}: xid {} shows {:#x}, and {:#x} was acknowledged before",
                    call.session, call.xid, reply.zxid, call.acknowledged
                ),
            ));
        }
    }
    Ok(())
}

/// Applies the committed log once more, and repeats the clients' reads at their zxids.
fn matches_state_at_zxid(
    history: &History,
    agreement: &Agreement,
    features: Features,
) -> Result<(), Violation> {
    let mut by_zxid: BTreeMap<i64, Vec<(&Call, &Reply)>> = BTreeMap::new();
    for call in history.calls.iter().filter(|call| !is_write(call)) {
        if let Some(reply) = call.reply.as_ref().filter(|reply| reply.zxid > 0) {
            by_zxid.entry(reply.zxid).or_default().push((call, reply));
        }
    }
    let mut machine = Machine::new(2);
    let mut changes = Vec::new();
    for entry in agreement.entries() {
        for part in crate::checkers::agreement::split(entry) {
            // Of the states with one zxid any will do: they do not differ in anything readable.
            let before = machine.last_zxid();
            apply(&mut machine, &part, &mut changes, &mut |_| {});
            let after = machine.last_zxid();
            if after != before {
                let skipped: Vec<i64> = by_zxid.range(before + 1..after).map(|(zxid, _)| *zxid).collect();
                if let Some(zxid) = skipped.first() {
                    let evidence = format!("a reply shows {zxid:#x}, between {before:#x} and {after:#x}");
                    return Err(Violation::new("replies show states that existed", evidence));
                }
            }
            for (call, reply) in by_zxid.remove(&after).unwrap_or_default() {
                compare(&machine, call, reply, features)?;
            }
        }
    }
    match by_zxid.keys().next() {
        Some(zxid) => {
            let evidence = format!("a reply shows {zxid:#x}, and nothing with that zxid is committed");
            Err(Violation::new("replies show states that existed", evidence))
        }
        None => Ok(()),
    }
}

fn compare(machine: &Machine, call: &Call, reply: &Reply, features: Features) -> Result<(), Violation> {
    let Some((err, body)) = expected(machine, call, features) else { return Ok(()) };
    if call.read_only && call.opcode == Opcode::Sync as i32 {
        return Ok(());
    }
    if err == reply.err && body == reply.body {
        return Ok(());
    }
    Err(Violation::new(
        "a read shows the state at its zxid",
        format!(
            "session {:#x}: xid {} (opcode {}) at {:#x} got {} {:?}, the state is {err} {body:?}",
            call.session, call.xid, call.opcode, reply.zxid, reply.err, reply.body
        ),
    ))
}

/// The reply to a read in that state; `None` if it depends on more than the state.
fn expected(machine: &Machine, call: &Call, features: Features) -> Option<(i32, Vec<u8>)> {
    let request = Request::decode(Opcode::from_i32(call.opcode)?, &call.body).ok()?;
    let mut body = Vec::new();
    match request {
        Request::Ping | Request::SetWatches(_) => return Some((0, body)),
        Request::Sync(sync) => {
            wire::record::Record::encode(&wire::record::SyncReply { path: sync.path }, &mut body);
            return Some((0, body));
        }
        Request::Auth(_) | Request::AddWatch(_) | Request::CheckWatches(_) | Request::RemoveWatches(_) => {
            return None;
        }
        _ => {}
    }
    let reader = Reader {
        session: call.session,
        identities: &call.identities,
        features,
        dialect: call.dialect,
        // No simulated client asks for it.
        request_bytes_max: 0,
    };
    let code = machine.read_whole(&request, &reader, &mut body, &mut |_| {});
    if code != ErrorCode::Ok {
        body.clear();
    }
    Some((code as i32, body))
}

//! Sessions and their ephemerals: they live as long as their client is there, not much longer, and
//! end together.

use std::collections::BTreeMap;

use consensus::entry::EntryKind;
use state::command::{MOVE_SESSION, SessionTerms};
use wire::opcode::Opcode;

use super::Violation;
use super::agreement::Agreement;
use crate::faults::Fault;
use crate::history::{History, Received};
use crate::plan::Plan;

/// How right the clocks of members are.
const CLOCK_PERCENT: u64 = 97;

/// A fault is felt for so long after its end: members find each other again, and elect.
const AFTERMATH_US: u64 = 2_000_000;

/// A leader may take so long, and two reports of its followers, to end the session of a silent
/// client: a tick, looks at the expiry queue, and agreeing on it.
const LATE_US: u64 = 400_000;

/// How far back silence explains the end of a session.
const MEMORY_US: u64 = 10_000_000;

/// A pause of all servers that is longer than this does not count as silence of their clients.
const NOTICED_PAUSE_US: u64 = 600_000;

/// Around such a pause a leader may count this much time too many as silence, in addition to two report
/// intervals and the time that two reports take to arrive.
const PAUSE_LOSS_US: u64 = 50_000;

/// The longest delay of a message, as a multiple of the plan's upper bound.
const DELAYS_MAX: u64 = 10;

/// Judges the ends of sessions.
///
/// # Errors
/// The first guarantee that is broken.
pub fn judge(history: &History, agreement: &Agreement, plan: &Plan) -> Result<(), Violation> {
    let closes = agreement.outcomes.iter().filter(|outcome| outcome.opcode == Opcode::CloseSession as i32);
    let mut ended: BTreeMap<i64, u64> = BTreeMap::new();
    for close in closes {
        ended.entry(close.session).or_insert(close.agreed_us);
    }
    for (client, _, received) in &history.received {
        let Received::Refused { session, at_us, member } = received else { continue };
        if ended.get(session).is_none_or(|ended_us| ended_us > at_us) {
            return Err(Violation::new(
                "a session is refused only when it has ended",
                format!("client {client} was refused {session:#x} by member {member} at {at_us} µs"),
            ));
        }
    }
    not_too_early(agreement)?;
    let lives = lives(history, agreement);
    lives.values().try_for_each(|life| not_while_its_client_lives(life, plan))?;
    lives.values().try_for_each(|life| in_time(life, history, agreement, plan))?;
    let machine = agreement.machine();
    machine.check().map_err(|violation| {
        Violation::new("ephemerals live as long as their session", violation.to_string())
    })
}

/// Whoever leads ends a session only when its timeout has gone by since it was opened, was taken up, or this leader began.
fn not_too_early(agreement: &Agreement) -> Result<(), Violation> {
    // Of each leadership: its first entry, and when that was agreed.
    let mut leaders = agreement.entries().iter().zip(agreement.agreed_us()).peekable();
    let mut led_us = 0;
    let mut signs: BTreeMap<i64, (u64, u64)> = BTreeMap::new();
    for outcome in &agreement.outcomes {
        while let Some((entry, agreed_us)) = leaders.next_if(|(entry, _)| entry.index <= outcome.index) {
            led_us = if entry.kind == EntryKind::Leadership { *agreed_us } else { led_us };
        }
        let is_open = outcome.opcode == Opcode::CreateSession as i32 || outcome.opcode == MOVE_SESSION;
        if is_open
            && outcome.code == 0
            && let Ok(terms) = SessionTerms::read(&outcome.body)
        {
            signs.insert(outcome.session, (outcome.agreed_us, terms.timeout_ms as u64 * 1000));
        }
        let is_expiry = outcome.opcode == Opcode::CloseSession as i32 && outcome.cxid == i32::MIN;
        if let Some((sign_us, timeout_us)) = signs.get(&outcome.session).filter(|_| is_expiry) {
            let alive_us = outcome.agreed_us.saturating_sub(led_us.max(*sign_us));
            // Clocks of members are not quite right. Of what came to light in one moment, as when the log is read again after a crash,
            // nobody knows when it was decided.
            if alive_us > 0 && alive_us < timeout_us / 100 * CLOCK_PERCENT {
                return Err(Violation::new(
                    "a session does not expire before its timeout has gone by",
                    format!("{:#x} expired {alive_us} µs after a sign of life", outcome.session),
                ));
            }
        }
    }
    Ok(())
}

/// What is known of one session.
#[derive(Debug, Default)]
struct Life {
    session: i64,
    timeout_us: u64,
    /// When its client was there for certain: something arrived on its connection, or it was opened
    /// or moved.
    signs: Vec<u64>,
    /// When its client may have been heard of.
    hints: Vec<u64>,
    /// When a leader decided to end it, and when that was agreed, if its client was silent.
    expired: Option<(u64, u64)>,
    closed: bool,
}

fn lives(history: &History, agreement: &Agreement) -> BTreeMap<i64, Life> {
    let mut lives: BTreeMap<i64, Life> = BTreeMap::new();
    for outcome in agreement.outcomes.iter().filter(|outcome| outcome.code == 0) {
        let opcode = outcome.opcode;
        if opcode == Opcode::CreateSession as i32 || opcode == MOVE_SESSION {
            let Ok(terms) = SessionTerms::read(&outcome.body) else { continue };
            let life = lives.entry(outcome.session).or_default();
            life.session = outcome.session;
            life.timeout_us = terms.timeout_ms as u64 * 1000;
            life.signs.push(outcome.agreed_us);
        } else if let Some(life) = lives.get_mut(&outcome.session)
            && opcode == Opcode::CloseSession as i32
        {
            life.closed = true;
            let of_session = history.decided.iter().filter(|(session, _)| *session == outcome.session);
            let decided_us = of_session.map(|(_, at_us)| *at_us).filter(|at_us| *at_us <= outcome.agreed_us);
            let by_silence = outcome.cxid == i32::MIN;
            life.expired = decided_us.max().filter(|_| by_silence).map(|at_us| (at_us, outcome.agreed_us));
        }
    }
    for (session, signs) in &history.signs {
        let Some(life) = lives.get_mut(session) else { continue };
        life.signs.extend(signs.iter().filter(|sign| sign.open).map(|sign| sign.at_us));
        life.hints.extend(signs.iter().map(|sign| sign.at_us));
    }
    for life in lives.values_mut() {
        life.hints.extend(&life.signs);
        life.signs.sort_unstable();
    }
    lives
}

/// When a fault could keep servers from hearing of clients, or from telling each other.
fn hinders(at_us: u64, fault: &Fault, is_alone: bool) -> Option<(u64, u64)> {
    let for_us = match fault {
        // What a server's own sockets tell it afterwards.
        Fault::Suspend { .. } | Fault::Busy { .. } | Fault::SlowReaders { .. } => return None,
        // A simulated clock stands still during a flush, and what is told by it does too.
        Fault::DiskStall { .. } if is_alone => return None,
        Fault::Disconnect { .. } | Fault::Snapshot { .. } => return None,
        // A new leader gives every session its whole timeout.
        Fault::Lead { .. } => 0,
        Fault::Crash { operations: Some(_), .. } | Fault::DiskError { .. } | Fault::CutNextLeader { .. } => {
            return Some((at_us, u64::MAX));
        }
        Fault::Break { .. } => 0,
        Fault::Crash { off_us, .. }
        | Fault::Stop { off_us, .. }
        | Fault::Wipe { off_us, .. }
        | Fault::Flip { off_us, .. } => *off_us,
        Fault::DiskFull { for_us, .. }
        | Fault::DiskStall { for_us, .. }
        | Fault::DiskSlow { for_us, .. }
        | Fault::Pause { for_us, .. }
        | Fault::Cut { for_us, .. }
        | Fault::Loss { for_us, .. } => *for_us,
    };
    Some((at_us, at_us + for_us + AFTERMATH_US))
}

/// A session does not end as long as its client says something in time to a server that could tell
/// the leader, whatever keeps the servers from listening.
fn not_while_its_client_lives(life: &Life, plan: &Plan) -> Result<(), Violation> {
    // A server that is removed serves for a while, and tells nobody.
    let Some((decided_us, _)) = life.expired.filter(|_| !plan.reconfigures) else { return Ok(()) };
    let from_us = decided_us.saturating_sub(2 * life.timeout_us + AFTERMATH_US);
    let hindered = plan
        .faults
        .iter()
        .filter_map(|(at_us, fault)| hinders(*at_us, fault, plan.members == 1))
        .any(|(begins_us, ends_us)| begins_us <= decided_us && ends_us >= from_us);
    if hindered {
        return Ok(());
    }
    let heard: Vec<u64> = life.signs.iter().copied().filter(|at_us| *at_us < decided_us).collect();
    let ends = heard.iter().skip(1).copied().chain([decided_us]);
    let silences = heard.iter().zip(ends).filter(|(_, end_us)| *end_us + MEMORY_US > decided_us);
    let paused: Vec<(u64, u64)> = pauses(plan);
    let counted = silences.map(|(begin_us, end_us)| {
        let paused_us = overlap_us(&paused, *begin_us, end_us);
        // What a follower heard after its last report before the pause reaches the leader with an age
        // that includes the pause.
        let reports_us = life.timeout_us / 4 + 2 * DELAYS_MAX * plan.delay_us.1;
        let lost_us = if paused_us > 0 { reports_us + PAUSE_LOSS_US } else { 0 };
        end_us - begin_us - paused_us + lost_us
    });
    let longest_us = counted.max().unwrap_or(u64::MAX);
    if longest_us < life.timeout_us / 100 * CLOCK_PERCENT {
        return Err(Violation::new(
            "a session does not expire while its client is heard in time",
            format!(
                "{:#x} was ended at {decided_us} µs, and its client never silent for more than {longest_us} of {} µs",
                life.session, life.timeout_us
            ),
        ));
    }
    Ok(())
}

/// The times in which no server ran, those that are long enough for the leader to notice, in order.
fn pauses(plan: &Plan) -> Vec<(u64, u64)> {
    let mut pauses: Vec<(u64, u64)> = Vec::new();
    for (at_us, fault) in &plan.faults {
        let Fault::Suspend { for_us, .. } = fault else { continue };
        let until_us = (at_us + for_us).min(plan.faulty_us);
        match pauses.last_mut().filter(|(_, end_us)| *end_us >= *at_us) {
            Some((_, end_us)) => *end_us = until_us,
            None => pauses.push((*at_us, until_us)),
        }
    }
    pauses.retain(|(begin_us, end_us)| end_us - begin_us > NOTICED_PAUSE_US);
    pauses
}

/// How much of the time from `begin_us` to `end_us` is within the pauses.
fn overlap_us(pauses: &[(u64, u64)], begin_us: u64, end_us: u64) -> u64 {
    let parts =
        pauses.iter().map(|(from_us, to_us)| (*to_us).min(end_us).saturating_sub((*from_us).max(begin_us)));
    parts.sum()
}

/// Where nothing goes wrong a session does not outlive its silent client for long.
fn in_time(life: &Life, history: &History, agreement: &Agreement, plan: &Plan) -> Result<(), Violation> {
    let end_us = match life.expired {
        Some((_, agreed_us)) => agreed_us,
        None if life.closed => return Ok(()),
        None => history.ended_us,
    };
    let Some(heard_us) = life.hints.iter().copied().filter(|at_us| *at_us <= end_us).max() else {
        return Ok(());
    };
    let late_us = end_us - heard_us;
    if late_us <= life.timeout_us * 100 / CLOCK_PERCENT + LATE_US + life.timeout_us / 4 {
        return Ok(());
    }
    let leaderships = agreement.entries().iter().zip(agreement.agreed_us());
    let mut leaderships = leaderships.filter(|(entry, _)| entry.kind == EntryKind::Leadership);
    let anew = leaderships.any(|(_, at_us)| (heard_us..=end_us).contains(at_us));
    let from_us = heard_us.saturating_sub(MEMORY_US);
    let calm = plan.faults.iter().all(|(at_us, fault)| {
        let ends_us = hinders(*at_us, fault, false).map_or(at_us + MEMORY_US, |(_, ends_us)| ends_us);
        *at_us > end_us || ends_us < from_us
    });
    if calm && !anew {
        return Err(Violation::new(
            "a session expires in time",
            format!("{:#x}, of {} µs, after {late_us} µs of silence", life.session, life.timeout_us),
        ));
    }
    Ok(())
}

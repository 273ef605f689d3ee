//! Sessions and their ephemerals: they live as long as their client does, not much longer, and end
//! together.

use std::collections::BTreeMap;

use consensus::entry::EntryKind;
use state::command::{MOVE_SESSION, SessionTerms};
use state::members::ServerId;
use wire::opcode::Opcode;

use super::Violation;
use super::agreement::Agreement;
use crate::faults::Fault;
use crate::history::{Arrival, History, Received};
use crate::plan::Plan;

/// Accuracy of the members' clocks.
const CLOCK_PERCENT: u64 = 97;

/// How long a fault has effects after its end: members reconnect and elect a leader.
const AFTERMATH_US: u64 = 2_000_000;

/// Time a leader may take, besides two reports of its followers, to end the session of a silent
/// client: a tick, scans of the expiry queue, and committing the end.
const LATE_US: u64 = 400_000;

/// How far back silence explains the end of a session.
const MEMORY_US: u64 = 10_000_000;

/// A pause of all servers that is longer than this does not count as silence of their clients.
const NOTICED_PAUSE_US: u64 = 600_000;

/// Around such a pause a leader may count this much time too many as silence, in addition to two
/// report intervals and the time that two reports take to arrive.
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
        ended.entry(close.session).or_insert(close.committed_us);
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
    let evidence = evidence(history, agreement);
    evidence.values().try_for_each(|known| not_while_its_client_is_alive(known, plan))?;
    evidence.values().try_for_each(|known| expires_in_time(known, history, agreement, plan))?;
    let machine = agreement.machine();
    machine.check().map_err(|violation| {
        Violation::new("ephemerals live as long as their session", violation.to_string())
    })
}

/// A leader expires a session only if the timeout has passed since the session was opened or moved,
/// or this leader was elected.
fn not_too_early(agreement: &Agreement) -> Result<(), Violation> {
    // The first entry of each leadership, and when it was committed.
    let mut leaders = agreement.entries().iter().zip(agreement.committed_us()).peekable();
    let mut led_us = 0;
    let mut opened: BTreeMap<i64, (u64, u64)> = BTreeMap::new();
    for outcome in &agreement.outcomes {
        while let Some((entry, committed_us)) = leaders.next_if(|(entry, _)| entry.index <= outcome.index) {
            led_us = if entry.kind == EntryKind::Leadership { *committed_us } else { led_us };
        }
        let is_open = outcome.opcode == Opcode::CreateSession as i32 || outcome.opcode == MOVE_SESSION;
        if is_open
            && outcome.code == 0
            && let Ok(terms) = SessionTerms::read(&outcome.body)
        {
            opened.insert(outcome.session, (outcome.committed_us, terms.timeout_ms as u64 * 1000));
        }
        let is_expiry = outcome.opcode == Opcode::CloseSession as i32 && outcome.cxid == i32::MIN;
        if let Some((opened_us, timeout_us)) = opened.get(&outcome.session).filter(|_| is_expiry) {
            let alive_us = outcome.committed_us.saturating_sub(led_us.max(*opened_us));
            // Members' clocks are not exact. When entries become visible in one moment, as when the
            // log is read again after a crash, it is unknown when their commands were decided.
            if alive_us > 0 && alive_us < timeout_us / 100 * CLOCK_PERCENT {
                return Err(Violation::new(
                    "a session does not expire before its timeout",
                    format!(
                        "{:#x} expired {alive_us} µs after its client was last known alive",
                        outcome.session
                    ),
                ));
            }
        }
    }
    Ok(())
}

/// The evidence about one session.
#[derive(Debug, Default)]
struct SessionEvidence {
    session: i64,
    timeout_us: u64,
    /// Which server its client was connected to since when, in order.
    homes: Vec<(u64, ServerId)>,
    /// When its client was certainly alive: bytes arrived on a connection with the session, or it
    /// was opened or moved.
    alive_us: Vec<u64>,
    /// When its client may have been heard.
    maybe_alive_us: Vec<u64>,
    /// When a leader decided to expire it, and when that was committed.
    expired: Option<(u64, u64)>,
    closed: bool,
}

impl SessionEvidence {
    /// Whether bytes arrived at the server that the session's client is connected to. Another one
    /// cannot report them: the session has moved away from that connection, which is about to be
    /// closed.
    fn is_at_home(&self, arrival: &Arrival) -> bool {
        let before = self.homes.iter().rev().find(|(since_us, _)| *since_us <= arrival.at_us);
        before.is_none_or(|(_, home)| *home == arrival.member)
    }
}

fn evidence(history: &History, agreement: &Agreement) -> BTreeMap<i64, SessionEvidence> {
    let mut evidence: BTreeMap<i64, SessionEvidence> = BTreeMap::new();
    for outcome in agreement.outcomes.iter().filter(|outcome| outcome.code == 0) {
        let opcode = outcome.opcode;
        if opcode == Opcode::CreateSession as i32 || opcode == MOVE_SESSION {
            let Ok(terms) = SessionTerms::read(&outcome.body) else { continue };
            let known = evidence.entry(outcome.session).or_default();
            known.session = outcome.session;
            known.timeout_us = terms.timeout_ms as u64 * 1000;
            known.alive_us.push(outcome.committed_us);
            known.homes.push((outcome.committed_us, terms.home));
        } else if let Some(known) = evidence.get_mut(&outcome.session)
            && opcode == Opcode::CloseSession as i32
        {
            known.closed = true;
            let of_session = history.decided.iter().filter(|(session, _)| *session == outcome.session);
            let decided_us =
                of_session.map(|(_, at_us)| *at_us).filter(|at_us| *at_us <= outcome.committed_us);
            let by_silence = outcome.cxid == i32::MIN;
            known.expired =
                decided_us.max().filter(|_| by_silence).map(|at_us| (at_us, outcome.committed_us));
        }
    }
    // What a client sends before it knows its session is among no session's arrivals.
    for outcome in agreement.outcomes.iter().filter(|outcome| outcome.opcode != Opcode::CloseSession as i32) {
        if let Some(known) = evidence.get_mut(&outcome.session) {
            known.maybe_alive_us.push(outcome.committed_us);
        }
    }
    for (session, arrivals) in &history.arrivals {
        let Some(known) = evidence.get_mut(session) else { continue };
        let heard = arrivals.iter().filter(|arrival| arrival.open && known.is_at_home(arrival));
        let heard: Vec<u64> = heard.map(|arrival| arrival.at_us).collect();
        known.alive_us.extend(heard);
        known.maybe_alive_us.extend(arrivals.iter().map(|arrival| arrival.at_us));
    }
    for known in evidence.values_mut() {
        known.maybe_alive_us.extend(&known.alive_us);
        known.alive_us.sort_unstable();
    }
    evidence
}

/// When a fault could keep servers from hearing clients, or from informing each other.
fn hinders(at_us: u64, fault: &Fault, is_alone: bool) -> Option<(u64, u64)> {
    let for_us = match fault {
        // Servers read what arrived meanwhile from their own sockets afterwards.
        Fault::Suspend { .. } | Fault::Busy { .. } | Fault::SlowReaders { .. } => return None,
        // A simulated clock stops during a flush, and so does everything timed by it.
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

/// A session does not expire as long as its client sends something in time to a server that could
/// report it to the leader, whatever keeps the servers from reading it.
fn not_while_its_client_is_alive(known: &SessionEvidence, plan: &Plan) -> Result<(), Violation> {
    // A removed server keeps serving for a while without reporting to the leader.
    let Some((decided_us, _)) = known.expired.filter(|_| !plan.reconfigures) else { return Ok(()) };
    let from_us = decided_us.saturating_sub(2 * known.timeout_us + AFTERMATH_US);
    let hindered = plan
        .faults
        .iter()
        .filter_map(|(at_us, fault)| hinders(*at_us, fault, plan.members == 1))
        .any(|(begins_us, ends_us)| begins_us <= decided_us && ends_us >= from_us);
    if hindered {
        return Ok(());
    }
    let heard: Vec<u64> = known.alive_us.iter().copied().filter(|at_us| *at_us < decided_us).collect();
    let ends = heard.iter().skip(1).copied().chain([decided_us]);
    let silences = heard.iter().zip(ends).filter(|(_, end_us)| *end_us + MEMORY_US > decided_us);
    let paused: Vec<(u64, u64)> = pauses(plan);
    let counted = silences.map(|(begin_us, end_us)| {
        let paused_us = overlap_us(&paused, *begin_us, end_us);
        // What a follower heard after its last report before the pause reaches the leader with an
        // age that includes the pause.
        let reports_us = known.timeout_us / 4 + 2 * DELAYS_MAX * plan.delay_us.1;
        let lost_us = if paused_us > 0 { reports_us + PAUSE_LOSS_US } else { 0 };
        end_us - begin_us - paused_us + lost_us
    });
    let longest_us = counted.max().unwrap_or(u64::MAX);
    if longest_us < known.timeout_us / 100 * CLOCK_PERCENT {
        return Err(Violation::new(
            "a session does not expire while its client is heard in time",
            format!(
                "{:#x} expired at {decided_us} µs, and its client was never silent for more than {longest_us} of {} µs",
                known.session, known.timeout_us
            ),
        ));
    }
    Ok(())
}

/// The periods in which no server ran and that are long enough for the leader to notice, in order.
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

/// How much of the time from `begin_us` to `end_us` lies within the pauses.
fn overlap_us(pauses: &[(u64, u64)], begin_us: u64, end_us: u64) -> u64 {
    let parts =
        pauses.iter().map(|(from_us, to_us)| (*to_us).min(end_us).saturating_sub((*from_us).max(begin_us)));
    parts.sum()
}

/// Without faults a session does not outlive its silent client for long.
fn expires_in_time(
    known: &SessionEvidence,
    history: &History,
    agreement: &Agreement,
    plan: &Plan,
) -> Result<(), Violation> {
    let end_us = match known.expired {
        Some((_, committed_us)) => committed_us,
        None if known.closed => return Ok(()),
        None => history.ended_us,
    };
    let Some(heard_us) = known.maybe_alive_us.iter().copied().filter(|at_us| *at_us <= end_us).max() else {
        return Ok(());
    };
    let late_us = end_us - heard_us;
    if late_us <= known.timeout_us * 100 / CLOCK_PERCENT + LATE_US + known.timeout_us / 4 {
        return Ok(());
    }
    let leaderships = agreement.entries().iter().zip(agreement.committed_us());
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
            format!("{:#x}, of {} µs, after {late_us} µs of silence", known.session, known.timeout_us),
        ));
    }
    Ok(())
}

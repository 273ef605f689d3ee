//! Sessions and their ephemerals: they live as long as somebody is heard of, and end together.

use std::collections::BTreeMap;

use consensus::entry::EntryKind;
use state::command::{MOVE_SESSION, SessionTerms};
use wire::opcode::Opcode;

use super::Violation;
use super::agreement::Agreement;
use crate::history::{History, Received};

/// How right the clocks of members are.
const CLOCK_PERCENT: u64 = 97;

/// Judges the ends of sessions.
///
/// # Errors
/// The first guarantee that is broken.
pub fn judge(history: &History, agreement: &Agreement) -> Result<(), Violation> {
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

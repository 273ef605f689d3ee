//! Sessions and their ephemerals: they live as long as somebody is heard of, and end together.

use std::collections::BTreeMap;

use wire::opcode::Opcode;

use super::Violation;
use super::agreement::Agreement;
use crate::history::{History, Received};

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
    let machine = agreement.machine();
    machine.check().map_err(|violation| {
        Violation::new("ephemerals live as long as their session", violation.to_string())
    })
}

//! Which commands the leader gives a place in the log: those from the server that their session is
//! at.

use state::command::{Features, MOVE_SESSION};
use state::machine::Machine;

use crate::replica::{Name, Origin, Replica, read_terms};

/// Whether a command gets a place in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It does.
    Granted,
    /// It does not if a command in flight, which takes its session elsewhere, gets one. If that is
    /// refused, so is this one. If the leadership ends first, its server passes it on again.
    LeftBehind,
    /// It does not: its session is elsewhere.
    Gone,
}

impl Replica {
    /// Whether this command's server may write for the session now. The leader accepts in log
    /// order, so what is committed and what is in flight together tell where a session is.
    pub(crate) fn admit(
        &mut self,
        machine: &Machine,
        origin: Origin,
        name: &Name,
        bytes: &[u8],
    ) -> Admission {
        let session = name.session;
        let proposed = self.homes.of(session);
        let home = proposed.or_else(|| machine.session(session).map(|known| known.home));
        if name.gives_home() {
            // A body without valid terms is refused on apply, and so is a new session under a live
            // session's id.
            if let Some(terms) = read_terms(bytes) {
                let moves = name.opcode == MOVE_SESSION;
                self.homes.proposed(session, home.filter(|_| !moves).unwrap_or(terms.home));
            }
            return Admission::Granted;
        }
        // Where membership can change, other members may have forwarded commands before they left.
        if self.alone && !self.settings.features.has(Features::RECONFIG) {
            return Admission::Granted;
        }
        if home.is_none_or(|home| home == origin.server) {
            return Admission::Granted;
        }
        if proposed.is_none() {
            return Admission::Gone;
        }
        self.homes.leave_behind(session, origin);
        Admission::LeftBehind
    }
}

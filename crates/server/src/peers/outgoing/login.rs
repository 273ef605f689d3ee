//! The login by SASL at a server that was dialled.

use std::io::Write as _;

use super::{GREETING_TIMEOUT_MS, Outgoing, Phase, Reason, Trouble};
use crate::peers::local::Local;
use crate::peers::sasl::{Dialling, Initiated, MAGIC, Turn};

impl Outgoing {
    /// Begins the login. The connection is established.
    pub(super) fn log_in(&mut self, local: &mut Local) {
        let (Some(sasl), Some(stream)) = (&local.sasl, &mut self.stream) else { return };
        let host = self.hosts.first().map_or("", |(host, _)| host);
        let (login, first) = match Dialling::begin(sasl, host) {
            Ok(begun) => begun,
            Err(why) => return self.refuse_login(local, &why),
        };
        // The other side gives a login by Kerberos more time as soon as it has seen this. An empty
        // stream takes all of it.
        if let Err(e) = stream.write_all(MAGIC) {
            return self.fail_unreachable(local, &e);
        }
        let until_ms = local.now_ms + login.timeout_ms();
        self.phase = Phase::Login { until_ms, login: Box::new(login) };
        if let Some(record) = first {
            self.output.push(&[&record]);
        }
        self.write_login(local);
        self.read_handshake(local);
    }

    /// Writes what the socket has not yet taken: a ticket may be long.
    pub(super) fn write_login(&mut self, local: &mut Local) {
        let Some(stream) = &mut self.stream else { return };
        match self.output.write_to(stream) {
            Ok(taken) => local.counts.bytes_sent += taken as u64,
            Err(e) => self.fail(local, Trouble::Silent, &e.to_string()),
        }
    }

    /// The peer has said something in the login.
    pub(super) fn hear_login(&mut self, local: &mut Local, bytes: &[u8]) {
        let (Some(sasl), Phase::Login { login, .. }) = (&local.sasl, &mut self.phase) else { return };
        match login.take(sasl, bytes) {
            Ok(turn) => self.turn(local, turn),
            Err(why) => self.fail_malformed(local, &why),
        }
    }

    /// Whether a thread does the step of a login with this number for it.
    pub(in crate::peers) fn waits_for(&self, number: u64) -> bool {
        matches!(&self.phase, Phase::Login { login, .. } if login.waits_for(number))
    }

    /// A thread has done the step of a login that it waits for.
    pub(in crate::peers) fn stepped(&mut self, local: &mut Local, step: Result<Initiated, String>) {
        let Phase::Login { login, .. } = &mut self.phase else { return };
        let turn = login.stepped(step);
        self.turn(local, turn);
    }

    fn turn(&mut self, local: &mut Local, turn: Turn) {
        match turn {
            Turn::Wait => {}
            Turn::Say(record) => {
                self.output.push(&[&record]);
                self.write_login(local);
            }
            Turn::Refused(_, why) => self.refuse_login(local, &why),
            Turn::Done(..) if self.output.queued() > 0 => {
                self.fail_malformed(local, "it accepts a login of which it has not read all");
            }
            Turn::Done(login, _) => {
                self.greet(local, local.now_ms + GREETING_TIMEOUT_MS, Some(login.key));
            }
        }
    }

    fn refuse_login(&mut self, local: &mut Local, why: &str) {
        let text = format!("server {}: {why}", self.peer);
        self.refuse(local, Reason::Sasl, &text);
    }
}

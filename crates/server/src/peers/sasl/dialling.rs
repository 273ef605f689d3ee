//! The side of the server that dials.

use std::sync::Arc;

use gssapi::Initiation;
use sasl::digest_md5::{Client, Service};

use super::work::{Initiated, Job};
use super::{
    ACCEPTED, DIGEST_MD5, Dials, GOES_ON, GSSAPI, KERBEROS_TIMEOUT_MS, Login, REFUSED, ROUNDS_MAX, Refusal,
    Sasl, TOKEN_BYTES_MAX, Turn, digest_key, random_nonce, record,
};
use crate::config::QuorumLogin;
use crate::peers::frame::FrameReader;
use crate::peers::limits::GREETING_TIMEOUT_MS;
use crate::peers::proof::LoginKey;

/// One login at one server.
#[derive(Debug)]
pub(in crate::peers) struct Dialling {
    input: FrameReader,
    rounds: u8,
    state: State,
}

#[derive(Debug)]
enum State {
    DigestMd5(Client),
    /// The server has to answer…
    Kerberos(Initiation),
    /// …then a thread does the step with this number…
    Away(u64),
    /// …and in the end the server has to accept.
    Done(LoginKey),
    Ended,
}

impl Dialling {
    /// A login at the server at this host, and its first record, if it is there already.
    ///
    /// # Errors
    /// There can be none.
    pub(in crate::peers) fn begin(sasl: &Sasl, host: &str) -> Result<(Dialling, Option<Vec<u8>>), String> {
        let input = FrameReader::bounded(1 + TOKEN_BYTES_MAX);
        let (state, first) = match &sasl.dials {
            Some(Dials::DigestMd5 { user, password }) => {
                let client = Client::new(Service::QUORUM, user, password.clone(), random_nonce()?);
                (State::DigestMd5(client), Some(record(DIGEST_MD5, &[])))
            }
            Some(Dials::Kerberos { initiator, principal, service }) => {
                let service = QuorumLogin::service_at(service, host, principal);
                let initiation = Arc::clone(initiator).begin(&service).map_err(|e| e.to_string())?;
                (away(sasl, initiation, Vec::new())?, None)
            }
            None => return Err("this server does not authenticate".to_owned()),
        };
        Ok((Dialling { input, rounds: 0, state }, first))
    }

    /// How long it may take, in ms.
    pub(in crate::peers) fn timeout_ms(&self) -> i64 {
        match self.state {
            State::DigestMd5(_) => GREETING_TIMEOUT_MS,
            _ => KERBEROS_TIMEOUT_MS,
        }
    }

    /// Whether a thread does the step with this number for it.
    pub(in crate::peers) fn waits_for(&self, number: u64) -> bool {
        matches!(self.state, State::Away(awaited) if awaited == number)
    }

    /// More bytes have come.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(in crate::peers) fn take(&mut self, sasl: &Sasl, bytes: &[u8]) -> Result<Turn, String> {
        self.input.push(bytes);
        let Some(said) = self.input.next_frame().map_err(|e| e.to_string())? else { return Ok(Turn::Wait) };
        self.rounds += 1;
        if self.input.len_bytes() > 0 || self.rounds > ROUNDS_MAX {
            return Err("it speaks out of turn in a login".to_owned());
        }
        match (said.split_first(), std::mem::replace(&mut self.state, State::Ended)) {
            (Some((&REFUSED, reason)), _) => Ok(Turn::Refused(Vec::new(), explain(reason))),
            (Some((&(GOES_ON | ACCEPTED), token)), State::DigestMd5(mut client)) => {
                let is_accepted = said.first() == Some(&ACCEPTED);
                let turn = match (client.step(token), client.session_key()) {
                    (Ok(Some(response)), _) if !is_accepted => Turn::Say(record(DIGEST_MD5, &response)),
                    (Ok(None), Some(key)) if is_accepted => done(digest_key(key)),
                    (Ok(_), _) => return Err("it speaks out of turn in a login".to_owned()),
                    (Err(refused), _) => failed(&refused.to_string()),
                };
                self.state = State::DigestMd5(client);
                Ok(turn)
            }
            (Some((&GOES_ON, token)), State::Kerberos(initiation)) => {
                self.state = away(sasl, initiation, token.to_vec())?;
                Ok(Turn::Wait)
            }
            (Some((&ACCEPTED, [])), State::Done(key)) => Ok(done(key)),
            _ => Err("it speaks out of turn in a login".to_owned()),
        }
    }

    /// A thread has done the step that this waits for.
    pub(in crate::peers) fn stepped(&mut self, step: Result<Initiated, String>) -> Turn {
        match step {
            Ok(Initiated { initiation, token, key }) => {
                self.state = key.map_or(State::Kerberos(initiation), State::Done);
                Turn::Say(record(GSSAPI, &token))
            }
            Err(why) => failed(&why),
        }
    }
}

fn away(sasl: &Sasl, initiation: Initiation, token: Vec<u8>) -> Result<State, String> {
    let number = sasl.work.submit(Job::Initiate(initiation, token)).ok_or("too many logins wait")?;
    Ok(State::Away(number))
}

fn done(key: LoginKey) -> Turn {
    Turn::Done(Login { name: String::new(), key }, Vec::new())
}

fn failed(why: &str) -> Turn {
    Turn::Refused(Vec::new(), format!("the login by SASL fails: {why}"))
}

/// What the dialled server's reason means for this one.
fn explain(reason: &[u8]) -> String {
    let known = [Refusal::Failed, Refusal::Mechanism, Refusal::Off];
    let reason = known.into_iter().find(|known| reason == [*known as u8]);
    let text = match reason {
        Some(Refusal::Failed) => {
            "it refuses this server's user and password, or principal (its log says why)"
        }
        Some(Refusal::Mechanism) => "it authenticates servers by another mechanism of SASL",
        Some(Refusal::Off) => "SASL is off there: quorum.auth.enableSasl=true comes first, on all servers",
        None => "it refuses this server's login for a reason of a later version",
    };
    text.to_owned()
}

//! Admission of an incoming connection: a login, if there is one; who it says it is, and whether it
//! proves that.

use super::frame::{self, FrameReader};
use super::greeting::{self, GREETING_BYTES_MAX, Greeting, Heard, Reason};
use super::limits::{FRAME_BYTES_MAX, GREETING_TIMEOUT_MS, UNPROVEN_FRAME_BYTES_MAX};
use super::local::Local;
use super::proof::{Exchange, LoginKey, Part, RECORD_BYTES_MAX, Reply};
use super::sasl::{Accept, Accepting, KERBEROS_TIMEOUT_MS, Opening, Sasl, Turn};
use crate::config::ServerId;
use crate::stream::PeerIdentity;

/// How far it has come.
#[derive(Debug)]
pub(super) enum Admission {
    /// It may authenticate by SASL.
    Login(Box<Accepting>),
    /// Its greeting is incomplete. It has authenticated if there is a key.
    Greeting(Vec<u8>, Option<LoginKey>),
    /// Greetings were exchanged; it has to prove what it can.
    Proving(Box<Proving>),
}

#[derive(Debug)]
pub(super) struct Proving {
    theirs: Greeting,
    greetings: Vec<u8>,
    login: Option<LoginKey>,
    /// The records of both sides; `None` before its challenge.
    exchange: Option<Exchange>,
    input: FrameReader,
}

/// What to do next.
#[derive(Debug)]
pub(super) enum Step {
    /// Wait for more bytes.
    Wait,
    /// Send this, and wait for more bytes.
    Say(Vec<u8>),
    /// Send this, and close the connection: it does not authenticate, for this reason.
    Reject { say: Vec<u8>, why: String },
    /// Send this, and close the connection.
    Refuse { say: Vec<u8>, peer: ServerId, reason: Reason, text: String },
    /// Admit it: it may send frames.
    Enter(Entrant),
}

/// An admitted connection.
#[derive(Debug)]
pub(super) struct Entrant {
    pub(super) theirs: Greeting,
    /// Whether it has proven that it is a member of this server's cluster.
    pub(super) is_proven: bool,
    /// Reads its frames; may already hold some.
    pub(super) input: FrameReader,
}

impl Default for Admission {
    fn default() -> Self {
        Admission::Login(Box::default())
    }
}

impl Admission {
    /// More bytes have arrived of a server that has proven `identity` to the transport.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(super) fn take(
        &mut self,
        local: &Local,
        identity: Option<&PeerIdentity>,
        bytes: &[u8],
    ) -> Result<Step, String> {
        match self {
            Admission::Login(accepting) => match accepting.take(local.sasl.as_ref(), bytes)? {
                Opening::Wait => Ok(Step::Wait),
                Opening::Login(turn) => Ok(self.turn(turn)),
                Opening::Greeting(bytes) => {
                    *self = Admission::Greeting(bytes, None);
                    self.greeted(local, identity)
                }
            },
            Admission::Greeting(heard, _) => {
                heard.extend_from_slice(bytes);
                self.greeted(local, identity)
            }
            Admission::Proving(proving) => {
                proving.input.push(bytes);
                proving.go_on(local)
            }
        }
    }

    /// Whether it may still authenticate.
    pub(super) fn is_login(&self) -> bool {
        matches!(self, Admission::Login(_))
    }

    /// How long it may stay like this, in ms.
    pub(super) fn time_ms(&self, local: &Local) -> i64 {
        match self {
            Admission::Login(accepting) if accepting.is_by_kerberos(local.sasl.as_ref()) => {
                KERBEROS_TIMEOUT_MS
            }
            _ => GREETING_TIMEOUT_MS,
        }
    }

    /// Whether a thread does the step of a login with this number for it.
    pub(super) fn waits_for(&self, number: u64) -> bool {
        matches!(self, Admission::Login(accepting) if accepting.waits_for(number))
    }

    /// A thread has done the step of a login that it waits for.
    pub(super) fn stepped(&mut self, local: &Local, step: Result<Accept, String>) -> Step {
        let (Admission::Login(accepting), Some(sasl)) = (&mut *self, &local.sasl) else { return Step::Wait };
        let turn = accepting.stepped(sasl, &local.hosts, step);
        self.turn(turn)
    }

    fn turn(&mut self, turn: Turn) -> Step {
        match turn {
            Turn::Wait => Step::Wait,
            Turn::Say(record) => Step::Say(frame::framed(&record)),
            Turn::Done(login, record) => {
                tracing::debug!("a server has logged in as {}", login.name);
                *self = Admission::Greeting(Vec::new(), Some(login.key));
                Step::Say(frame::framed(&record))
            }
            Turn::Refused(record, why) => Step::Reject { say: frame::framed(&record), why },
        }
    }

    fn greeted(&mut self, local: &Local, identity: Option<&PeerIdentity>) -> Result<Step, String> {
        let Admission::Greeting(heard, login) = self else { return Ok(Step::Wait) };
        let is_login_missing = login.is_none() && local.sasl.as_ref().is_some_and(Sasl::is_required);
        match Greeting::decode(heard).map_err(|e| e.to_string())? {
            Heard::Incomplete if heard.len() < GREETING_BYTES_MAX => Ok(Step::Wait),
            Heard::Incomplete => Err("an endless greeting".to_owned()),
            Heard::OtherVersion { version, from, .. } => Ok(Step::Refuse {
                say: local.greeting(from, Some(Reason::Version)).encode(),
                peer: from,
                reason: Reason::Version,
                text: greeting::explain_version(from, version),
            }),
            Heard::Greeting(theirs) => {
                let reason = is_login_missing.then_some(Reason::Sasl).or_else(|| objection(local, &theirs));
                if reason.is_none()
                    && let Some(text) = local.certificate_objection(theirs.from, identity)
                {
                    let reason = Reason::Certificate;
                    let say = local.greeting(theirs.from, Some(reason)).encode();
                    return Ok(Step::Refuse { say, peer: theirs.from, reason, text });
                }
                let answer = local.greeting(theirs.from, reason).encode();
                if let Some(reason) = reason {
                    return Ok(refuse(local, &theirs, reason, answer));
                }
                let greetings = [theirs.encode(), answer.clone()].concat();
                let input = FrameReader::bounded(RECORD_BYTES_MAX);
                let login = *login;
                let proving = Proving { theirs, greetings, login, exchange: None, input };
                *self = Admission::Proving(Box::new(proving));
                Ok(Step::Say(answer))
            }
        }
    }
}

impl Proving {
    fn go_on(&mut self, local: &Local) -> Result<Step, String> {
        let Some(record) = self.input.next_frame().map_err(|e| e.to_string())? else { return Ok(Step::Wait) };
        let Some(exchange) = &self.exchange else { return self.challenged(local, &record) };
        if !local.keys.is_confirmed(exchange, &record) {
            return Ok(refuse(local, &self.theirs, Reason::Proof, Vec::new()));
        }
        let is_proven = exchange.is_of_members();
        let mut input = std::mem::take(&mut self.input);
        input.bound(if is_proven { FRAME_BYTES_MAX } else { UNPROVEN_FRAME_BYTES_MAX });
        Ok(Step::Enter(Entrant { theirs: self.theirs, is_proven, input }))
    }

    fn challenged(&mut self, local: &Local, record: &[u8]) -> Result<Step, String> {
        let challenge = Part::decode(record).ok_or("a malformed challenge")?;
        if !local.keys.admit(challenge) {
            let refusal = frame::framed(&Reply::refusal(Reason::Secret));
            return Ok(refuse(local, &self.theirs, Reason::Secret, refusal));
        }
        let answer = local.keys.part().map_err(|e| format!("the system gives no random bytes: {e}"))?;
        let greetings = std::mem::take(&mut self.greetings);
        let exchange = Exchange { login: self.login, greetings, challenge, answer };
        let answer = frame::framed(&local.keys.answer(&exchange));
        self.exchange = Some(exchange);
        Ok(Step::Say(answer))
    }
}

fn refuse(local: &Local, theirs: &Greeting, reason: Reason, say: Vec<u8>) -> Step {
    let ours = local.greeting(theirs.from, None);
    let text = greeting::explain(reason, false, &ours, theirs);
    Step::Refuse { say, peer: theirs.from, reason, text }
}

/// Why this server refuses one that greets with `theirs`.
pub(super) fn objection(local: &Local, theirs: &Greeting) -> Option<Reason> {
    if theirs.to != local.me {
        return Some(Reason::Addressee);
    }
    let is_stranger = !local.members.contains_key(&theirs.from) && !local.admits_nonmembers;
    local.hello.objection(&theirs.hello).or(is_stranger.then_some(Reason::Stranger))
}

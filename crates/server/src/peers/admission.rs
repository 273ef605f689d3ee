//! Admission of an incoming connection: who it says it is, and whether it proves that.

use super::frame::{self, FrameReader};
use super::greeting::{self, GREETING_BYTES_MAX, Greeting, Heard, Reason};
use super::limits::{FRAME_BYTES_MAX, UNPROVEN_FRAME_BYTES_MAX};
use super::local::Local;
use super::proof::{Exchange, Part, RECORD_BYTES_MAX, Reply};
use crate::config::ServerId;
use crate::stream::PeerIdentity;

/// How far it has come.
#[derive(Debug)]
pub(super) enum Admission {
    /// Its greeting is incomplete.
    Greeting(Vec<u8>),
    /// Greetings were exchanged; it has to prove what it can.
    Proving(Proving),
}

#[derive(Debug)]
pub(super) struct Proving {
    theirs: Greeting,
    greetings: Vec<u8>,
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
        Admission::Greeting(Vec::new())
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
            Admission::Greeting(heard) => {
                heard.extend_from_slice(bytes);
                self.greeted(local, identity)
            }
            Admission::Proving(proving) => {
                proving.input.push(bytes);
                proving.go_on(local)
            }
        }
    }

    fn greeted(&mut self, local: &Local, identity: Option<&PeerIdentity>) -> Result<Step, String> {
        let Admission::Greeting(heard) = self else { return Ok(Step::Wait) };
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
                let reason = objection(local, &theirs);
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
                *self = Admission::Proving(Proving { theirs, greetings, exchange: None, input });
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
        let exchange = Exchange { greetings: std::mem::take(&mut self.greetings), challenge, answer };
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

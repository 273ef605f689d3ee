//! The side of the server that was dialled.

use std::collections::BTreeSet;

use sasl::digest_md5::{Accepted, Server, Service, Step};
use sasl::kerberos::Principal;

use super::work::{Accept, Job};
use super::{
    ACCEPTED, Accepts, DIGEST_MD5, GOES_ON, GSSAPI, Login, MAGIC, ROUNDS_MAX, Refusal, Sasl, TOKEN_BYTES_MAX,
    Turn, digest_key, random_nonce, record, refusal,
};
use crate::peers::frame::FrameReader;

/// What the beginning of a connection leads to.
#[derive(Debug)]
pub(in crate::peers) enum Opening {
    /// More bytes are needed.
    Wait,
    /// It begins with a greeting: these bytes.
    Greeting(Vec<u8>),
    /// It begins with a login.
    Login(Turn),
}

/// A connection that may authenticate by SASL.
#[derive(Debug)]
pub(in crate::peers) struct Accepting {
    /// What has come of [`MAGIC`], or of the first bytes of a greeting.
    begun: Vec<u8>,
    input: FrameReader,
    rounds: u8,
    state: State,
}

#[derive(Debug)]
enum State {
    Start,
    DigestMd5(Server),
    Kerberos(gssapi::Exchange),
    /// A thread does the step with this number.
    Away(u64),
}

impl Default for Accepting {
    fn default() -> Self {
        let input = FrameReader::bounded(1 + TOKEN_BYTES_MAX);
        Accepting { begun: Vec::new(), input, rounds: 0, state: State::Start }
    }
}

impl Accepting {
    /// Whether the server has begun to authenticate, by Kerberos: that may take longer.
    pub(in crate::peers) fn is_by_kerberos(&self, sasl: Option<&Sasl>) -> bool {
        let is_by_kerberos = sasl.is_some_and(|sasl| matches!(sasl.accepts, Accepts::Kerberos { .. }));
        is_by_kerberos && self.begun.len() == MAGIC.len()
    }

    /// Whether a thread does the step with this number for it.
    pub(in crate::peers) fn waits_for(&self, number: u64) -> bool {
        matches!(self.state, State::Away(awaited) if awaited == number)
    }

    /// More bytes have come.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(in crate::peers) fn take(&mut self, sasl: Option<&Sasl>, bytes: &[u8]) -> Result<Opening, String> {
        let missing = MAGIC.len() - self.begun.len();
        let (begin, rest) = bytes.split_at(missing.min(bytes.len()));
        self.begun.extend_from_slice(begin);
        if !MAGIC.starts_with(&self.begun) {
            return Ok(Opening::Greeting([&std::mem::take(&mut self.begun)[..], rest].concat()));
        }
        if self.begun.len() < MAGIC.len() {
            return Ok(Opening::Wait);
        }
        let Some(sasl) = sasl else {
            let why = "SASL is off here (quorum.auth.enableSasl)".to_owned();
            return Ok(Opening::Login(Turn::Refused(refusal(Refusal::Off), why)));
        };
        if !rest.is_empty() && matches!(self.state, State::Away(_)) {
            return Err("it speaks out of turn".to_owned());
        }
        self.input.push(rest);
        self.go_on(sasl).map(Opening::Login)
    }

    fn go_on(&mut self, sasl: &Sasl) -> Result<Turn, String> {
        let Some(said) = self.input.next_frame().map_err(|e| e.to_string())? else { return Ok(Turn::Wait) };
        if self.input.len_bytes() > 0 {
            return Err("it speaks out of turn".to_owned());
        }
        self.rounds += 1;
        let Some((mechanism, token)) = said.split_first().filter(|_| self.rounds <= ROUNDS_MAX) else {
            return Err("its login takes too long".to_owned());
        };
        let expected = match sasl.accepts {
            Accepts::DigestMd5(_) => DIGEST_MD5,
            Accepts::Kerberos { .. } => GSSAPI,
        };
        if *mechanism != expected {
            let why = "it authenticates by another mechanism than this server".to_owned();
            return Ok(Turn::Refused(refusal(Refusal::Mechanism), why));
        }
        let state = match (std::mem::replace(&mut self.state, State::Start), &sasl.accepts) {
            (State::Start, Accepts::DigestMd5(_)) => {
                State::DigestMd5(Server::new(Service::QUORUM, random_nonce()?))
            }
            (State::Start, Accepts::Kerberos { acceptor, .. }) => State::Kerberos(acceptor.begin()),
            (state, _) => state,
        };
        match (state, &sasl.accepts) {
            (State::DigestMd5(mut server), Accepts::DigestMd5(users)) => {
                let password =
                    |user: &str| users.iter().find(|(known, _)| known == user).map(|(_, password)| password);
                let step = server.step(token, password);
                let turn = match (step, server.session_key()) {
                    (Ok(Step::Challenge(challenge)), _) => Turn::Say(record(GOES_ON, &challenge)),
                    (Ok(Step::Accepted(Accepted { token, user })), Some(key)) => {
                        Turn::Done(Login { name: user, key: digest_key(key) }, record(ACCEPTED, &token))
                    }
                    (Ok(Step::Accepted(_)), None) => failed("there is no key".to_owned()),
                    (Err(refused), _) => failed(refused.to_string()),
                };
                self.state = State::DigestMd5(server);
                Ok(turn)
            }
            (State::Kerberos(exchange), _) => {
                let job = Job::Accept(exchange, token.to_vec());
                let number = sasl.work.submit(job).ok_or("too many logins wait")?;
                self.state = State::Away(number);
                Ok(Turn::Wait)
            }
            _ => Err("it speaks out of turn".to_owned()),
        }
    }

    /// A thread has done the step that this waits for. Principals must be of the realm and have one
    /// of these hosts, in lower case: those of the members.
    pub(in crate::peers) fn stepped(
        &mut self,
        sasl: &Sasl,
        hosts: &BTreeSet<String>,
        step: Result<Accept, String>,
    ) -> Turn {
        match step {
            Ok(Accept::Continue(exchange, token)) => {
                self.state = State::Kerberos(exchange);
                Turn::Say(record(GOES_ON, &token))
            }
            Ok(Accept::Accepted { name, key }) => {
                let realm = match &sasl.accepts {
                    Accepts::Kerberos { realm, .. } => realm,
                    Accepts::DigestMd5(_) => return failed("it is no user".to_owned()),
                };
                match objection(realm, hosts, &name) {
                    None => Turn::Done(Login { name, key }, record(ACCEPTED, &[])),
                    Some(why) => failed(why),
                }
            }
            Err(why) => failed(why),
        }
    }
}

fn failed(why: String) -> Turn {
    Turn::Refused(refusal(Refusal::Failed), why)
}

/// Why a principal is not let in. ZooKeeper's rule is that it has a host, which is one of the hosts
/// in `server.N`; the realm must be that of the own principal.
fn objection(own_realm: &str, hosts: &BTreeSet<String>, name: &str) -> Option<String> {
    let Some(Principal { host: Some(host), realm: Some(realm), .. }) = Principal::parse(name) else {
        return Some(format!("{name} names no host; it must be such as zkquorum/host@{own_realm}"));
    };
    if realm != own_realm {
        return Some(format!("{name} is not of the realm {own_realm}"));
    }
    let is_known = hosts.contains(&host.to_lowercase());
    (!is_known).then(|| format!("{host}, the host of {name}, is that of no server.N"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A principal of two parts was let in by ZooKeeper before 3.9.1 (CVE-2023-44981).
    #[test]
    fn principals_have_the_host_of_a_member() {
        let hosts = BTreeSet::from(["zk1.example.org".to_owned(), "zk2".to_owned()]);
        let is_let_in = |name: &str| objection("EXAMPLE.ORG", &hosts, name).is_none();
        for name in
            ["zkquorum/zk1.example.org@EXAMPLE.ORG", "zkquorum/ZK2@EXAMPLE.ORG", "any/zk2@EXAMPLE.ORG"]
        {
            assert!(is_let_in(name), "{name}");
        }
        for name in [
            "eve@EXAMPLE.ORG",
            "eve",
            "",
            "zk2@EXAMPLE.ORG",
            "zkquorum/@EXAMPLE.ORG",
            "zkquorum/zk3@EXAMPLE.ORG",
            "zkquorum/zk2@OTHER.ORG",
            "zkquorum/zk2@",
            "zkquorum/zk2",
            "zkquorum/zk2/zk2@EXAMPLE.ORG",
            "zkquorum/zk2@EXAMPLE.ORG@EXAMPLE.ORG",
        ] {
            assert!(!is_let_in(name), "{name}");
        }
    }
}

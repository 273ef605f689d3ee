//! Operation 102: a client proves who it is by SASL (`ZooKeeperServer.processSasl`).

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use group::Token;
use gssapi::Exchange;
use sasl::digest_md5::{Accepted, Nonce, Server, Service, Step};
use sha2::{Digest as _, Sha256};
use state::auth::{Identities, SASL, SUPER};
use wire::ErrorCode;
use wire::frame;
use wire::jute::Reader;
use wire::record::{ReplyHeader, RequestHeader, Sasl, SaslReply};

use super::IoThread;
use super::connection::Phase;
use super::request::watcher;
use crate::config::{self, Mechanism, Secret};
use crate::kerberos::Answer;
use crate::token::slot_of;

/// Requests that a server without SASL answers with nothing. ZooKeeper goes on for ever, and so
/// does a client that waits for something else (kazoo).
const ANSWERS_WITHOUT_SASL_MAX: u32 = 16;

/// What a connection has done about SASL so far.
#[derive(Debug)]
pub(super) enum SaslState {
    /// The server does not have SASL; this many requests were answered.
    Absent(u32),
    /// The exchange, which may have ended.
    DigestMd5(Server),
    /// The same, by Kerberos.
    Kerberos(Exchange),
    /// The exchange is with the thread that does the steps of Kerberos.
    KerberosAway,
}

/// What a token leads to.
enum Outcome {
    /// The reply has this token.
    Continues(Option<Vec<u8>>),
    /// The client now has these identities, and the reply has this token.
    Accepted(Identities, Option<Vec<u8>>),
    /// The token is wrong, for this reason.
    Refused(String),
    /// Another thread will answer.
    Later,
}

impl IoThread {
    /// Takes one step of an exchange and answers at once, whatever is in flight, as in ZooKeeper.
    pub(super) fn sasl(&mut self, slot: usize, header: &RequestHeader, body: &[u8]) {
        // ZooKeeper fails on a null token.
        let Ok(Sasl { token: Some(token) }) = Sasl::decode(&mut Reader::new(body)) else {
            return self.break_off(slot, "a SASL request that cannot be read");
        };
        let outcome = self.sasl_step(slot, header.xid, token);
        self.finish_step(slot, header.xid, outcome);
    }

    fn finish_step(&mut self, slot: usize, xid: i32, outcome: Outcome) {
        match outcome {
            Outcome::Continues(token) => self.reply_sasl(slot, xid, ErrorCode::Ok, token.as_deref()),
            Outcome::Accepted(identities, token) => {
                self.set_identities(slot, identities);
                self.reply_sasl(slot, xid, ErrorCode::Ok, token.as_deref());
            }
            Outcome::Refused(reason) => self.refuse_sasl(slot, xid, &reason),
            Outcome::Later => {}
        }
    }

    fn sasl_step(&mut self, slot: usize, xid: i32, token: &[u8]) -> Outcome {
        let shared = Arc::clone(&self.shared);
        let Some(connection) = self.connections.get_mut(slot) else { return Outcome::Later };
        let Some(sasl) = &shared.config.requests.sasl else { return step_without_sasl(&mut connection.sasl) };
        if shared.failed_logins.is_over(connection.traffic.peer.ip(), self.now_ms) {
            return Outcome::Refused("its address has failed too often".to_owned());
        }
        let state = match connection.sasl.take() {
            Some(state) => *state,
            None => match &shared.kerberos {
                Some(logins) => SaslState::Kerberos(logins.begin()),
                None => {
                    let nonce = nonce(&shared.nonce_secret, connection.token);
                    SaslState::DigestMd5(Server::new(Service::CLIENTS, nonce))
                }
            },
        };
        match state {
            SaslState::DigestMd5(mut server) => {
                let step = server.step(token, |user| password(sasl, user));
                connection.sasl = Some(Box::new(SaslState::DigestMd5(server)));
                match step {
                    Ok(Step::Challenge(challenge)) => Outcome::Continues(Some(challenge)),
                    Ok(Step::Accepted(Accepted { token, user })) => {
                        accepted(sasl, &connection.identities, &user, Some(token))
                    }
                    Err(refused) => Outcome::Refused(refused.to_string()),
                }
            }
            SaslState::Kerberos(exchange) => {
                connection.sasl = Some(Box::new(SaslState::KerberosAway));
                let is_taken = shared
                    .kerberos
                    .as_ref()
                    .is_some_and(|logins| logins.submit(connection.token, self.number, xid, token, exchange));
                if is_taken {
                    return Outcome::Later;
                }
                connection.sasl = None;
                Outcome::Refused("too many logins wait".to_owned())
            }
            SaslState::Absent(_) | SaslState::KerberosAway => Outcome::Refused("it cannot go on".to_owned()),
        }
    }

    /// Answers clients whose steps of Kerberos are done.
    pub(super) fn finish_logins(&mut self) {
        let shared = Arc::clone(&self.shared);
        let (Some(logins), Some(sasl)) = (&shared.kerberos, &shared.config.requests.sasl) else { return };
        for Answer { connection: token, xid, exchange, step } in logins.take(self.number) {
            let slot = slot_of(token);
            let connection = self.connections.get_mut(slot).filter(|connection| connection.token == token);
            let Some(connection) = connection else { continue };
            connection.sasl = Some(Box::new(SaslState::Kerberos(exchange)));
            if connection.phase != Phase::Open {
                continue;
            }
            let outcome = match step {
                Ok(gssapi::Step::Continue(token)) => Outcome::Continues(Some(token)),
                Ok(gssapi::Step::Accepted(name)) => accepted(sasl, &connection.identities, &name, None),
                Err(error) => Outcome::Refused(error.to_string()),
            };
            self.finish_step(slot, xid, outcome);
            self.may_resume(slot);
        }
    }

    /// Ends the connection of a client that failed, unless it may go on without authentication.
    fn refuse_sasl(&mut self, slot: usize, xid: i32, reason: &str) {
        let shared = Arc::clone(&self.shared);
        let requests = &shared.config.requests;
        let Some(connection) = self.connections.get_mut(slot) else { return };
        let peer = connection.traffic.peer;
        tracing::warn!(%peer, reason, "SASL authentication failed");
        shared.counts.auth_failed.fetch_add(1, Relaxed);
        shared.failed_logins.record(peer.ip(), self.now_ms);
        let is_required =
            requests.enforced_schemes.as_ref().is_some_and(|schemes| schemes.iter().any(|name| name == SASL));
        if requests.sasl.as_ref().is_some_and(|sasl| sasl.keep_failed) && !is_required {
            return self.reply_sasl(slot, xid, ErrorCode::Ok, None);
        }
        connection.phase = Phase::Closing;
        let code = if is_required { ErrorCode::SessionClosedRequireSaslAuth } else { ErrorCode::AuthFailed };
        self.reply_sasl(slot, xid, code, None);
    }

    fn reply_sasl(&mut self, slot: usize, xid: i32, code: ErrorCode, token: Option<&[u8]>) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        let out = connection.output();
        let mark = frame::begin(out);
        ReplyHeader { xid, zxid: 0, err: code as i32 }.encode(out);
        SaslReply { token }.encode(out);
        frame::finish(out, mark);
        self.count_sent(slot);
        self.list(slot);
    }

    /// Gives a connection identities, for its requests and for its watches.
    pub(super) fn set_identities(&mut self, slot: usize, identities: Identities) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        connection.identities = Arc::new(identities);
        let namespace = self.shared.namespace(connection.group);
        namespace.watches.lock().register(watcher(connection.token), &connection.identities);
    }

    /// Whether the client may only authenticate so far (`AuthenticationHelper`).
    pub(super) fn must_authenticate(&self, slot: usize) -> bool {
        let Some(schemes) = &self.shared.config.requests.enforced_schemes else { return false };
        let has_one = |identities: &Identities| {
            identities.iter().any(|(scheme, _)| schemes.iter().any(|enforced| enforced == scheme))
        };
        self.connections.get(slot).is_some_and(|connection| !has_one(&connection.identities))
    }

    /// Ends the connection of a client that does anything else before it has authenticated.
    pub(super) fn refuse_unauthenticated(&mut self, slot: usize, header: &RequestHeader) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        tracing::warn!(peer = %connection.traffic.peer, "the client has to authenticate first");
        connection.phase = Phase::Closing;
        let out = connection.output();
        let mark = frame::begin(out);
        let err = ErrorCode::SessionClosedRequireSaslAuth as i32;
        ReplyHeader { xid: header.xid, zxid: 0, err }.encode(out);
        frame::finish(out, mark);
        self.count_sent(slot);
        self.list(slot);
    }
}

/// A server without SASL answers with nothing, but not for ever.
fn step_without_sasl(state: &mut Option<Box<SaslState>>) -> Outcome {
    let answers = match state.as_deref() {
        Some(SaslState::Absent(answers)) => answers + 1,
        _ => 1,
    };
    *state = Some(Box::new(SaslState::Absent(answers)));
    match answers > ANSWERS_WITHOUT_SASL_MAX {
        true => Outcome::Refused("this server does not have SASL".to_owned()),
        false => Outcome::Continues(None),
    }
}

fn password<'s>(sasl: &'s config::Sasl, user: &str) -> Option<&'s Secret> {
    let Mechanism::DigestMd5(users) = &sasl.mechanism else { return None };
    users.iter().find(|(known, _)| known == user).map(|(_, password)| password)
}

/// The client has proven this name.
fn accepted(sasl: &config::Sasl, before: &Identities, name: &str, token: Option<Vec<u8>>) -> Outcome {
    match identities(sasl, before, name) {
        Some(identities) => Outcome::Accepted(identities, token),
        None => Outcome::Refused(format!("{name} cannot have an identity")),
    }
}

/// The identities of a client that has proven this name; `None` if the name is malformed, or there
/// is no room for one more identity.
fn identities(sasl: &config::Sasl, before: &Identities, name: &str) -> Option<Identities> {
    let id = sasl.naming.identity(name)?;
    let mut identities = before.clone();
    let is_super = sasl.super_users.contains(&id);
    let fits = identities.try_add(SASL, &id) && (!is_super || identities.try_add(SUPER, ""));
    fits.then_some(identities)
}

/// A nonce that no other connection of this process gets, and that nobody can foresee.
fn nonce(secret: &[u8; 32], token: Token) -> Nonce {
    let hash = Sha256::new().chain_update(secret).chain_update(token.0.to_be_bytes()).finalize();
    let mut nonce = Nonce::default();
    let length = nonce.len();
    nonce.copy_from_slice(&hash[..length]);
    nonce
}

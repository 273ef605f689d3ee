//! A request that waits for the program's answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use server::handler::{Answer, Question};
use server::shared::Shared;
use wire::ErrorCode;
use wire::opcode::Opcode;
use wire::record::Request as Record;

use super::method::Method;
use super::multi;
use super::subject::Subject;
use super::value::Value;

/// A request of a client, which must be finished once. One that is dropped before fails with
/// `SystemError`.
pub struct Request {
    pub(super) shared: Arc<Shared>,
    pub(super) question: Question,
    is_finished: AtomicBool,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request").field("question", &self.question).finish_non_exhaustive()
    }
}

impl Request {
    pub(super) fn new(shared: &Arc<Shared>, question: Question) -> Request {
        Request { shared: Arc::clone(shared), question, is_finished: AtomicBool::new(false) }
    }

    pub(super) fn operation(&self) -> Opcode {
        self.question.asked.operation
    }

    /// The record of the request.
    pub(super) fn record(&self) -> Option<Record<'_>> {
        Record::decode(self.operation(), &self.question.asked.body).ok()
    }

    /// What it asks for; one for each part of a `multi` or `multiRead`.
    pub fn subjects(&self) -> Vec<Subject<'_>> {
        match self.record() {
            Some(Record::Multi(parts) | Record::MultiRead(parts)) => {
                parts.iter().filter_map(|part| Subject::of(&part)).collect()
            }
            Some(record) => Subject::of(&record).into_iter().collect(),
            None => Vec::new(),
        }
    }

    /// Whether all its paths are such as znodes can have. No method is asked about others: the
    /// built-in tree refuses them.
    pub(super) fn has_valid_paths(&self) -> bool {
        self.subjects().iter().all(|subject| match subject.method {
            Method::Authenticate => true,
            Method::Create if subject.is_sequential => wire::path::validate_sequential(subject.path).is_ok(),
            _ => wire::path::validate(subject.path).is_ok(),
        })
    }

    /// Whether it is a `multi` or `multiRead`, whose parts are asked about one by one.
    pub fn has_parts(&self) -> bool {
        matches!(self.operation(), Opcode::Multi | Opcode::MultiRead)
    }

    /// Asks about each subject and gives the client the answer. Of a `multi`, an error or a value
    /// for one part refuses all of them.
    pub fn answer_parts(&self, ask: &mut dyn FnMut(&Subject<'_>) -> Result<Option<Value>, ErrorCode>) {
        let answer = multi::ask(self, ask);
        multi::finish(self, answer);
    }

    /// The parts of a `multi` or `multiRead`; `None` of any other request.
    pub(super) fn parts(&self) -> Option<Vec<Record<'_>>> {
        match self.record() {
            Some(Record::Multi(parts) | Record::MultiRead(parts)) => Some(parts.iter().collect()),
            _ => None,
        }
    }

    /// Whether it is a `multi`, whose writes succeed or fail together.
    pub fn is_multi(&self) -> bool {
        self.operation() == Opcode::Multi
    }

    /// The client's session.
    pub fn session(&self) -> i64 {
        self.question.asked.session
    }

    /// The client's address.
    pub fn peer(&self) -> SocketAddr {
        self.question.asked.peer
    }

    /// Who the client is: schemes and ids, as in ACLs.
    pub fn identities(&self) -> impl Iterator<Item = (&str, &str)> {
        self.question.asked.identities.iter()
    }

    /// Gives the client its answer: that of the built-in tree for `Ok(None)`. Only the first answer
    /// counts.
    pub fn finish(&self, answer: Result<Option<Value>, ErrorCode>) {
        let answer = match (answer, self.subjects().first()) {
            (Ok(None), _) => Answer::BuiltIn,
            (Ok(Some(Value::Identity(id))), Some(subject)) if subject.method == Method::Authenticate => {
                Answer::Proven { scheme: subject.path.to_owned(), id }
            }
            (Ok(Some(value)), Some(subject)) if value.fits(subject.method) => {
                let mut body = Vec::new();
                value.encode(self.operation(), &mut body);
                Answer::Reply { code: ErrorCode::Ok, body }
            }
            (Ok(Some(value)), subject) => {
                tracing::error!(?subject, ?value, "a method answers with a value of another method");
                Answer::Reply { code: ErrorCode::SystemError, body: Vec::new() }
            }
            (Err(code), _) => Answer::Reply { code, body: Vec::new() },
        };
        self.close(answer);
    }

    pub(super) fn close(&self, answer: Answer) {
        if !self.is_finished.swap(true, Relaxed) {
            self.shared.answer(self.question.id, answer);
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.close(Answer::Reply { code: ErrorCode::SystemError, body: Vec::new() });
    }
}

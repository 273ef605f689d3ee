//! Requests with several parts.
//!
//! The writes of a `multi` succeed or fail together, which only the built-in tree can promise: each
//! part is asked about, and an error refuses all of them, but a value does too. The reads of a
//! `multiRead` are independent, so each gets its own answer.

use server::handler::Answer;
use wire::ErrorCode;
use wire::opcode::Opcode;
use wire::record::{ErrorReply, MultiHeader};

use super::request::Request;
use super::subject::Subject;
use super::value::Value;

/// What methods say about one subject.
type Ask<'a> = &'a mut dyn FnMut(&Subject<'_>) -> Result<Option<Value>, ErrorCode>;

/// The answer to a whole request.
pub(super) enum Whole {
    /// To a request with one subject.
    One(Result<Option<Value>, ErrorCode>),
    /// The record of the reply to a request with parts; `None`: the built-in tree goes on.
    Parts(Option<Vec<u8>>),
}

/// Asks about each subject of a request.
pub(super) fn ask(request: &Request, ask: Ask<'_>) -> Whole {
    match request.operation() {
        Opcode::Multi => Whole::Parts(ask_writes(request, ask)),
        Opcode::MultiRead => Whole::Parts(Some(ask_reads(request, ask))),
        _ => Whole::One(request.subjects().first().map_or(Ok(None), ask)),
    }
}

/// Gives the client the answer.
pub(super) fn finish(request: &Request, answer: Whole) {
    match answer {
        Whole::One(answer) => request.finish(answer),
        Whole::Parts(None) => request.close(Answer::BuiltIn),
        Whole::Parts(Some(body)) => request.close(Answer::Reply { code: ErrorCode::Ok, body }),
    }
}

fn ask_writes(request: &Request, ask: Ask<'_>) -> Option<Vec<u8>> {
    let parts = request.parts()?;
    let refused = parts.iter().enumerate().find_map(|(at, part)| {
        let subject = Subject::of(part)?;
        match ask(&subject) {
            Ok(None) => None,
            Err(code) => Some((at, code)),
            Ok(Some(_)) => {
                let Subject { path, operation, .. } = subject;
                tracing::warn!(path, operation, "a method answers a part of a multi, which is refused");
                Some((at, ErrorCode::Unimplemented))
            }
        }
    });
    let (refused, code) = refused?;
    let mut body = Vec::new();
    for at in 0..parts.len() {
        let err = match at.cmp(&refused) {
            std::cmp::Ordering::Less => ErrorCode::Ok,
            std::cmp::Ordering::Equal => code,
            std::cmp::Ordering::Greater => ErrorCode::RuntimeInconsistency,
        };
        put_error(err, &mut body);
    }
    MultiHeader::END.encode(&mut body);
    Some(body)
}

fn ask_reads(request: &Request, ask: Ask<'_>) -> Vec<u8> {
    let mut body = Vec::new();
    for part in request.parts().unwrap_or_default() {
        let operation = part.opcode();
        let answer = Subject::of(&part).map_or(Ok(None), |subject| match ask(&subject)? {
            Some(value) if !value.fits(subject.method) => Err(ErrorCode::SystemError),
            answer => Ok(answer),
        });
        let record = match answer {
            Ok(Some(value)) => {
                let mut record = Vec::new();
                value.encode(operation, &mut record);
                Ok(record)
            }
            Ok(None) => request.execute_raw(&part),
            Err(code) => Err(code),
        };
        match record {
            Ok(record) => {
                MultiHeader { opcode_raw: operation as i32, done: false, err: 0 }.encode(&mut body);
                body.extend_from_slice(&record);
            }
            Err(code) => put_error(code, &mut body),
        }
    }
    MultiHeader::END.encode(&mut body);
    body
}

fn put_error(code: ErrorCode, body: &mut Vec<u8>) {
    let err = code as i32;
    MultiHeader { opcode_raw: Opcode::Error as i32, done: false, err }.encode(body);
    ErrorReply { err }.encode(body);
}

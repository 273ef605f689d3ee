//! Requests answered from this server's own state: reads, watches, and every error that takes no
//! place in the log.
//!
//! One function serves both the connection threads, when the session has nothing in flight, and the
//! replication thread, when the request had to wait for its session's writes.

use std::sync::Arc;

use group::Token;
use state::auth::Identities;
use state::command::Features;
use state::machine::Machine;
use state::read::{Body, Dialect, Piece, Reader, WatchRequest};
use state::watch::{CatchUpError, EventOut, WatchMode, WatchTable};
use wire::ErrorCode;
use wire::event::{AddWatchMode, WatcherType};
use wire::frame;
use wire::jute::Put;
use wire::lenient;
use wire::opcode::Opcode;
use wire::record::{ErrorReply, MultiHeader, ReplyHeader, Request, SetWatches, SyncReply};

use crate::audit::{Event, reads};
use crate::client::watcher;
use crate::mailbox::Answered;
use crate::namespace::Namespace;
use crate::shared::Shared;

/// The client that asks.
pub(crate) struct Asker<'a> {
    /// The group whose client it is.
    pub(crate) namespace: &'a Namespace,
    pub(crate) token: Token,
    pub(crate) session: i64,
    pub(crate) identities: &'a Arc<Identities>,
    pub(crate) dialect: Dialect,
}

impl Asker<'_> {
    fn reader(&self, shared: &Shared) -> Reader<'_> {
        Reader {
            session: self.session,
            identities: self.identities,
            features: shared.features,
            dialect: self.dialect,
            request_bytes_max: shared.config.connection.request_bytes_max,
        }
    }
}

/// Whether a client may send this request at all. Others are answered `Unimplemented`, and the
/// connection is closed, as in ZooKeeper.
pub(crate) fn is_offered(op: Opcode, features: Features) -> bool {
    op.alone().is_admitted(features.has(Features::KEEPER_EXTENSIONS))
}

/// Appends the reply to `out`.
pub(crate) fn answer(
    shared: &Shared,
    machine: &Machine,
    asker: &Asker<'_>,
    xid: i32,
    opcode: i32,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Answered {
    let mut rewritten = None;
    let request = match Opcode::from_i32(opcode).filter(|op| is_offered(*op, shared.features)) {
        None => Err(ErrorCode::Unimplemented),
        Some(op) => match Request::decode(op, body) {
            Ok(request) => Ok(request),
            Err(_) => {
                rewritten = lenient::understood(op, body);
                let body = rewritten.as_ref().map_or(&[][..], |understood| &understood.body);
                Request::decode(op, body).map_err(|_| ErrorCode::MarshallingError)
            }
        },
    };
    // Their events are frames of their own and come first.
    let caught_up = match &request {
        Ok(Request::SetWatches(wanted)) => set_watches(shared, machine, asker, wanted, out),
        _ => Ok(()),
    };
    let quirks = Quirks::of(&request);
    let mark = frame::begin(out);
    let header = ReplyHeader { xid, zxid: quirks.zxid.unwrap_or(machine.last_zxid()), err: 0 };
    let header_at = out.len();
    header.encode(out);
    let (mut pieces, mut closes) = (Vec::new(), false);
    let decided = caught_up.and(request).and_then(|request| {
        let decided = decided(shared, machine, asker, &request, out);
        audit(shared, machine, asker, &request, decided.as_ref().err().copied());
        decided
    });
    match decided {
        Ok(long) => {
            pieces = long;
            if rewritten.as_ref().is_some_and(|understood| understood.stumbles) {
                let code = ErrorCode::MarshallingError as i32;
                let mut refusal = Vec::with_capacity(ReplyHeader::ENCODED_LEN);
                ReplyHeader { err: code, ..header }.encode(&mut refusal);
                out[header_at..header_at + refusal.len()].copy_from_slice(&refusal);
            }
        }
        Err(code) => {
            out.truncate(header_at);
            ReplyHeader { err: code as i32, ..header }.encode(out);
            if let Some(body) = quirks.refused_body {
                body.encode(out);
            }
            closes = code == ErrorCode::Unimplemented;
        }
    }
    frame::finish_around(out, mark, pieces.iter().map(|(_, piece)| piece.len()).sum());
    Answered { reply_at: mark, pieces, closes }
}

/// Adds the events of a read to the audit log, where that is asked for. `refusal`: why it was not
/// answered.
fn audit(
    shared: &Shared,
    machine: &Machine,
    asker: &Asker<'_>,
    request: &Request<'_>,
    refusal: Option<ErrorCode>,
) {
    let Some(log) = shared.audit.as_ref().filter(|log| log.has_reads()) else { return };
    let mut part = |request: &Request<'_>| {
        // The reply has it in the middle of others: this is the same state, and the same answer.
        let mut unused = Vec::new();
        let mut body = Body::new(&mut unused, shared.config.connection.reply_bytes_max as usize);
        machine.read(request, &asker.reader(shared), &mut body, &mut |_| {})
    };
    let code = refusal.unwrap_or(ErrorCode::Ok);
    let mut record = |event: &Event<'_>| shared.record(log, event);
    reads::events(asker.session, asker.identities, request, code, &mut part, &mut record);
}

/// Where ZooKeeper's reply does not follow from what the request did.
#[derive(Default)]
struct Quirks {
    /// Sent instead of the last zxid.
    zxid: Option<i64>,
    /// Body behind the header of an error.
    refused_body: Option<MultiHeader>,
}

impl Quirks {
    fn of(request: &Result<Request<'_>, ErrorCode>) -> Quirks {
        let none = Quirks::default();
        match request {
            // An unknown operation has none either (`UnimplementedRequestProcessor`).
            Err(ErrorCode::Unimplemented) => Quirks { zxid: Some(-1), ..none },
            // ZooKeeper decodes a multiRead that has writes only, and finds that they cannot be
            // read when it has begun the result, which it sends as it is. One that also has reads
            // is not decoded at all.
            Ok(Request::MultiRead(parts)) if parts.iter().all(|part| part.opcode().is_write()) => {
                Quirks { refused_body: Some(MultiHeader::END), ..none }
            }
            _ => none,
        }
    }
}

fn decided(
    shared: &Shared,
    machine: &Machine,
    asker: &Asker<'_>,
    request: &Request<'_>,
    out: &mut Vec<u8>,
) -> Result<Vec<(usize, Piece)>, ErrorCode> {
    match request {
        Request::Ping | Request::SetWatches(_) => {}
        // Everything this session wrote before is applied by now, and a standalone server has no
        // leader to catch up with.
        Request::Sync(sync) if sync.path == lenient::NULL_PATH => out.put_opt_str(None),
        Request::Sync(sync) => SyncReply { path: sync.path }.encode(out),
        // Only a multi that has no place in the log gets here: see `logged_body`.
        Request::Multi(_) => return Err(ErrorCode::MarshallingError),
        Request::AddWatch(_) | Request::CheckWatches(_) | Request::RemoveWatches(_) => {
            watching(asker, request, out)?
        }
        _ => return read(shared, machine, asker, request, out),
    }
    Ok(Vec::new())
}

/// Reads, and registers the requested watch while the machine is still held.
fn read(
    shared: &Shared,
    machine: &Machine,
    asker: &Asker<'_>,
    request: &Request<'_>,
    out: &mut Vec<u8>,
) -> Result<Vec<(usize, Piece)>, ErrorCode> {
    let mut added = Ok(());
    let mut watch = |wanted: WatchRequest<'_>| {
        added = add(&mut asker.namespace.watches.lock(), asker, wanted.path, wanted.part.into());
    };
    let mut body = Body::new(out, shared.config.connection.reply_bytes_max as usize);
    let code = machine.read(request, &asker.reader(shared), &mut body, &mut watch);
    // Without the watch the client would wait for ever, so it gets no reply that promises one.
    added?;
    if code == ErrorCode::Ok { Ok(body.finish()) } else { Err(code) }
}

/// Adds a watch, unless the connection has ended or there are too many (`ostler.watchesMax`).
fn add(watches: &mut WatchTable, asker: &Asker<'_>, path: &str, mode: WatchMode) -> Result<(), ErrorCode> {
    let watcher = watcher(asker.token);
    if !watches.is_registered(watcher) {
        return Ok(());
    }
    watches.add(path, mode, watcher).map_err(|limit| {
        tracing::warn!(session = format_args!("{:#x}", asker.session), "a watch was refused: {limit}");
        ErrorCode::SystemError
    })
}

/// The requests that only concern watches.
fn watching(asker: &Asker<'_>, request: &Request<'_>, out: &mut Vec<u8>) -> Result<(), ErrorCode> {
    let mut watches = asker.namespace.watches.lock();
    let watcher = watcher(asker.token);
    let kind = |number| WatcherType::from_i32(number).ok_or(ErrorCode::MarshallingError);
    let found = match request {
        Request::AddWatch(wanted) => {
            let mode = AddWatchMode::from_i32(wanted.mode).ok_or(ErrorCode::MarshallingError)?;
            add(&mut watches, asker, wanted.path, mode.into())?;
            ErrorReply { err: 0 }.encode(out);
            true
        }
        Request::CheckWatches(asked) => watches.contains(asked.path, kind(asked.watcher_type)?, watcher),
        Request::RemoveWatches(asked) => watches.remove(asked.path, kind(asked.watcher_type)?, watcher),
        _ => unreachable!("decided sends only the requests about watches here"),
    };
    if found { Ok(()) } else { Err(ErrorCode::NoWatcher) }
}

/// A reconnected client sets its watches again. Events that it has missed go out ahead of the
/// reply.
fn set_watches(
    shared: &Shared,
    machine: &Machine,
    asker: &Asker<'_>,
    wanted: &SetWatches<'_>,
    events: &mut Vec<u8>,
) -> Result<(), ErrorCode> {
    let mut watches = asker.namespace.watches.lock();
    let watcher = watcher(asker.token);
    if !watches.is_registered(watcher) {
        return Ok(());
    }
    let reader = asker.reader(shared);
    let mut deliver = |_, event: &EventOut| events.extend_from_slice(&event.frame);
    watches.set_watches(watcher, wanted, machine.tree(), &reader, &mut deliver).map_err(|why| match why {
        CatchUpError::Null => ErrorCode::MarshallingError,
        CatchUpError::Limit(limit) => {
            tracing::warn!(session = format_args!("{:#x}", asker.session), "watches were refused: {limit}");
            ErrorCode::SystemError
        }
    })
}

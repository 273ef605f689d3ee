//! Requests answered from this server's own state: reads, watches, and everything that is refused without a place in the log.
//!
//! One function serves both the connection threads, when nothing of the session is in flight, and the replication thread, when the
//! request had to wait for its session's writes.

use std::sync::Arc;

use replica::Token;
use state::auth::Identities;
use state::command::Features;
use state::machine::Machine;
use state::read::{LargeListing, Reader};
use state::watch::WatchTable;
use wire::ErrorCode;
use wire::frame;
use wire::opcode::Opcode;
use wire::record::{ErrorReply, ReplyHeader, Request, SyncReply};

use crate::io::watcher;
use crate::shared::Shared;

/// Directories with at least this many children are listed without the machine.
const LARGE_CHILDREN: u32 = 1024;

/// Who asks.
pub(crate) struct Asker<'a> {
    pub(crate) token: Token,
    pub(crate) session: i64,
    pub(crate) identities: &'a Arc<Identities>,
}

/// What remains to be done after [`answer`].
pub(crate) enum Verdict {
    /// Nothing: the reply is complete.
    Answered,
    /// The reply is there but for the names of a large directory, which are written without the machine.
    Large(LargeReply),
    /// The reply is complete, and the connection ends with it.
    Close,
}

/// The rest of a reply.
pub(crate) struct LargeReply {
    listing: LargeListing,
    mark: usize,
}

impl LargeReply {
    /// Completes the reply at the end of `out`, where [`answer`] began it.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        self.listing.write(out);
        frame::finish(out, self.mark);
    }
}

/// Whether a client of this server may ask for it at all. Others are answered `Unimplemented`, and the connection is closed, as ZooKeeper does.
pub(crate) fn is_offered(op: Opcode, features: Features) -> bool {
    match op {
        // `check` exists inside a multi only; the others are for the log and the wire alone (reference 1.2).
        Opcode::Check
        | Opcode::CreateSession
        | Opcode::DeleteContainer
        | Opcode::Notification
        | Opcode::Error => false,
        op => (op as i32) < Opcode::FilteredList as i32 || features.has(Features::KEEPER_EXTENSIONS),
    }
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
) -> Verdict {
    let mark = frame::begin(out);
    let mut header = ReplyHeader { xid, zxid: machine.last_zxid(), err: 0 };
    let header_at = out.len();
    header.encode(out);
    let result = match Opcode::from_i32(opcode).filter(|op| is_offered(*op, shared.features)) {
        None => Err(ErrorCode::Unimplemented),
        Some(op) => match Request::decode(op, body) {
            Err(_) => Err(ErrorCode::MarshallingError),
            Ok(request) => decided(shared, machine, asker, &request, out),
        },
    };
    match result {
        Ok(None) => {
            frame::finish(out, mark);
            Verdict::Answered
        }
        Ok(Some(listing)) => Verdict::Large(LargeReply { listing, mark }),
        Err(code) => {
            let close = code == ErrorCode::Unimplemented;
            if close {
                header.zxid = 0;
            }
            header.err = code as i32;
            out.truncate(header_at);
            header.encode(out);
            frame::finish(out, mark);
            if close { Verdict::Close } else { Verdict::Answered }
        }
    }
}

fn decided(
    shared: &Shared,
    machine: &Machine,
    asker: &Asker<'_>,
    request: &Request<'_>,
    out: &mut Vec<u8>,
) -> Result<Option<LargeListing>, ErrorCode> {
    match request {
        Request::Ping => {}
        // Whatever this session wrote before is applied by now, and alone there is nobody to be behind.
        Request::Sync(sync) => SyncReply { path: sync.path }.encode(out),
        // As a ZooKeeper without SASL: there is nobody to talk to, and no harm in saying so.
        Request::Sasl(_) => return Err(ErrorCode::AuthFailed),
        Request::SetWatches(_)
        | Request::AddWatch(_)
        | Request::CheckWatches(_)
        | Request::RemoveWatches(_) => watching(shared, machine, asker, request, out)?,
        _ => return read(shared, machine, asker, request, out),
    }
    Ok(None)
}

/// Reads, and registers the watch that was asked for while the machine is still held.
fn read(
    shared: &Shared,
    machine: &Machine,
    asker: &Asker<'_>,
    request: &Request<'_>,
    out: &mut Vec<u8>,
) -> Result<Option<LargeListing>, ErrorCode> {
    let reader = Reader { session: asker.session, identities: asker.identities, features: shared.features };
    let mut full = false;
    let mut watch = |wanted: state::read::WatchRequest<'_>| {
        let mut watches = shared.watches.lock();
        if has_room(shared, &watches, 1) {
            watches.register(watcher(asker.token), asker.identities);
            watches.add_one_shot(watcher(asker.token), wanted);
        } else {
            full = true;
        }
    };
    if let Some(large) = machine.large_listing(request, &reader, LARGE_CHILDREN, &mut watch) {
        return if full { Err(ErrorCode::SystemError) } else { Ok(Some(large)) };
    }
    match machine.read(request, &reader, out, &mut watch) {
        _ if full => Err(ErrorCode::SystemError),
        ErrorCode::Ok => Ok(None),
        code => Err(code),
    }
}

/// Whether so many more watches fit (`ostler.watchesMax`).
fn has_room(shared: &Shared, watches: &WatchTable, more: usize) -> bool {
    (watches.len() + more) as u64 <= shared.config.requests.watches_max
}

fn watching(
    shared: &Shared,
    machine: &Machine,
    asker: &Asker<'_>,
    request: &Request<'_>,
    out: &mut Vec<u8>,
) -> Result<(), ErrorCode> {
    let _ = (shared, machine, asker, request, ErrorReply { err: 0 }, out);
    Ok(())
}

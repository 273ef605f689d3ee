//! multiRead: several reads in one, each with its own result.

use wire::code::ErrorCode;
use wire::record::{Multi, MultiHeader, MultiResult, Request};

use super::body::TOO_LONG;
use super::{Body, Dialect, Reader, WatchRequest, WatchSink, WatchedPart};
use crate::data_tree::{DataTree, Direct, plan_check, plan_check_not_exists, plan_check_stat};

/// Maximum length of a result's header, or of a failed result.
const HEADER_BYTES_MAX: usize = 16;

impl DataTree {
    pub(super) fn multi_read(
        &self,
        multi: &Multi<'_>,
        reader: &Reader<'_>,
        body: &mut Body<'_>,
        watch: &mut WatchSink<'_>,
    ) -> Result<(), ErrorCode> {
        if !multi.iter().all(|operation| may_stand_in_multi_read(&operation, reader)) {
            return Err(ErrorCode::MarshallingError);
        }
        // A reply that becomes too long is refused as a whole, including its watches.
        let mut watched: Vec<(WatchedPart, String)> = Vec::new();
        for operation in *multi {
            let mark = body.mark();
            body.make_room(HEADER_BYTES_MAX)?;
            MultiHeader { opcode_raw: operation.opcode() as i32, done: false, err: 0 }.encode(body.short());
            let result = self.part(&operation, reader, body, &mut |wanted: WatchRequest<'_>| {
                // ZooKeeper silently drops the watches of these reads.
                if reader.has_extensions() {
                    watched.push((wanted.part, wanted.path.to_owned()));
                }
            });
            match result {
                Ok(()) => {}
                Err(TOO_LONG) => return Err(TOO_LONG),
                Err(code) => {
                    body.back_to(mark);
                    failed(reader.dialect, &operation, code).encode(body.short());
                }
            }
        }
        MultiHeader::END.encode(body.short());
        watched.iter().for_each(|(part, path)| watch(WatchRequest { part: *part, path }));
        Ok(())
    }

    fn part(
        &self,
        operation: &Request<'_>,
        reader: &Reader<'_>,
        body: &mut Body<'_>,
        watch: &mut WatchSink<'_>,
    ) -> Result<(), ErrorCode> {
        let (view, context) = (Direct(self), reader.context());
        match operation {
            Request::Check(check) => plan_check(&view, &context, check).map(drop),
            Request::CheckNotExists(check) => plan_check_not_exists(&view, &context, check).map(drop),
            Request::CheckStat(check) => plan_check_stat(&view, &context, check).map(drop),
            other => self.answer(other, reader, body, watch),
        }
    }
}

/// The result of a failed part.
fn failed<'r>(dialect: Dialect, operation: &Request<'_>, code: ErrorCode) -> MultiResult<'r> {
    match dialect {
        Dialect::ZooKeeper => MultiResult::Error(code as i32),
        Dialect::Keeper => MultiResult::Failed { opcode: operation.opcode(), err: code as i32 },
    }
}

/// Whether the operation may be part of a multiRead. ZooKeeper accepts reads of data and children,
/// and fails to decode a request with any other operation. The extensions add the other reads and
/// the checks.
fn may_stand_in_multi_read(operation: &Request<'_>, reader: &Reader<'_>) -> bool {
    operation.opcode().in_multi_read().is_admitted(reader.has_extensions())
}

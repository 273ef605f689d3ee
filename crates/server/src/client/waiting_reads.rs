//! Which reads may wait behind their connection's own writes, and which wait until it has nothing
//! in flight.
//!
//! A read sent behind a write is answered right after the write is applied, by the applying thread,
//! which holds the state while everything else waits. So only reads that are almost free are handed
//! to it, and only a limited number per connection: a znode, or the names of its children, whose
//! long forms are shared and not copied (`state::read::Piece`). Any other read, and what was sent
//! behind it, waits until everything that its connection sent before is answered; then its own
//! connection thread answers it, with nothing in flight.

use std::sync::Arc;

use group::{LocalRequest, RequestId};
use wire::opcode::Opcode;
use wire::record::{ListKind, Request, RequestHeader};

use super::IoThread;
use super::session_queue::{Kind, Unanswered};

/// Budget of reads that may wait behind the writes of a connection, in places.
pub(super) const PLACES: usize = 64;

/// How many places a read takes behind a write; `None` if it cannot wait there. A malformed or
/// unknown request takes one, for its error.
pub(super) fn places(opcode: i32, body: &[u8]) -> Option<usize> {
    use Opcode as O;
    let Some(op) = Opcode::from_i32(opcode) else { return Some(1) };
    match op {
        O::MultiRead | O::FilteredList => {
            // A malformed request gets an error, which is short.
            Request::decode(op, body).map_or(Some(1), |request| places_of(&request))
        }
        O::GetAcl
        | O::GetEphemerals
        | O::GetAllChildrenNumber
        | O::WhoAmI
        | O::SetWatches
        | O::SetWatches2
        | O::FilteredListWithStatsAndData
        | O::ListRecursive => None,
        _ => Some(1),
    }
}

fn places_of(request: &Request<'_>) -> Option<usize> {
    match request {
        Request::MultiRead(parts) => {
            let few = parts.len() <= PLACES && parts.iter().all(|part| places_of(&part).is_some());
            few.then_some(parts.len().max(1))
        }
        Request::FilteredList(list) => (list.kind == ListKind::All).then_some(1),
        Request::FilteredListWithStatsAndData(_) => None,
        _ => Some(1),
    }
}

impl IoThread {
    /// Whether the next request of a connection has to wait until nothing is unanswered. It then
    /// stays in the input.
    pub(super) fn waits_for_idle(&mut self, slot: usize, header: &RequestHeader, body: &[u8]) -> bool {
        let Some(connection) = self.connections.get_mut(slot) else { return false };
        let is_caught_up = connection.is_caught_up;
        let catches_up =
            !connection.read_only && !is_caught_up && self.shared.has_to_catch_up(header.opcode_raw);
        connection.waits_for_idle = false;
        let is_first = connection.requests.is_empty();
        if is_first && !catches_up {
            return false;
        }
        let has_places = |places| is_first || connection.requests.read_places() + places <= PLACES;
        if places(header.opcode_raw, body).is_some_and(has_places) {
            return false;
        }
        connection.waits_for_idle = true;
        if is_first {
            self.catch_up(slot);
        }
        self.pause(slot);
        true
    }

    /// Obtains a read ticket for a read that only this thread answers: by a sync whose reply does
    /// not go to the client.
    fn catch_up(&mut self, slot: usize) {
        let own = Unanswered { kind: Kind::Own, ..self.begin_request(Opcode::Sync as i32, &[]) };
        let Some(connection) = self.connections.get_mut(slot) else { return };
        let id = RequestId { token: connection.token, number: connection.requests.push(own) };
        self.submit_local(slot, id, &RequestHeader { xid: 0, opcode_raw: Opcode::Sync as i32 }, &[0; 4]);
    }

    /// Submits a request that is answered from this server's state, after the session's earlier
    /// ones, under this number.
    pub(super) fn submit_local(&mut self, slot: usize, id: RequestId, header: &RequestHeader, body: &[u8]) {
        let Some(connection) = self.connections.get(slot) else { return };
        let request = LocalRequest {
            xid: header.xid,
            opcode: header.opcode_raw,
            body: body.into(),
            identities: Arc::clone(&connection.identities),
            dialect: connection.dialect,
        };
        self.submissions.of(connection.group).local(id, connection.session, request);
        self.submitted += 1;
    }

    /// Records whether the next request of a connection already has its read ticket.
    pub(super) fn caught_up(&mut self, slot: usize, is_caught_up: bool) {
        if let Some(connection) = self.connections.get_mut(slot) {
            connection.is_caught_up = is_caught_up;
        }
    }
}

#[cfg(test)]
mod tests {
    use wire::record::{GetData, ListRecursive, Multi};

    use super::*;

    fn places_for(request: &Request<'_>) -> Option<usize> {
        let mut body = Vec::new();
        request.encode(&mut body);
        places(request.opcode() as i32, &body)
    }

    #[test]
    fn only_reads_that_cost_little_wait_behind_writes() {
        let get = || Request::GetData(GetData { path: "/a", watch: false });
        let all = ListRecursive { path: "/", limit: 1 };
        assert_eq!(places_for(&get()), Some(1));
        assert_eq!(places_for(&Request::ListRecursive(all)), None);
        let mut buffer = Vec::new();
        for (count, expected) in [(0, Some(1)), (1, Some(1)), (64, Some(64)), (65, None)] {
            let multi = Multi::encode_into((0..count).map(|_| get()), &mut buffer);
            assert_eq!(places_for(&Request::MultiRead(multi)), expected, "{count} reads in one");
        }
        assert_eq!(places(Opcode::MultiRead as i32, b"no multi"), Some(1), "an error is short");
        assert_eq!(places(12345, b""), Some(1), "and so is that of an unknown opcode");
    }
}

//! Which reads may wait behind their connection's own writes, and which wait until nothing of it is
//! in flight.
//!
//! A read that is sent behind a write is answered right after the write is applied, by the thread
//! that applies, while it holds the state and everybody waits. So only such reads are handed to it
//! that cost it next to nothing, and only so many of one connection: a znode or the names of its
//! children, of which long ones are shared and not copied (`state::read::Piece`). Any other read
//! waits until all is answered that its connection sent before, and so does what was sent behind
//! it; then its own connection thread answers it, as one that has nothing to wait for.

use std::sync::Arc;

use group::LocalRequest;
use wire::opcode::Opcode;
use wire::record::{ListKind, Request, RequestHeader};

use super::IoThread;
use super::connection::InFlight;

/// Places of reads that may wait behind the writes of a connection.
pub(super) const PLACES: usize = 64;

/// How many places a read takes behind a write; `None` if it cannot wait there. What is no read
/// takes one, for its refusal.
pub(super) fn places(opcode: i32, body: &[u8]) -> Option<usize> {
    use Opcode as O;
    let Some(op) = Opcode::from_i32(opcode) else { return Some(1) };
    match op {
        O::MultiRead | O::FilteredList => {
            // What cannot be understood is refused, which is short.
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
    /// Whether the next request of a connection has to wait until nothing of it is in flight. It is
    /// left where it is then.
    pub(super) fn waits_alone(&mut self, slot: usize, header: &RequestHeader, body: &[u8]) -> bool {
        let Some(connection) = self.connections.get_mut(slot) else { return false };
        let is_caught_up = connection.is_caught_up;
        let catches_up =
            !connection.read_only && !is_caught_up && self.shared.has_to_catch_up(header.opcode_raw);
        connection.waits_alone = false;
        let is_first = connection.in_flight.is_empty();
        if is_first && !catches_up {
            return false;
        }
        let has_places = |places| is_first || connection.reads_waiting + places <= PLACES;
        if places(header.opcode_raw, body).is_some_and(has_places) {
            return false;
        }
        connection.waits_alone = true;
        if is_first {
            self.catch_up(slot);
        }
        self.pause(slot);
        true
    }

    /// Asks for the moment at which a read may be answered that nobody else answers: by a sync, of
    /// whose reply the client is not told.
    fn catch_up(&mut self, slot: usize) {
        let in_flight = InFlight { is_own: true, ..self.depart(Opcode::Sync as i32, &[]) };
        let Some(connection) = self.connections.get_mut(slot) else { return };
        let (token, session) = (connection.token, connection.session);
        let request = LocalRequest {
            xid: 0,
            opcode: Opcode::Sync as i32,
            body: [0; 4].into(),
            identities: Arc::clone(&connection.identities),
            dialect: connection.dialect,
        };
        self.submission.local(token, session, request);
        self.submitted += 1;
        connection.in_flight.push_back(in_flight);
    }

    /// Notes whether the next request of a connection has waited for the moment at which it may be
    /// answered.
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
        assert_eq!(places(Opcode::MultiRead as i32, b"no multi"), Some(1), "a refusal is short");
        assert_eq!(places(12345, b""), Some(1), "and so is that of what does not exist");
    }
}

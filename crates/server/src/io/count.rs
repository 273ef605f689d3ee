//! What the connections and their thread count of the replies.

use std::sync::atomic::Ordering::Relaxed;

use wire::frame::{self, Split};
use wire::jute::Reader;
use wire::record::ReplyHeader;

use super::IoThread;
use crate::connections::Traffic;

/// A reply that was put into a connection's output.
pub(super) struct Queued {
    opcode: i32,
    header: Option<ReplyHeader>,
    bytes: usize,
}

impl Queued {
    /// The reply to that opcode which ends these frames; the answer to setWatches has events before it.
    pub(super) fn new(opcode: i32, frames: &[u8]) -> Queued {
        let mut last = frames;
        let header = loop {
            let Split::Frame { start, end } = frame::split(last, usize::MAX) else { break None };
            if end == last.len() {
                break ReplyHeader::decode(&mut Reader::new(&last[start..])).ok();
            }
            last = &last[end..];
        };
        Queued { opcode, header, bytes: frames.len() }
    }

    /// What it tells as its zxid.
    pub(super) fn zxid(&self) -> i64 {
        self.header.as_ref().map_or(0, |header| header.zxid)
    }
}

impl IoThread {
    pub(super) fn count_sent(&self, slot: usize) {
        let counts = &self.shared.threads[self.number];
        Traffic::count(&counts.sent, 1);
        if let Some(connection) = self.connections.get(slot) {
            Traffic::count(&connection.traffic.sent, 1);
        }
    }

    /// Counts a reply that was queued that long after its request was read.
    pub(super) fn count_reply(&mut self, slot: usize, reply: &Queued, latency_us: u64) {
        self.count_sent(slot);
        let counts = &self.shared.threads[self.number];
        counts.latency.add(latency_us / 1000, 1);
        counts.response_bytes.add(reply.bytes as u64, 1);
        if let Some(connection) = self.connections.get_mut(slot) {
            connection.queued_reply(reply.bytes);
            let traffic = &connection.traffic;
            if let Some(header) = &reply.header {
                traffic.answered(reply.opcode, header, self.now_ms);
            }
            traffic.latency.add(latency_us / 1000, 1);
            traffic.outstanding.store(connection.in_flight.len() as u64, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(xid: i32, zxid: i64, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mark = frame::begin(&mut out);
        ReplyHeader { xid, zxid, err: 0 }.encode(&mut out);
        out.extend_from_slice(body);
        frame::finish(&mut out, mark);
        out
    }

    #[test]
    fn the_reply_is_behind_the_events() {
        let frames = [frame(-1, -1, b"an event"), frame(-1, -1, b""), frame(-8, 77, b"x")].concat();
        let queued = Queued::new(101, &frames);
        assert_eq!(queued.header, Some(ReplyHeader { xid: -8, zxid: 77, err: 0 }));
        assert_eq!(queued.bytes, frames.len());
    }
}

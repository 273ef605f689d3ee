//! Counts of replies, per connection and per thread.

use std::sync::atomic::Ordering::Relaxed;

use wire::frame;
use wire::jute::Reader;
use wire::record::ReplyHeader;

use super::IoThread;
use crate::connections::Traffic;

/// A reply appended to a connection's output.
pub(super) struct Queued {
    opcode: i32,
    header: Option<ReplyHeader>,
    bytes: usize,
}

impl Queued {
    /// The reply to `opcode`; its frame begins with `frame`. `bytes` is the length of everything
    /// queued with it: the frame, its long parts stored elsewhere, and the events before it.
    pub(super) fn new(opcode: i32, frame: &[u8], bytes: usize) -> Queued {
        let payload = frame.get(frame::LENGTH_BYTES..).unwrap_or_default();
        Queued { opcode, header: ReplyHeader::decode(&mut Reader::new(payload)).ok(), bytes }
    }

    /// The zxid in its header.
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

    /// Counts a reply queued `latency_us` after its request was read.
    pub(super) fn count_reply(&mut self, slot: usize, reply: &Queued, latency_us: u64) {
        self.count_sent(slot);
        let counts = &self.shared.threads[self.number];
        counts.response_bytes.record(reply.bytes as u64);
        if let Some(connection) = self.connections.get_mut(slot) {
            let traffic = &connection.traffic;
            if let Some(header) = &reply.header {
                traffic.answered(reply.opcode, header, self.now_ms);
            }
            traffic.latency.add(latency_us / 1000, 1);
            traffic.outstanding.store(connection.requests.len() as u64, Relaxed);
        }
    }
}

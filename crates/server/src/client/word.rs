//! Four-letter words on the client port.

use super::IoThread;
use super::connection::Phase;
use crate::observe::four_letter::{Answer, Word};
use crate::observe::stats_source::Report;

impl IoThread {
    /// Answers the four-letter word at the start of `bytes` and then closes the connection. Returns
    /// the number of bytes it took; 0 if more must come first.
    pub(super) fn answer_word(&mut self, slot: usize, bytes: &[u8], word: Word) -> usize {
        let report = Report::new(&self.shared);
        let Answer::Text(text) = word.answer(&bytes[4..], &report) else { return 0 };
        if let Some(connection) = self.connections.get_mut(slot) {
            connection.output().extend_from_slice(text.as_bytes());
            connection.output.queued_reply(text.len());
            connection.phase = Phase::Closing;
            self.list(slot);
        }
        bytes.len()
    }
}

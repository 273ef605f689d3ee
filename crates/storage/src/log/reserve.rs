//! Space for entries to be appended, reserved before a leader proposes them.

use super::record::HEAD_BYTES;
use super::{AppendError, Log, Record};

/// Hard state changes that may occur between the entries of one flush.
const HARD_STATES: usize = 2;
/// Resets before the entries of one flush: a snapshot is installed at most once.
const RESETS: usize = 1;

impl Log {
    /// Ensures that entries with data of these lengths, a few hard states and a reset can be
    /// appended before the next flush without [`AppendError::NoSpace`]. A committed entry cannot be
    /// withdrawn, so the leader reserves space before it proposes entries.
    ///
    /// Entries that do not fit into the current segment together all go to the next one. An empty
    /// iterator reserves nothing; for a reset alone, pass one length of 0.
    ///
    /// # Errors
    /// Like [`Log::append`]; an error that is not final changes nothing.
    pub fn reserve(&mut self, data_lengths: impl Iterator<Item = usize>) -> Result<(), AppendError> {
        self.check()?;
        let head = Record::Entry { group: 0, index: 0, term: 0, kind: 0, data: &[] }.encoded_len();
        let state = Record::HardState { group: 0, term: 0, vote: 0, commit: 0 }.encoded_len();
        let reset = Record::Reset { group: 0, index: 0, term: 0 }.encoded_len();
        let mut len = 0;
        for bytes in data_lengths {
            if bytes > super::DATA_BYTES_MAX {
                return Err(AppendError::TooLong { bytes });
            }
            len += head + bytes;
        }
        if len == 0 {
            return Ok(());
        }
        len += HARD_STATES * state + RESETS * reset;
        let due = if self.hard_states_due { self.hard_states_len() } else { 0 };
        let end = u64::from(self.offset) + (due + len + HEAD_BYTES) as u64;
        if end > self.current.len { self.rotate(len) } else { Ok(()) }
    }
}

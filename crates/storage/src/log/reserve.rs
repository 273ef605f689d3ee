//! Room for what is about to be appended, found out before anybody relies on it.

use super::record::HEAD_BYTES;
use super::{AppendError, Log, Record};

/// Changes of the hard state that may come between the entries of one flush.
const HARD_STATES: usize = 2;
/// Resets ahead of the entries of one flush: a snapshot is installed at most once.
const RESETS: usize = 1;

impl Log {
    /// Makes sure that entries with data of these lengths, a few hard states and a reset can be appended before the next flush
    /// without [`AppendError::NoSpace`]. What was agreed upon cannot be taken back, so whoever proposes entries asks here first.
    ///
    /// Entries that do not fit into the current segment together go to the next one together. No lengths promise nothing; for a
    /// reset alone, ask for one entry of no bytes.
    ///
    /// # Errors
    /// As [`Log::append`]; nothing is changed by an error that is not final.
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

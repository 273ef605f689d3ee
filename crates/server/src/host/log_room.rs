//! A member whose disk has no room for what the others commit.
//!
//! A message for which the log has no room does not reach the engine, so such a member falls behind
//! and its state gets more and more out of date. It does not serve clients meanwhile: they find
//! another server. There is room again as soon as the log can take the largest message it refused.

use std::sync::atomic::Ordering::Relaxed;

use storage::log::AppendError;

use super::{Fatal, Host};
use crate::transport::Transport;
use group::event::Event;

/// The size in bytes of the largest message refused, until there is room for it.
#[derive(Debug, Default)]
pub(super) struct LogRoom {
    refused_bytes: Option<usize>,
}

impl<T: Transport> Host<T> {
    /// Makes room in the log for an engine message; returns whether there is room.
    ///
    /// # Errors
    /// The disk failed.
    pub(super) fn make_room(&mut self, bytes: usize) -> Result<bool, Fatal> {
        match self.log.reserve(std::iter::once(bytes)) {
            Ok(()) => Ok(true),
            Err(AppendError::Failed(e)) => Err(e.into()),
            Err(why) => {
                self.shared.counts.messages_refused.fetch_add(1, Relaxed);
                let before = self.log_room.refused_bytes;
                self.log_room.refused_bytes = before.max(Some(bytes));
                if before.is_none() {
                    tracing::error!(
                        "{why}. This server falls behind the others and serves nobody until there is space; nothing acknowledged is lost"
                    );
                    self.tell_all(|| Event::LogIsFull(true));
                }
                Ok(false)
            }
        }
    }

    /// Checks whether there is room again.
    ///
    /// # Errors
    /// The disk failed.
    pub(super) fn look_for_room(&mut self) -> Result<(), Fatal> {
        let Some(bytes) = self.log_room.refused_bytes else { return Ok(()) };
        if self.make_room(bytes)? {
            self.log_room.refused_bytes = None;
            self.tell_all(|| Event::LogIsFull(false));
            tracing::warn!(
                "the disk has room again: this server catches up with the others, then serves clients"
            );
        }
        Ok(())
    }
}

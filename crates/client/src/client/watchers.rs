//! Who is told what a watch reports.
//!
//! The registry is changed and read while the state of the session is locked, by the task that
//! receives. So an event has reached everyone before the reply that shows its change.

use std::collections::HashMap;

use tokio::sync::{mpsc, oneshot};
use wire::event::{AddWatchMode, EventType};

use super::event::SessionEvent;
use super::watches::WatchKind;
use crate::connection::WatchEvent;

/// Takes events while the state of the session is locked, so it must neither wait nor use the
/// session. Returns whether it wants more.
pub(crate) trait Sink<T>: Send {
    fn take(&mut self, event: &T) -> bool;
}

impl<T: Clone + Send> Sink<T> for mpsc::UnboundedSender<T> {
    fn take(&mut self, event: &T) -> bool {
        self.send(event.clone()).is_ok()
    }
}

impl<T: Clone + Send> Sink<T> for std::sync::mpsc::Sender<T> {
    fn take(&mut self, event: &T) -> bool {
        self.send(event.clone()).is_ok()
    }
}

/// What a persistent watch reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchUpdate {
    /// Something has changed.
    Event(WatchEvent),
    /// The connection was lost and there is a new one: what changed in between is not reported, so
    /// what is known must be read again. Comes before the reply to any request on the new
    /// connection.
    Missed,
}

/// A stream of one persistent watch.
struct Stream {
    number: u64,
    mode: AddWatchMode,
    sink: Box<dyn Sink<WatchUpdate>>,
}

/// A one-shot watch that has been set.
struct OneShot {
    kind: WatchKind,
    reply: oneshot::Sender<WatchEvent>,
}

/// Everyone who is told. Paths are those of the server.
#[derive(Default)]
pub(super) struct Watchers {
    subscribers: Vec<Box<dyn Sink<SessionEvent>>>,
    one_shots: HashMap<String, Vec<OneShot>>,
    streams: HashMap<String, Vec<Stream>>,
    last_number: u64,
}

impl Watchers {
    /// Adds a receiver of all events of the session.
    pub(super) fn subscribe(&mut self, subscriber: Box<dyn Sink<SessionEvent>>) {
        self.subscribers.push(subscriber);
    }

    /// Sends an event to all subscribers that still want it.
    pub(super) fn tell(&mut self, event: &SessionEvent) {
        self.subscribers.retain_mut(|subscriber| subscriber.take(event));
    }

    /// A one-shot watch has been set.
    pub(super) fn expect(&mut self, path: &str, kind: WatchKind, reply: oneshot::Sender<WatchEvent>) {
        let waiting = self.one_shots.entry(path.to_owned()).or_default();
        // A caller that repeats a read with a watch and drops the old one must not leave a trace.
        waiting.retain(|one| !one.reply.is_closed());
        waiting.push(OneShot { kind, reply });
    }

    /// Adds a stream of a persistent watch, and returns its number.
    pub(super) fn add_stream(
        &mut self,
        path: &str,
        mode: AddWatchMode,
        sink: Box<dyn Sink<WatchUpdate>>,
    ) -> u64 {
        self.last_number += 1;
        let number = self.last_number;
        self.streams.entry(path.to_owned()).or_default().push(Stream { number, mode, sink });
        number
    }

    /// Removes a stream; returns whether no other needs its watch.
    pub(super) fn remove_stream(&mut self, path: &str, number: u64) -> bool {
        let Some(streams) = self.streams.get_mut(path) else { return false };
        let Some(position) = streams.iter().position(|stream| stream.number == number) else { return false };
        let mode = streams.remove(position).mode;
        let is_last = !streams.iter().any(|stream| stream.mode == mode);
        if streams.is_empty() {
            self.streams.remove(path);
        }
        is_last
    }

    /// An event has come, with its path as the server knows it.
    pub(super) fn fired(&mut self, event: &WatchEvent) {
        let path = event.path.as_str();
        self.fire_one_shots(event);
        if self.streams.is_empty() {
            return;
        }
        let update = WatchUpdate::Event(event.clone());
        let mut watched = path;
        loop {
            for stream in self.streams.get_mut(watched).into_iter().flatten() {
                let is_recursive = stream.mode == AddWatchMode::PersistentRecursive;
                // A recursive watch does not report changes of lists of children.
                let is_meant = match is_recursive {
                    true => event.event_type != EventType::NodeChildrenChanged,
                    false => watched.len() == path.len(),
                };
                if is_meant {
                    stream.sink.take(&update);
                }
            }
            if watched == "/" {
                return;
            }
            watched = wire::path::parent(watched);
        }
    }

    fn fire_one_shots(&mut self, event: &WatchEvent) {
        let Some(waiting) = self.one_shots.get_mut(&event.path) else { return };
        for one in std::mem::take(waiting) {
            if one.kind.is_used_up_by(event.event_type) {
                // A caller that is gone needs no event.
                let _ = one.reply.send(event.clone());
            } else {
                waiting.push(one);
            }
        }
        if waiting.is_empty() {
            self.one_shots.remove(&event.path);
        }
    }

    /// There is a new connection.
    pub(super) fn missed(&mut self) {
        for stream in self.streams.values_mut().flatten() {
            stream.sink.take(&WatchUpdate::Missed);
        }
    }

    /// The session is over.
    pub(super) fn end(&mut self) {
        *self = Self { last_number: self.last_number, ..Self::default() };
    }
}

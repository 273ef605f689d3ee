//! The connections to the AdminServer, and which of them are closed when there are too many.
//!
//! No connection waits for a place: a new connection takes that of an old one, so that any number
//! of idle connections keeps no probe out. Connections with a request still to send and those being
//! answered have separate places, so that neither kind displaces the other. The address with the
//! most connections gives one up first, and of those with a request to send, one that has been
//! answered before.

use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::task::AbortHandle;

/// Most connections that have not sent a whole request. Monitoring needs a handful.
const ASKING_MAX: usize = 64;

/// Most connections that have not read their whole reply.
const ANSWERED_MAX: usize = 64;

/// The stage of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It has a request to send.
    Asking,
    /// It is being answered.
    Answered,
}

/// All connections of one listener. Clones share the table.
#[derive(Clone, Debug, Default)]
pub(super) struct Places(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    next: u64,
    /// Longest in their stage first.
    all: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    address: IpAddr,
    stage: Stage,
    /// It has been answered before.
    was_answered: bool,
    /// Ends the connection; `None` until its task runs.
    task: Option<AbortHandle>,
}

impl Places {
    /// Gives a new connection a place.
    pub(super) fn enter(&self, address: IpAddr) -> Place {
        let mut table = self.0.lock();
        table.next += 1;
        let number = table.next;
        table.all.push(Entry { number, address, stage: Stage::Asking, was_answered: false, task: None });
        table.make_room();
        Place { places: self.clone(), number }
    }

    /// Sets the task to end when the place of this connection is needed.
    pub(super) fn attach(&self, number: u64, task: AbortHandle) {
        let mut table = self.0.lock();
        if let Some(entry) = table.all.iter_mut().find(|entry| entry.number == number) {
            entry.task = Some(task);
        }
    }
}

/// The place of a connection; given up on drop.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    pub(super) number: u64,
}

impl Place {
    /// It is being answered from now on.
    pub(super) fn begin_reply(&self) {
        self.set_stage(Stage::Answered);
    }

    /// The connection may send another request.
    pub(super) fn await_request(&self) {
        self.set_stage(Stage::Asking);
    }

    fn set_stage(&self, stage: Stage) {
        let mut table = self.places.0.lock();
        if let Some(mut entry) = table.take(self.number) {
            entry.stage = stage;
            entry.was_answered |= stage == Stage::Answered;
            table.all.push(entry);
            table.make_room();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.0.lock().take(self.number);
    }
}

impl Table {
    fn take(&mut self, number: u64) -> Option<Entry> {
        let found = self.all.iter().position(|entry| entry.number == number)?;
        Some(self.all.remove(found))
    }

    fn make_room(&mut self) {
        for (stage, max) in [(Stage::Asking, ASKING_MAX), (Stage::Answered, ANSWERED_MAX)] {
            while let Some(victim) = self.victim(stage, max) {
                if let Some(task) = self.all.remove(victim).task {
                    task.abort();
                }
            }
        }
    }

    /// The connection to close if there are more than `max`: of the address with the most of them,
    /// the oldest that has been answered before, or else the oldest.
    fn victim(&self, stage: Stage, max: usize) -> Option<usize> {
        let inside = || self.all.iter().enumerate().filter(|(_, entry)| entry.stage == stage);
        if inside().count() <= max {
            return None;
        }
        let mut by_address: HashMap<IpAddr, usize> = HashMap::new();
        inside().for_each(|(_, entry)| *by_address.entry(entry.address).or_default() += 1);
        // The last of equals is taken, and so the oldest of all.
        let rank = |entry: &Entry| (by_address[&entry.address], entry.was_answered);
        let (position, _) = inside().rev().max_by_key(|(_, entry)| rank(entry))?;
        Some(position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn numbers(places: &Places) -> Vec<u64> {
        places.0.lock().all.iter().map(|entry| entry.number).collect()
    }

    #[test]
    fn a_new_connection_takes_the_place_of_the_oldest() {
        let places = Places::default();
        let held: Vec<Place> = (0..ASKING_MAX as u64 + 2).map(|_| places.enter(address(1))).collect();
        let expected: Vec<u64> = (3..=ASKING_MAX as u64 + 2).collect();
        assert_eq!(numbers(&places), expected);
        drop(held);
        assert!(numbers(&places).is_empty());
    }

    #[test]
    fn many_connections_of_one_address_displace_no_other() {
        let places = Places::default();
        let probe = places.enter(address(1));
        let many: Vec<Place> = (0..1_000).map(|_| places.enter(address(2))).collect();
        assert!(numbers(&places).contains(&probe.number));
        assert_eq!(numbers(&places).len(), ASKING_MAX);
        drop(many);
    }

    #[test]
    fn connections_that_ask_and_those_being_answered_have_separate_places() {
        let places = Places::default();
        let unread: Vec<Place> = (0..ANSWERED_MAX).map(|_| places.enter(address(1))).collect();
        unread.iter().for_each(Place::begin_reply);
        let asking: Vec<Place> = (0..ASKING_MAX).map(|_| places.enter(address(1))).collect();
        assert_eq!(numbers(&places).len(), ANSWERED_MAX + ASKING_MAX);
        // One more is answered: the longest unread reply is displaced.
        asking[0].begin_reply();
        assert!(!numbers(&places).contains(&unread[0].number));
        assert!(numbers(&places).contains(&asking[0].number));
        // A connection that has had an answer yields to those waiting for their first one, however
        // many requests it sends.
        asking[0].await_request();
        let another = places.enter(address(1));
        assert!(!numbers(&places).contains(&asking[0].number));
        assert!(asking[1..].iter().all(|place| numbers(&places).contains(&place.number)));
        drop(another);
    }
}

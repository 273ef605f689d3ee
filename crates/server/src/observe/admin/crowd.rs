//! Who is connected to the AdminServer, and who leaves when there are too many.
//!
//! Nobody waits for a place: a new connection takes that of an old one. So a crowd of connections
//! that only sit there keeps no probe out. Those that have still to send a request and those that
//! are being answered have places of their own, so that neither crowd costs the other. The address
//! with the most connections gives one up first, and of those that have a request to send one that
//! has been answered before.

use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::task::AbortHandle;

/// Connections that have not sent a whole request. Monitoring needs a handful.
const ASKING_MAX: usize = 64;

/// Connections whose reply is not all taken.
const ANSWERED_MAX: usize = 64;

/// What a connection is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It has a request to send.
    Asking,
    /// It is being answered.
    Answered,
}

/// All connections of one listener. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Crowd(Arc<Mutex<Guests>>);

#[derive(Debug, Default)]
struct Guests {
    next: u64,
    /// Those that have been in their stage for longest first.
    all: Vec<Guest>,
}

#[derive(Debug)]
struct Guest {
    number: u64,
    address: IpAddr,
    stage: Stage,
    /// It has been answered before.
    was_answered: bool,
    /// Ends it; `None` until its task runs.
    task: Option<AbortHandle>,
}

impl Crowd {
    /// Gives a new connection a place.
    pub(super) fn enter(&self, address: IpAddr) -> Place {
        let mut guests = self.0.lock();
        guests.next += 1;
        let number = guests.next;
        guests.all.push(Guest { number, address, stage: Stage::Asking, was_answered: false, task: None });
        guests.make_room();
        Place { crowd: self.clone(), number }
    }

    /// Says what to end when the place of this connection is needed.
    pub(super) fn attach(&self, number: u64, task: AbortHandle) {
        let mut guests = self.0.lock();
        if let Some(guest) = guests.all.iter_mut().find(|guest| guest.number == number) {
            guest.task = Some(task);
        }
    }
}

/// The place of a connection, until this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    crowd: Crowd,
    pub(super) number: u64,
}

impl Place {
    /// It is being answered from now on.
    pub(super) fn is_answered(&self) {
        self.goes_over_to(Stage::Answered);
    }

    /// It may send another request.
    pub(super) fn may_ask(&self) {
        self.goes_over_to(Stage::Asking);
    }

    fn goes_over_to(&self, stage: Stage) {
        let mut guests = self.crowd.0.lock();
        if let Some(mut guest) = guests.take(self.number) {
            guest.stage = stage;
            guest.was_answered |= stage == Stage::Answered;
            guests.all.push(guest);
            guests.make_room();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.0.lock().take(self.number);
    }
}

impl Guests {
    fn take(&mut self, number: u64) -> Option<Guest> {
        let found = self.all.iter().position(|guest| guest.number == number)?;
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

    /// Whose place is needed, if there are more than `max`: of the address with the most of them,
    /// the oldest that has been answered before, or else the oldest.
    fn victim(&self, stage: Stage, max: usize) -> Option<usize> {
        let inside = || self.all.iter().enumerate().filter(|(_, guest)| guest.stage == stage);
        if inside().count() <= max {
            return None;
        }
        let mut by_address: HashMap<IpAddr, usize> = HashMap::new();
        inside().for_each(|(_, guest)| *by_address.entry(guest.address).or_default() += 1);
        // The last of equals is taken, and so the oldest of all.
        let rank = |guest: &Guest| (by_address[&guest.address], guest.was_answered);
        let (position, _) = inside().rev().max_by_key(|(_, guest)| rank(guest))?;
        Some(position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn numbers(crowd: &Crowd) -> Vec<u64> {
        crowd.0.lock().all.iter().map(|guest| guest.number).collect()
    }

    #[test]
    fn a_new_connection_takes_the_place_of_the_oldest() {
        let crowd = Crowd::default();
        let places: Vec<Place> = (0..ASKING_MAX as u64 + 2).map(|_| crowd.enter(address(1))).collect();
        let expected: Vec<u64> = (3..=ASKING_MAX as u64 + 2).collect();
        assert_eq!(numbers(&crowd), expected);
        drop(places);
        assert!(numbers(&crowd).is_empty());
    }

    #[test]
    fn a_crowd_of_one_address_costs_no_other_its_place() {
        let crowd = Crowd::default();
        let probe = crowd.enter(address(1));
        let places: Vec<Place> = (0..1_000).map(|_| crowd.enter(address(2))).collect();
        assert!(numbers(&crowd).contains(&probe.number));
        assert_eq!(numbers(&crowd).len(), ASKING_MAX);
        drop(places);
    }

    #[test]
    fn those_that_are_answered_and_those_that_ask_have_places_of_their_own() {
        let crowd = Crowd::default();
        let unread: Vec<Place> = (0..ANSWERED_MAX).map(|_| crowd.enter(address(1))).collect();
        unread.iter().for_each(Place::is_answered);
        let asking: Vec<Place> = (0..ASKING_MAX).map(|_| crowd.enter(address(1))).collect();
        assert_eq!(numbers(&crowd).len(), ANSWERED_MAX + ASKING_MAX);
        // One more is answered: the reply that nobody has taken for longest gives way.
        asking[0].is_answered();
        assert!(!numbers(&crowd).contains(&unread[0].number));
        assert!(numbers(&crowd).contains(&asking[0].number));
        // Whoever has had an answer gives way to those that wait for their first one, however many
        // requests it sends.
        asking[0].may_ask();
        let another = crowd.enter(address(1));
        assert!(!numbers(&crowd).contains(&asking[0].number));
        assert!(asking[1..].iter().all(|place| numbers(&crowd).contains(&place.number)));
        drop(another);
    }
}

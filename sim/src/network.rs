//! The links between members, with the semantics of TCP: the frames of one connection arrive in
//! order and without gaps, or the connection breaks and frames in flight are lost. Silent loss is
//! possible nevertheless: a process may be stopped, and a middlebox may drop packets.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::random::Random;
use server::config::ServerId;

/// What happens to frames on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// They arrive.
    Clear,
    /// They wait until the link is clear again, as in a socket whose packets are dropped.
    Held,
    /// They are lost silently.
    Lost,
}

/// One direction between two members: a separate connection.
#[derive(Clone, Debug)]
struct Link {
    /// Whether the connection is established.
    open: bool,
    /// Counts connections; frames of an earlier one never arrive.
    connection: u64,
    state: LinkState,
    /// Percentage of individually lost frames.
    loss: u64,
    held: Vec<Bytes>,
    last_arrival_us: u64,
}

/// A frame in flight.
#[derive(Clone, Debug)]
pub struct InFlight {
    /// When it arrives, in µs of the run.
    pub at_us: u64,
    /// Its connection.
    pub connection: u64,
    /// The frame.
    pub frame: Bytes,
}

/// All links.
pub struct Network {
    links: BTreeMap<(ServerId, ServerId), Link>,
    random: Random,
    delay_us: (u64, u64),
}

impl Network {
    /// A network of members 1 to `members` without any connection yet.
    pub fn new(members: ServerId, random: Random, delay_us: (u64, u64)) -> Network {
        let link = Link {
            open: false,
            connection: 0,
            state: LinkState::Clear,
            loss: 0,
            held: Vec::new(),
            last_arrival_us: 0,
        };
        let pairs = (1..=members).flat_map(|a| (1..=members).map(move |b| (a, b)));
        let links = pairs.filter(|(a, b)| a != b).map(|pair| (pair, link.clone())).collect();
        Network { links, random, delay_us }
    }

    /// Draws a delay.
    pub fn delay_us(&mut self) -> u64 {
        let (low, high) = self.delay_us;
        // Occasionally a long one.
        let factor = if self.random.percent(2) { 10 } else { 1 };
        self.random.between(low, high) * factor
    }

    fn link(&mut self, pair: (ServerId, ServerId)) -> &mut Link {
        self.links.get_mut(&pair).expect("a link for each pair")
    }

    /// Sends a frame; `None` if it does not arrive, or not for now.
    pub fn send(&mut self, now_us: u64, pair: (ServerId, ServerId), frame: Bytes) -> Option<InFlight> {
        let delay_us = self.delay_us();
        let unlucky = self.random.below(100);
        let link = self.link(pair);
        if !link.open || link.state == LinkState::Lost || unlucky < link.loss {
            return None;
        }
        if link.state == LinkState::Held {
            link.held.push(frame);
            return None;
        }
        Some(link.schedule(now_us + delay_us, frame))
    }

    /// Whether a frame that arrives now belongs to the current connection.
    pub fn arrives(&self, pair: (ServerId, ServerId), connection: u64) -> bool {
        let link = &self.links[&pair];
        link.open && link.connection == connection
    }

    /// Changes the state of the link; returns held frames that are now in flight.
    pub fn set_link_state(
        &mut self,
        now_us: u64,
        pair: (ServerId, ServerId),
        state: LinkState,
    ) -> Vec<InFlight> {
        let delay_us = self.delay_us();
        let link = self.link(pair);
        link.state = state;
        if state != LinkState::Clear {
            return Vec::new();
        }
        let held = std::mem::take(&mut link.held);
        held.into_iter().map(|frame| link.schedule(now_us + delay_us, frame)).collect()
    }

    /// Loses this percentage of frames.
    pub fn set_loss(&mut self, pair: (ServerId, ServerId), percent: u64) {
        self.link(pair).loss = percent;
    }

    /// The state of the link.
    pub fn state(&self, pair: (ServerId, ServerId)) -> LinkState {
        self.links[&pair].state
    }

    /// Breaks the connection; returns whether it was established.
    pub fn break_off(&mut self, pair: (ServerId, ServerId)) -> bool {
        let link = self.link(pair);
        link.held.clear();
        std::mem::replace(&mut link.open, false)
    }

    /// Establishes a connection if the link is clear in both directions; returns whether a new one
    /// was.
    pub fn connect(&mut self, pair: (ServerId, ServerId)) -> bool {
        let back = self.state((pair.1, pair.0));
        let link = self.link(pair);
        if link.open || link.state != LinkState::Clear || back != LinkState::Clear {
            return false;
        }
        link.open = true;
        link.connection += 1;
        true
    }

    /// Whether a connection is established.
    pub fn is_open(&self, pair: (ServerId, ServerId)) -> bool {
        self.links[&pair].open
    }
}

impl Link {
    fn schedule(&mut self, at_us: u64, frame: Bytes) -> InFlight {
        self.last_arrival_us = self.last_arrival_us.max(at_us);
        InFlight { at_us: self.last_arrival_us, connection: self.connection, frame }
    }
}

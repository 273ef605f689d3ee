//! The ways between members, as TCP gives them: what arrives of one connection arrives in order and without holes, or the connection
//! breaks and what was under way is lost. Silent loss is possible all the same: a process may be stopped, and a middle box may swallow.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::random::Random;
use server::config::ServerId;

/// What becomes of frames on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// They arrive.
    Clear,
    /// They wait until the way is clear again, as in a socket whose packets are dropped.
    Held,
    /// They vanish, and nobody is told.
    Lost,
}

/// One direction between two members: a connection of its own.
#[derive(Clone, Debug)]
struct Link {
    /// Whether the connection stands.
    open: bool,
    /// Counts connections; what belongs to an earlier one never arrives.
    connection: u64,
    way: Way,
    /// In percent of frames, lost one by one.
    loss: u64,
    held: Vec<Bytes>,
    last_arrival_us: u64,
}

/// A frame on its way.
#[derive(Clone, Debug)]
pub struct Flying {
    /// When it arrives, in µs of the run.
    pub at_us: u64,
    /// On which connection.
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
    /// A network of members 1 to `members` in which nothing stands yet.
    pub fn new(members: ServerId, random: Random, delay_us: (u64, u64)) -> Network {
        let link = Link {
            open: false,
            connection: 0,
            way: Way::Clear,
            loss: 0,
            held: Vec::new(),
            last_arrival_us: 0,
        };
        let pairs = (1..=members).flat_map(|a| (1..=members).map(move |b| (a, b)));
        let links = pairs.filter(|(a, b)| a != b).map(|pair| (pair, link.clone())).collect();
        Network { links, random, delay_us }
    }

    /// How long something takes now.
    pub fn delay_us(&mut self) -> u64 {
        let (low, high) = self.delay_us;
        // A long one now and then.
        let factor = if self.random.percent(2) { 10 } else { 1 };
        self.random.between(low, high) * factor
    }

    fn link(&mut self, pair: (ServerId, ServerId)) -> &mut Link {
        self.links.get_mut(&pair).expect("a link for each pair")
    }

    /// Sends a frame; `None` if it does not arrive, or not for now.
    pub fn send(&mut self, now_us: u64, pair: (ServerId, ServerId), frame: Bytes) -> Option<Flying> {
        let delay_us = self.delay_us();
        let unlucky = self.random.below(100);
        let link = self.link(pair);
        if !link.open || link.way == Way::Lost || unlucky < link.loss {
            return None;
        }
        if link.way == Way::Held {
            link.held.push(frame);
            return None;
        }
        Some(link.fly(now_us + delay_us, frame))
    }

    /// Whether a frame that arrives now still belongs to the connection that stands.
    pub fn arrives(&self, pair: (ServerId, ServerId), connection: u64) -> bool {
        let link = &self.links[&pair];
        link.open && link.connection == connection
    }

    /// The way changes; frames that waited for it set out.
    pub fn set_way(&mut self, now_us: u64, pair: (ServerId, ServerId), way: Way) -> Vec<Flying> {
        let delay_us = self.delay_us();
        let link = self.link(pair);
        link.way = way;
        if way != Way::Clear {
            return Vec::new();
        }
        let held = std::mem::take(&mut link.held);
        held.into_iter().map(|frame| link.fly(now_us + delay_us, frame)).collect()
    }

    /// So many of 100 frames vanish.
    pub fn set_loss(&mut self, pair: (ServerId, ServerId), percent: u64) {
        self.link(pair).loss = percent;
    }

    /// How the way is.
    pub fn way(&self, pair: (ServerId, ServerId)) -> Way {
        self.links[&pair].way
    }

    /// Ends the connection; whether it stood.
    pub fn break_off(&mut self, pair: (ServerId, ServerId)) -> bool {
        let link = self.link(pair);
        link.held.clear();
        std::mem::replace(&mut link.open, false)
    }

    /// Makes a new connection if the way is clear in both directions; whether one stands that did not before.
    pub fn connect(&mut self, pair: (ServerId, ServerId)) -> bool {
        let back = self.way((pair.1, pair.0));
        let link = self.link(pair);
        if link.open || link.way != Way::Clear || back != Way::Clear {
            return false;
        }
        link.open = true;
        link.connection += 1;
        true
    }

    /// Whether a connection stands.
    pub fn is_open(&self, pair: (ServerId, ServerId)) -> bool {
        self.links[&pair].open
    }
}

impl Link {
    fn fly(&mut self, at_us: u64, frame: Bytes) -> Flying {
        self.last_arrival_us = self.last_arrival_us.max(at_us);
        Flying { at_us: self.last_arrival_us, connection: self.connection, frame }
    }
}

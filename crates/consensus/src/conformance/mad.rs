//! A group of three with one Byzantine member, which sends anything, well-formed or not.
//!
//! No protocol that relies on honest members can keep such a group consistent. But each of the
//! others must keep running and keep its promises: it gives out entries in order and once, never
//! votes twice in a term, never replaces what the leader of a term had it flush in that term, and
//! never persists a term after which there would be no further one.

use std::collections::VecDeque;

use bytes::Bytes;

use super::Make;
use crate::engine::{Engine, Ready, Settings, Start};
use crate::entry::{Entry, HardState, MemberId};
use crate::message::POSITION_LIMIT;
use crate::paxos::MEMBER_ID_LIMIT;

const FOUNDERS: [MemberId; 3] = [MemberId(1), MemberId(2), MEMBER];
/// The Byzantine one.
const MEMBER: MemberId = MemberId(3);
/// Messages kept for it to send again in an altered form.
const KEPT_MAX: usize = 64;
/// Offsets in a message of its kind, sender, receiver and term.
const KIND: usize = 1;
const FROM: usize = 10;
const TO: usize = 18;
const TERM: usize = 26;

/// Decisions, one for each byte; zeros after the end.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn next(&mut self) -> usize {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        usize::from(*first)
    }

    fn number(&mut self) -> u64 {
        let small = self.next() as u64;
        match self.next() % 8 {
            0 => small % 8,
            1 => small,
            2 => 1 << (small % 64),
            3 => (1 << (small % 64)) - 1,
            4 => POSITION_LIMIT - 1 - small,
            5 => u64::MAX - small,
            // Ballots of the Byzantine member.
            6 => (small % 16) * MEMBER_ID_LIMIT + MEMBER.0,
            _ => (1 << (small % 30)) * MEMBER_ID_LIMIT + MEMBER.0,
        }
    }
}

struct Peer {
    member: MemberId,
    engine: Box<dyn Engine>,
    log: Vec<Entry>,
    hard_state: HardState,
    applied: u64,
}

impl Peer {
    fn new(make: &Make<'_>, member: MemberId) -> Self {
        let settings = Settings { election_ticks: 10, ..Settings::new(3, member, 1, member.0) };
        let start = Start::bootstrap(&FOUNDERS);
        let (hard_state, applied) = (start.hard_state, start.snapshot.position.index);
        Self { member, engine: make(settings, start), log: Vec::new(), hard_state, applied }
    }

    /// Handles all pending work, and checks that it is allowed.
    fn pump(&mut self, wire: &mut VecDeque<(MemberId, MemberId, Bytes)>) {
        let mut ready = Ready::default();
        while self.engine.ready(&mut ready) {
            if let Some(state) = ready.hard_state {
                self.check_promise(state);
                self.hard_state = state;
            }
            for entry in &ready.entries {
                let is_replaced = |known: &&Entry| known.index >= entry.index;
                if let Some(first) = self.log.iter().find(is_replaced) {
                    assert!(first.term < self.hard_state.term, "{:?}: {first:?} is replaced", self.member);
                }
                self.log.retain(|known| known.index < entry.index);
                self.log.push(entry.clone());
            }
            for entry in &ready.committed {
                assert_eq!(entry.index, self.applied + 1, "entries are given out in order, once");
                self.applied = entry.index;
            }
            wire.extend(ready.messages.drain(..).map(|message| (self.member, message.to, message.bytes)));
            self.engine.persisted(ready.number);
            self.engine.applied(self.applied);
        }
    }

    fn check_promise(&self, state: HardState) {
        let HardState { term, vote, .. } = self.hard_state;
        assert!(state.term >= term, "a term never decreases");
        assert!(state.term != term || vote.is_none() || state.vote == vote, "a member votes once in a term");
        assert!(state.term <= POSITION_LIMIT / 2 + 1000 * MEMBER_ID_LIMIT, "there are later terms");
    }
}

/// Runs a group as `script` decides; any bytes are valid.
///
/// # Panics
/// If one of the other members panics or breaks a promise.
pub fn mad_member(make: &Make<'_>, script: &[u8]) {
    let mut script = Script(script);
    let mut peers = FOUNDERS.map(|member| Peer::new(make, member));
    let mut wire = VecDeque::new();
    let mut kept: VecDeque<Bytes> = VecDeque::new();
    while !script.0.is_empty() {
        match script.next() % 8 {
            0..=2 => peers.iter_mut().for_each(|peer| peer.engine.tick()),
            3 => {
                let data = Bytes::from_static(b"a command");
                peers.iter_mut().for_each(|peer| _ = peer.engine.propose(data.clone()));
            }
            4 | 5 => deliver(&mut peers, &mut wire, &mut kept, script.next() % 16),
            _ => {
                let Some(bytes) = kept.get(script.next() % kept.len().max(1)).cloned() else { continue };
                let to = script.next() % 2;
                let bytes = alter(&bytes, peers[to].member, &mut script);
                let _ = peers[to].engine.step(MEMBER, bytes);
            }
        }
        peers.iter_mut().for_each(|peer| peer.pump(&mut wire));
    }
}

/// Delivers `count` messages, and keeps some for the Byzantine member.
fn deliver(
    peers: &mut [Peer; 3],
    wire: &mut VecDeque<(MemberId, MemberId, Bytes)>,
    kept: &mut VecDeque<Bytes>,
    count: usize,
) {
    for _ in 0..count {
        let Some((from, to, bytes)) = wire.pop_front() else { return };
        if let Some(peer) = peers.iter_mut().find(|peer| peer.member == to) {
            let _ = peer.engine.step(from, bytes.clone());
            peer.pump(wire);
        }
        kept.push_back(bytes);
        if kept.len() > KEPT_MAX {
            kept.pop_front();
        }
    }
}

/// Makes another message out of one that some member has sent.
fn alter(bytes: &[u8], to: MemberId, script: &mut Script<'_>) -> Bytes {
    let mut bytes = bytes.to_vec();
    let mut put = |at: usize, number: u64| {
        if let Some(place) = bytes.get_mut(at..at + 8) {
            place.copy_from_slice(&number.to_be_bytes());
        }
    };
    put(FROM, MEMBER.0);
    put(TO, to.0);
    if script.next().is_multiple_of(2) {
        put(TERM, script.number());
    }
    for _ in 0..script.next() % 4 {
        let at = TERM + 8 + script.next() % 64;
        put(at, script.number());
    }
    match script.next() % 4 {
        0 => bytes[KIND] = (script.next() % 17) as u8,
        1 => {
            let at = script.next() % bytes.len();
            bytes[at] = script.next() as u8;
        }
        _ => {}
    }
    bytes.into()
}

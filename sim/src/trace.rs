//! The fingerprint of a run, and its story for whoever replays it.

use std::fmt;

/// Takes in everything that happens. Two runs with the same fingerprint went the same way.
#[derive(Debug)]
pub struct Trace {
    hash: u64,
    /// Whether the story is told, not only its fingerprint taken.
    told: bool,
}

impl Trace {
    /// The beginning of a run.
    pub fn new(told: bool) -> Trace {
        Trace { hash: 0xCBF2_9CE4_8422_2325, told }
    }

    /// Takes in a number.
    pub fn number(&mut self, number: u64) {
        self.hash = (self.hash ^ number).wrapping_mul(0x0000_0100_0000_01B3).rotate_left(23);
    }

    /// Takes in bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.number(u64::from_le_bytes(word));
        }
    }

    /// Tells what happens at `now_us`, to those who listen.
    pub fn tell(&mut self, now_us: u64, what: fmt::Arguments<'_>) {
        if self.told {
            println!("{:>12.6} {what}", now_us as f64 / 1e6);
        }
    }

    /// The fingerprint so far.
    pub fn fingerprint(&self) -> u64 {
        self.hash
    }
}

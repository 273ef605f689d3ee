//! The fingerprint of a run, and its printed story for a replay.

use std::fmt;

/// Hashes everything that happens. Equal fingerprints mean equal runs.
#[derive(Debug)]
pub struct Trace {
    hash: u64,
    /// Whether the story is printed, too.
    verbose: bool,
}

impl Trace {
    /// The trace of a run that begins.
    pub fn new(verbose: bool) -> Trace {
        Trace { hash: 0xCBF2_9CE4_8422_2325, verbose }
    }

    /// Hashes a number.
    pub fn number(&mut self, number: u64) {
        self.hash = (self.hash ^ number).wrapping_mul(0x0000_0100_0000_01B3).rotate_left(23);
    }

    /// Hashes bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.number(u64::from_le_bytes(word));
        }
    }

    /// Prints what happens at `now_us`, if the story is wanted.
    pub fn log(&mut self, now_us: u64, what: fmt::Arguments<'_>) {
        if self.verbose {
            println!("{:>12.6} {what}", now_us as f64 / 1e6);
        }
    }

    /// The fingerprint so far.
    pub fn fingerprint(&self) -> u64 {
        self.hash
    }
}

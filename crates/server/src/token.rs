//! How connections are numbered.

use group::Token;

const THREAD_SHIFT: u32 = 56;
const SLOT_SHIFT: u32 = 32;
const SLOT_MASK: u64 = (1 << (THREAD_SHIFT - SLOT_SHIFT)) - 1;

/// A token: thread number, slot in its table, and a generation that tells the slot's connection
/// from its predecessors.
pub(crate) fn token(thread: usize, slot: usize, generation: u32) -> Token {
    debug_assert!(slot as u64 <= SLOT_MASK);
    Token((thread as u64) << THREAD_SHIFT | (slot as u64) << SLOT_SHIFT | u64::from(generation))
}

/// The thread's number in a token.
pub(crate) fn thread_of(token: Token) -> usize {
    (token.0 >> THREAD_SHIFT) as usize
}

/// The slot in a token.
pub(crate) fn slot_of(token: Token) -> usize {
    (token.0 >> SLOT_SHIFT & SLOT_MASK) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_gives_back_its_parts() {
        let t = token(3, 70_000, u32::MAX);
        assert_eq!((thread_of(t), slot_of(t)), (3, 70_000));
        assert_ne!(t, token(3, 70_000, 0));
    }
}

//! Logins by DIGEST-MD5 between servers. Nobody who does not know the password is let in or
//! believed, and a login with altered bytes fails at one side or leaves both with the same key.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use mio::{Poll, Token, Waker};
use server::peers::Logins;

thread_local! {
    static LOGINS: Logins = {
        let poll = Poll::new().expect("a poll");
        let waker = Arc::new(Waker::new(poll.registry(), Token(0)).expect("a waker"));
        Logins::by_password(waker).expect("no Kerberos is asked for")
    };
}

/// Bytes in pieces, each after its length.
fn pieces(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (&length, rest) = bytes.split_first()?;
        let (piece, left) = rest.split_at(usize::from(length).min(rest.len()));
        bytes = left;
        Some(piece)
    })
}

/// Alters some of the bytes: the choices are triples of a turn, a place and a change.
fn alter(said: &mut Vec<u8>, turn: u8, choices: &[u8]) -> bool {
    let mut is_altered = false;
    for choice in choices.chunks_exact(3).filter(|choice| choice[0] % 4 == turn) {
        let (place, change) = (usize::from(choice[1]), choice[2]);
        match said.get_mut(place) {
            Some(byte) => {
                *byte ^= change;
                is_altered |= change != 0;
            }
            None => {
                said.push(change);
                is_altered = true;
            }
        }
    }
    is_altered
}

fuzz_target!(|input: &[u8]| {
    let Some((&way, bytes)) = input.split_first() else { return };
    LOGINS.with(|logins| match way % 3 {
        0 => assert!(!logins.lets_in(pieces(bytes))),
        1 => assert!(!logins.believes(pieces(bytes))),
        _ => {
            let (mut turn, mut is_altered) = (0, false);
            let is_done = logins.meet(&mut |said| {
                is_altered |= alter(said, turn, bytes);
                turn += 1;
            });
            assert!(is_done || is_altered);
        }
    });
});

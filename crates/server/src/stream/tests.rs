//! The stream that stands for an encrypting one keeps the contract, so that its owners are tested
//! against all of it.

use std::io::{ErrorKind, Read as _, Write as _};

use super::pipe::{self, End};
use super::records::Records;
use super::*;

/// Both sides over a pipe with this room, their handshake complete.
fn connected(room: usize) -> (Records<End>, Records<End>) {
    let (near, far) = pipe::pair(room);
    let (mut near, mut far) = (Records::dialled(near), Records::accepted(far));
    assert_eq!((near.peer_identity(), far.peer_identity()), (None, None));
    while far.peer_identity().is_none() {
        assert_eq!(near.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(far.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::WouldBlock);
    }
    (near, far)
}

/// Everything that can be read now.
fn read_all(stream: &mut dyn Stream) -> Vec<u8> {
    let (mut all, mut buffer) = (Vec::new(), [0; 300]);
    while let Some(n) = stream.try_read(&mut buffer).unwrap() {
        all.extend_from_slice(&buffer[..n]);
    }
    all
}

#[test]
fn both_sides_know_each_other_after_the_handshake() {
    let (near, far) = connected(7);
    let name = |stream: &dyn Stream| {
        String::from_utf8(stream.peer_identity().expect("it is known").certificates[0].clone()).unwrap()
    };
    assert_eq!(name(&near), "the accepting side's certificate");
    assert_eq!(name(&far), "the dialled side's certificate");
}

#[test]
fn what_is_written_before_the_handshake_arrives_after_it() {
    let (near, far) = pipe::pair(1 << 20);
    let (mut near, mut far) = (Records::dialled(near), Records::accepted(far));
    near.write_all(b"early").unwrap();
    assert_eq!(near.write_all(&[0; 4096]).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(read_all(&mut far), b"");
    assert_eq!(read_all(&mut near), b"");
    let heard = read_all(&mut far);
    assert!(heard.starts_with(b"early"), "{heard:?}");
    assert_eq!(heard.len(), 4096);
}

#[test]
fn reads_are_short_while_more_is_held_and_answers_go_out_meanwhile() {
    let (mut near, mut far) = connected(1 << 20);
    near.write_all(&[7; 5_000]).unwrap();
    let mut buffer = [0; 5_000];
    let n = far.read(&mut buffer).unwrap();
    assert!(n < buffer.len() && far.has_buffered() && far.may_hold_more(n, buffer.len()));
    assert_eq!(far.unanswered, 1);
    assert_eq!(read_all(&mut far).len(), 5_000 - n);
    assert_eq!(read_all(&mut near), b"");
    assert_eq!(read_all(&mut far), b"");
    assert_eq!((far.unanswered, far.has_buffered()), (0, false));
}

#[test]
fn a_full_socket_leaves_bytes_in_the_stream_and_a_write_receives_some() {
    let (mut near, mut far) = connected(100);
    assert_eq!(near.write(&[7; 500]).unwrap(), 500);
    assert!(near.wants_write());
    assert_eq!(near.flush().unwrap_err().kind(), ErrorKind::WouldBlock);
    far.write_all(b"hi").unwrap();
    assert!(!near.has_buffered());
    let _ = near.flush();
    assert!(near.has_buffered(), "the flush has received it");
    let mut heard = Vec::new();
    while heard.len() < 500 {
        heard.extend(read_all(&mut far));
        let _ = near.flush();
    }
    assert!(!near.wants_write());
    assert_eq!(read_all(&mut near), b"hi");
}

#[test]
fn an_end_is_whole_only_if_the_other_side_says_so() {
    let (mut near, mut far) = connected(1 << 20);
    near.write_all(b"bye").unwrap();
    near.close();
    let mut buffer = [0; 10];
    assert_eq!(far.read(&mut buffer).unwrap(), 3);
    assert!(far.has_buffered());
    assert_eq!(far.read(&mut buffer).unwrap(), 0);

    let (near, far) = pipe::pair(1 << 20);
    let mut far = Records::accepted(far);
    near.clone().close();
    assert_eq!(far.read(&mut buffer).unwrap_err().kind(), ErrorKind::UnexpectedEof);
}

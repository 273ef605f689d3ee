//! A connection's bytes: a handshake, then requests, cut into frames however they may come.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::frame::{self, Split};
use wire::jute::Reader;
use wire::record::{ConnectRequest, Request, RequestHeader};
use wire::{Malformed, Opcode};

/// Small, so that the fuzzer meets both sides of the limit.
const MAX_BYTES: usize = 512;

fuzz_target!(|stream: &[u8]| {
    let mut rest = stream;
    let mut copy = Vec::new();
    let mut first = true;
    loop {
        match frame::split(rest, MAX_BYTES) {
            Split::Frame { start, end } => {
                assert!(start <= end && end <= rest.len() && end - start <= MAX_BYTES);
                let payload = &rest[start..end];
                let mark = frame::begin(&mut copy);
                copy.extend_from_slice(payload);
                frame::finish(&mut copy, mark);
                let _ = if first { handshake(payload) } else { request(payload) };
                first = false;
                rest = &rest[end..];
            }
            Split::Incomplete => {
                assert!(rest.len() < frame::LENGTH_BYTES + MAX_BYTES);
                break;
            }
            Split::TooLong(length) => {
                assert!(length < 0 || length as usize > MAX_BYTES);
                break;
            }
        }
    }
    // Frames written again are the bytes they were read from.
    assert_eq!(copy, stream[..stream.len() - rest.len()]);
});

fn handshake(payload: &[u8]) -> Result<(), Malformed> {
    ConnectRequest::decode(&mut Reader::new(payload)).map(drop)
}

fn request(payload: &[u8]) -> Result<(), Malformed> {
    let mut input = Reader::new(payload);
    let header = RequestHeader::decode(&mut input)?;
    let Some(op) = Opcode::from_i32(header.opcode_raw) else { return Ok(()) };
    Request::decode(op, input.rest()).map(drop)
}

//! Frames and greetings as bytes.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::frame::{HEADER_BYTES, framed};
use super::super::greeting::GREETING_BYTES;
use super::*;

/// Feeds a stream in pieces and collects the frames until it ends or is malformed.
fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Vec<u8>>, Option<BadFrame>) {
    let mut reader = FrameReader::default();
    let mut frames = Vec::new();
    for piece in pieces {
        reader.push(piece);
        loop {
            match reader.next_frame() {
                Ok(Some(frame)) => frames.push(frame.to_vec()),
                Ok(None) => break,
                Err(e) => return (frames, Some(e)),
            }
        }
        reader.shrink();
    }
    (frames, None)
}

fn some_greeting() -> impl Strategy<Value = Greeting> {
    let engine = prop_oneof![Just(EngineKind::Raft), Just(EngineKind::Paxos)];
    let reasons = [
        Reason::Version,
        Reason::Cluster,
        Reason::Engine,
        Reason::Addressee,
        Reason::Stranger,
        Reason::Secret,
        Reason::Proof,
    ];
    let verdict = prop::option::of(prop::sample::select(reasons.to_vec()));
    (any::<(u32, u32, u64, u64)>(), engine, verdict).prop_map(
        |((from, to, cluster, boot), engine, verdict)| Greeting {
            from,
            to,
            hello: Hello { cluster, engine, boot },
            verdict,
        },
    )
}

proptest! {
    #[test]
    fn frames_come_out_as_they_went_in_however_they_are_cut(
        payloads in vec(vec(any::<u8>(), 1..300), 0..20),
        cut in 1..400_usize,
    ) {
        let stream: Vec<u8> = payloads.iter().flat_map(|payload| framed(payload)).collect();
        prop_assert_eq!(read(stream.chunks(cut)), (payloads, None));
    }

    #[test]
    fn no_stream_of_bytes_panics_or_is_kept_beyond_its_length(
        bytes in vec(any::<u8>(), 0..4000),
        small_lengths in any::<bool>(),
        cut in 1..400_usize,
    ) {
        // Half of the streams begin with a plausible length.
        let start: &[u8] = if small_lengths { &[0, 0, 1] } else { &[] };
        let stream = [start, &bytes].concat();
        let mut reader = FrameReader::default();
        for piece in stream.chunks(cut) {
            reader.push(piece);
            while let Ok(Some(frame)) = reader.next_frame() {
                prop_assert!(!frame.is_empty());
            }
            prop_assert!(reader.len_bytes() <= stream.len());
        }
    }

    #[test]
    fn a_damaged_frame_is_never_taken_for_a_whole_one(payload in vec(any::<u8>(), 1..200), bit in 0..10_000_usize) {
        let mut stream = framed(&payload);
        let bit = bit % (8 * stream.len());
        stream[bit / 8] ^= 1 << (bit % 8);
        // Another frame behind it, into which a longer length would reach.
        stream.extend(framed(&[0; 300]));
        let (frames, _) = read(std::iter::once(&stream[..]));
        prop_assert!(!frames.contains(&payload));
        prop_assert!(frames.is_empty() || bit < 8 * HEADER_BYTES, "{frames:?}");
    }

    #[test]
    fn a_greeting_decodes_to_what_was_encoded(greeting in some_greeting(), cut in 0..GREETING_BYTES) {
        let bytes = greeting.encode();
        prop_assert!(bytes.len() >= GREETING_BYTES);
        prop_assert_eq!(Greeting::decode(&bytes), Ok(Heard::Greeting(greeting)));
        prop_assert_eq!(Greeting::decode(&bytes[..cut]), Ok(Heard::Incomplete));
        prop_assert_eq!(Greeting::decode(&[&bytes[..], &[0]].concat()), Err(BadGreeting::Length));
    }

    #[test]
    fn a_damaged_greeting_is_not_decoded(greeting in some_greeting(), bit in 0..8 * GREETING_BYTES) {
        let mut bytes = greeting.encode();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let heard = Greeting::decode(&bytes);
        prop_assert!(matches!(heard, Err(_) | Ok(Heard::Incomplete)), "{heard:?}");
    }

    #[test]
    fn no_bytes_panic_as_a_greeting(bytes in vec(any::<u8>(), 0..200), with_magic in any::<bool>()) {
        let start: &[u8] = if with_magic { b"ostlpeer" } else { &[] };
        let _ = Greeting::decode(&[start, &bytes].concat());
    }
}

#[test]
fn lengths_are_bounded_and_zeros_are_no_frames() {
    let max = limits::FRAME_BYTES_MAX as u32;
    for (length, expected) in
        [(0, Some(BadFrame::Length(0))), (max, None), (max + 1, Some(BadFrame::Length(max + 1)))]
    {
        let header = [&length.to_be_bytes()[..], &[0; 4]].concat();
        assert_eq!(read(std::iter::once(&header[..])), (Vec::new(), expected), "{length}");
    }
}

/// The bytes of a released version: a later one must decode them, and be decoded by it.
#[test]
fn the_bytes_stay_as_they_are() {
    let hello = Hello { cluster: 0x0102, engine: EngineKind::Paxos, boot: 3 };
    let greeting = Greeting { from: 1, to: 2, hello, verdict: Some(Reason::Engine) };
    let fixed = [&b"ostlpeer"[..], &[0, 1, 1, 2, 0, 18]].concat();
    let body = [0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 3, 2, 3];
    let start = [&fixed[..], &body].concat();
    let checksum = crc32c::crc32c(&start).to_be_bytes();
    assert_eq!(greeting.encode(), [&start[..], &checksum].concat());
    // Numbers that do not fit are at the end.
    let large = Greeting { from: 0x0102_0304, to: 2, ..greeting };
    let fixed = [&b"ostlpeer"[..], &[0, 1, 4, 2, 0, 26]].concat();
    let start = [&fixed[..], &body, &[1, 2, 3, 4, 0, 0, 0, 2]].concat();
    let checksum = crc32c::crc32c(&start).to_be_bytes();
    assert_eq!(large.encode(), [&start[..], &checksum].concat());
    assert_eq!(Greeting::decode(&large.encode()), Ok(Heard::Greeting(large)));
    // The checksum of "123456789" by the definition of crc32c.
    assert_eq!(framed(b"123456789"), [&[0, 0, 0, 9, 0xe3, 0x06, 0x92, 0x83][..], b"123456789"].concat());
}

/// Reading a long frame takes memory only as its bytes arrive, and releases it.
#[test]
fn a_long_frame_leaves_no_memory_behind() {
    let mut reader = FrameReader::default();
    let payload = vec![7; 8 << 20];
    let stream = framed(&payload);
    for piece in stream.chunks(limits::READ_BYTES) {
        assert_eq!(reader.next_frame(), Ok(None));
        reader.push(piece);
    }
    assert!(reader.next_frame().unwrap().unwrap() == payload);
    assert!(reader.capacity() > limits::IDLE_BUFFER_BYTES);
    reader.push(&stream[..100]);
    reader.shrink();
    assert!(reader.capacity() <= limits::IDLE_BUFFER_BYTES);
    assert_eq!(reader.len_bytes(), 100, "and what came behind it is still there");
}

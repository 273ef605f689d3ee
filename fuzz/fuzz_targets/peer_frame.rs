//! What another server may send: first a greeting, then frames, cut in any way. The first byte says
//! where the cuts are.
#![no_main]

use libfuzzer_sys::fuzz_target;
use server::peers::{FrameReader, Greeting, Heard};

fuzz_target!(|input: &[u8]| {
    let Some((&step, stream)) = input.split_first() else { return };
    if let Ok(Heard::Greeting(greeting)) = Greeting::decode(stream)
        && greeting.verdict.is_none()
    {
        assert_eq!(greeting.encode(), stream);
    }
    let mut reader = FrameReader::default();
    let mut given = 0;
    for piece in stream.chunks(usize::from(step) + 1) {
        reader.push(piece);
        while let Ok(Some(frame)) = reader.next_frame() {
            assert!(!frame.is_empty());
            given += frame.len();
        }
        reader.shrink();
        assert!(given + reader.len_bytes() <= stream.len());
    }
});

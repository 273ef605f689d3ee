//! A snapshot's content after anything happened to it: it is refused, or makes a machine in which
//! everything holds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use state::machine::Machine;
use state::snapshot::Loader;

fuzz_target!(|input: &[u8]| {
    let Some((&way, input)) = input.split_first() else { return };
    // Pieces of every size from one byte to all at once.
    let piece = usize::from(way >> 1).max(1);
    if way % 2 == 0 {
        load(input, piece);
        return;
    }
    // A good snapshot with some bytes replaced: three bytes of input each, offset (two) and value.
    let mut bytes = good();
    for edit in input.chunks_exact(3).take(64) {
        let offset = usize::from(u16::from_le_bytes([edit[0], edit[1]]));
        if let Some(byte) = bytes.get_mut(offset) {
            *byte = edit[2];
        }
    }
    load(&bytes, piece);
});

fn load(bytes: &[u8], piece: usize) {
    let mut loader = Loader::new(1);
    for piece in bytes.chunks(piece) {
        if loader.feed(piece).is_err() {
            return;
        }
    }
    if let Ok(machine) = loader.finish() {
        machine.check().expect("a loaded machine is sound");
    }
}

fn good() -> Vec<u8> {
    let mut machine = Machine::new(1);
    let mut bytes = Vec::new();
    let mut cursor = machine.begin_snapshot();
    while !machine.snapshot_slice(&mut cursor, 2, &mut bytes) {}
    drop(machine.end_snapshot());
    bytes
}

//! A log entry of any bytes: every command in it has a result, and everything holds afterwards.
#![no_main]

use libfuzzer_sys::fuzz_target;
use state::change::Ignore;
use state::command::{BatchHeader, Command, commands, SessionTerms};
use state::machine::Machine;
use wire::Opcode;

fuzz_target!(|input: &[u8]| {
    let Ok((batch, rest)) = BatchHeader::read(input) else { return };
    let mut machine = Machine::new(1);
    let mut timeout = Vec::new();
    SessionTerms { timeout_ms: 4000, home: 0 }.put(&mut timeout);
    let opcode = Opcode::CreateSession as i32;
    let open = Command { session: 1, cxid: 0, opcode, identities: &[], body: &timeout };
    let mut reply = Vec::new();
    machine.apply(&batch, &open, &mut reply, &mut Ignore);
    for command in commands(rest).map_while(Result::ok) {
        machine.apply(&batch, &command, &mut reply, &mut Ignore);
        reply.clear();
    }
    machine.check().expect("nothing breaks the machine");
});

//! Properties of whole runs: agreement with the model, determinism, snapshots, and totality of
//! `apply`.

use proptest::prelude::*;
use state::change::Ignore;
use state::command::{BatchHeader, Command, Features, INITIALIZE, commands};
use state::machine::Machine;
use wire::opcode::Opcode;

use crate::model::{Model, Op, step};
use crate::snapshot::{load, write};
use crate::world::{World, parse};

fn run() -> impl Strategy<Value = Vec<(i64, Op)>> {
    proptest::collection::vec(step(), 1..60)
}

/// Plays a step; the session need not exist.
fn play(world: &mut World, who: i64, op: &Op) -> String {
    match op {
        Op::Open => {
            let mut body = Vec::new();
            state::command::SessionTerms { timeout_ms: 10_000, home: 0 }.put(&mut body);
            world.internal(who, Opcode::CreateSession as i32, &body)
        }
        other => world.say(who, &other.text()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_machine_agrees_with_the_model(run in run()) {
        let (mut world, mut model) = (World::new(), Model::new());
        for (who, op) in &run {
            let expected = model.answer(*who, op);
            prop_assert_eq!(play(&mut world, *who, op), expected, "{} by {}", op.text(), who);
            world.machine.check().unwrap();
        }
        world.open(7);
        for (path, stat) in model.stats() {
            prop_assert_eq!(world.say(7, &format!("exists {path}")), stat, "{}", path);
        }
        let number: usize = world.say(7, "count /").parse().unwrap();
        prop_assert_eq!(number, model.stats().len() - 1 + 3);
    }

    #[test]
    fn equal_commands_make_equal_members(run in run(), seeds in any::<(u64, u64)>()) {
        let (mut one, mut other) = (World::new(), World::new());
        one.machine = Machine::new(seeds.0);
        other.machine = Machine::new(seeds.1);
        for (who, op) in [(1, Op::Open), (2, Op::Open)].iter().chain(&run) {
            let (a, b) = (play(&mut one, *who, op), play(&mut other, *who, op));
            prop_assert_eq!(a, b);
            prop_assert_eq!(one.machine.digest(), other.machine.digest());
        }
    }

    #[test]
    fn a_snapshot_at_any_time_with_the_rest_replayed(run in run(), at in any::<prop::sample::Index>(), slice in 1..9usize) {
        let at = at.index(run.len());
        let mut world = World::new();
        for (who, op) in &run[..at] {
            play(&mut world, *who, op);
        }
        let digest = world.machine.digest();
        // Half of the rest is applied while the snapshot is written.
        let mut rest = run[at..].iter();
        let mut cursor = world.machine.begin_snapshot();
        let mut bytes = Vec::new();
        while !world.machine.snapshot_slice(&mut cursor, slice, &mut bytes) {
            if let Some((who, op)) = rest.next() {
                play(&mut world, *who, op);
            }
        }
        drop(world.machine.end_snapshot());
        for (who, op) in rest {
            play(&mut world, *who, op);
        }
        let mut replayed = World::new();
        replayed.machine = load(&bytes, 100).unwrap();
        prop_assert_eq!(replayed.machine.digest(), digest);
        for (who, op) in &run[at..] {
            play(&mut replayed, *who, op);
        }
        replayed.machine.check().unwrap();
        prop_assert_eq!(replayed.machine.digest(), world.machine.digest());
        // Ids are the same too, as the order of nodes in a snapshot shows.
        let (a, b) = (write(&mut replayed.machine, 9, &mut |_| {}), write(&mut world.machine, 9, &mut |_| {}));
        prop_assert_eq!(a, b);
    }

    #[test]
    fn any_bytes_can_be_applied(
        opcode in prop_oneof![proptest::sample::select(Opcode::ALL).prop_map(|op| op as i32), Just(INITIALIZE), any::<i32>()],
        session in prop_oneof![Just(1i64), any::<i64>()],
        identities in proptest::collection::vec(any::<u8>(), 0..40),
        body in proptest::collection::vec(any::<u8>(), 0..120),
        header in any::<(i64, i64, u32)>(),
    ) {
        let mut world = World::new();
        let batch = BatchHeader { time_ms: header.0, zxid_floor: header.1, features: Features::from_bits(header.2) };
        let command = Command { session, cxid: 0, opcode, identities: &identities, body: &body };
        let mut reply = Vec::new();
        world.machine.apply(&batch, &command, &mut reply, &mut Ignore);
        world.machine.check().unwrap();
    }

    /// Valid requests with one byte changed.
    #[test]
    fn damaged_requests_can_be_applied(
        (who, op) in step(),
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        prop_assume!(!matches!(op, Op::Close | Op::Open));
        let request = parse(&op.text());
        let mut body = Vec::new();
        request.encode(&mut body);
        let place = place.index(body.len());
        body[place] = byte;
        let mut world = World::new();
        world.say(1, "create /a x");
        let mut reply = Vec::new();
        world.apply(who, request.opcode() as i32, &body, &mut reply);
        world.machine.check().unwrap();
    }

    #[test]
    fn any_bytes_can_be_read_as_an_entry(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok((_, rest)) = BatchHeader::read(&bytes) {
            prop_assert!(commands(rest).count() <= bytes.len());
        }
    }
}

//! Large replies: bounded while they are built, with long parts shared with the tree.

use crate::world::{World, parse};
use state::auth::Identities;
use state::machine::Machine;
use state::read::{Body, Piece, Reader, WatchRequest};
use wire::ErrorCode;
use wire::opcode::Opcode;
use wire::record::{Reply, Request};

/// The reply's parts, and the watches it requested.
struct Made {
    code: ErrorCode,
    short: Vec<u8>,
    pieces: Vec<(usize, Piece)>,
    watched: Vec<String>,
}

fn make(machine: &Machine, request: &Request<'_>, reader: &Reader<'_>, bytes_max: usize) -> Made {
    let (mut short, mut watched) = (b"before".to_vec(), Vec::new());
    let mut body = Body::new(&mut short, bytes_max);
    let mut watch = |wanted: WatchRequest<'_>| watched.push(wanted.path.to_owned());
    let code = machine.read(request, reader, &mut body, &mut watch);
    let pieces = body.finish();
    Made { code, short, pieces, watched }
}

impl Made {
    fn bytes(&self) -> Vec<u8> {
        let (mut bytes, mut copied) = (Vec::new(), "before".len());
        for (at, piece) in &self.pieces {
            bytes.extend_from_slice(&self.short[copied..*at]);
            let parts = (0..).map_while(|number| piece.part(number));
            let before = bytes.len();
            parts.for_each(|part| bytes.extend_from_slice(part));
            assert_eq!(bytes.len() - before, piece.len());
            copied = *at;
        }
        bytes.extend_from_slice(&self.short[copied..]);
        bytes
    }
}

fn usual(machine: &Machine, request: &Request<'_>, reader: &Reader<'_>) -> Vec<u8> {
    let mut reply = Vec::new();
    assert_eq!(machine.read_whole(request, reader, &mut reply, &mut |_| {}), ErrorCode::Ok);
    reply
}

fn populated() -> World {
    let mut world = World::new();
    world.play("1: create /d => /d");
    for _ in 0..5000 {
        world.say(1, "create -s /d/node-");
    }
    world.say(1, &format!("create /long {}", "x".repeat(5000)));
    world.say(1, "create -e /d/ephemeral short");
    world
}

#[test]
fn long_parts_of_a_reply_are_shared_and_unaffected_by_changes() {
    let mut world = populated();
    let identities = Identities::new();
    let reader = world.reader(1, &identities);
    for (text, opcode, pieces) in [
        ("ls -w /d", Opcode::GetChildren, 1),
        ("ls2 -w /d", Opcode::GetChildren2, 1),
        ("list -w /d", Opcode::FilteredList, 1),
        ("get -w /long", Opcode::GetData, 1),
        ("read get /long; ls /d; get /long; get /d", Opcode::MultiRead, 3),
    ] {
        let request = parse(text);
        let expected = usual(&world.machine, &request, &reader);
        let made = make(&world.machine, &request, &reader, usize::MAX);
        assert_eq!((made.code, made.pieces.len()), (ErrorCode::Ok, pieces), "{text}");
        assert!(made.short.len() < 500, "{text}: {} bytes are copied", made.short.len());
        assert!(made.pieces.iter().all(|(_, piece)| piece.held_bytes() <= piece.len()));
        // Everything changes before the reply is sent.
        world.say(1, "create -s /d/node-");
        world.say(1, "delete /d/node-0000000007");
        world.say(1, &format!("set /long {}", "y".repeat(5000)));
        assert_eq!(made.bytes(), expected, "{text}");
        assert!(Reply::decode(opcode, &expected).is_ok());
        world.say(1, "create /d/node-0000000007");
        world.say(1, &format!("set /long {}", "x".repeat(5000)));
    }
}

/// A reply found to be too long only after it is built has already used the memory, and the time of
/// all requests waiting for the machine. So the limit is exact to the byte, and a reply beyond it
/// leaves no bytes and no watch.
#[test]
fn an_oversized_reply_is_refused_without_a_trace() {
    let world = populated();
    let identities = Identities::new();
    let reader = world.reader(1, &identities);
    for text in [
        "ls -w /d",
        "ls2 -w /d",
        "list -w /d",
        "list -w -p /d",
        "list -w -e /d",
        "list-all -w /d",
        "get -w /long",
        "get -w /d",
        "getacl /d",
        "ls-r / 100000",
        "ephemerals /",
        "read get -w /long; ls -w /d; get /long; list /d",
    ] {
        let request = parse(text);
        let expected = usual(&world.machine, &request, &reader);
        assert!(expected.len() > 16, "{text}: {} bytes", expected.len());
        // Counts and headers of a few bytes are not checked.
        let whole = make(&world.machine, &request, &reader, expected.len() + 16);
        assert_eq!((whole.code, whole.bytes()), (ErrorCode::Ok, expected.clone()), "{text}");
        for bytes_max in [expected.len() - 16, expected.len() / 2, 3] {
            let made = make(&world.machine, &request, &reader, bytes_max);
            assert_eq!(made.code, ErrorCode::MarshallingError, "{text} with {bytes_max} bytes");
            assert_eq!(made.short, b"before", "{text}: nothing remains of it");
            assert!(made.pieces.is_empty() && made.watched.is_empty(), "{text}");
        }
    }
    let refused = make(&world.machine, &parse("ls -w /none"), &reader, usize::MAX);
    assert_eq!((refused.code, refused.watched), (ErrorCode::NoNode, Vec::new()));
}

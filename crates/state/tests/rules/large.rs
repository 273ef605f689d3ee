//! Large directories.

use crate::world::{World, parse};
use state::auth::Identities;
use wire::opcode::Opcode;
use wire::record::Reply;

#[test]
fn a_large_directory_is_listed_outside_of_the_machine() {
    let mut world = World::new();
    world.play("1: create /d => /d");
    for _ in 0..5000 {
        world.say(1, "create -s /d/node-");
    }
    let identities = Identities::new();
    let reader = world.reader(1, &identities);
    for (request, opcode) in [("ls -w /d", Opcode::GetChildren), ("ls2 -w /d", Opcode::GetChildren2)] {
        let request = parse(request);
        let mut watched = Vec::new();
        let mut watch = |wanted: state::read::WatchRequest<'_>| watched.push(wanted.path.to_owned());
        assert!(world.machine.large_listing(&request, &reader, 5001, &mut watch).is_none());
        let listing = world.machine.large_listing(&request, &reader, 5000, &mut watch).expect("it is large");
        let (mut usual, mut large) = (Vec::new(), Vec::new());
        world.machine.read(&request, &reader, &mut usual, &mut watch);
        // The directory changes while the listing is under way.
        world.say(1, "create -s /d/node-");
        listing.write(&mut large);
        assert_eq!(large.len(), listing.encoded_len());
        assert_eq!(large, usual);
        assert!(Reply::decode(opcode, &large).is_ok());
        assert_eq!(watched, ["/d", "/d"]);
        world.say(
            1,
            &format!("delete /d/node-{:010}", if opcode == Opcode::GetChildren { 5000 } else { 5001 }),
        );
    }
    world.play(
        "1: auth u:p                  => ok
         1: setacl /d auth::r         => a1",
    );
    assert!(world.machine.large_listing(&parse("ls /d"), &reader, 1, &mut |_| {}).is_none(), "a refusal");
    assert!(world.machine.large_listing(&parse("ls /none"), &reader, 0, &mut |_| {}).is_none());
    assert!(world.machine.large_listing(&parse("get /"), &reader, 0, &mut |_| {}).is_none());
}

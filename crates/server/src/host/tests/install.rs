//! The snapshot of another member replaces the state while clients read.

use std::sync::Arc;

use consensus::entry::Position;
use consensus::membership::SnapshotMeta;
use group::Token;
use storage::snapshot;

use super::{World, told};
use crate::connections::Traffic;
use group::GroupId;

/// A past bug: a member that installed a snapshot answered reads from the new state before it
/// closed its clients' connections. The clients saw changes whose watch events they had not
/// received, and since they reconnected with the zxid of what they had seen, they never received
/// them.
#[test]
fn clients_are_told_to_go_before_anybody_can_read_an_installed_snapshot() {
    let mut world = World::new(1);
    let mut life = world.launch("first").expect("a sound disk");
    for _ in 0..60 {
        assert!(world.cycle(&mut life, "sound"));
    }
    let traffic = Arc::new(Traffic::new("10.0.0.1:1".parse().expect("an address"), GroupId::ROOT, 0));
    life.shared.connections.admit(Token(0), &traffic, 0, 0).expect("there is no bound");
    let (disk, dir) =
        (Arc::clone(life.host.slots[0].snapshots.disk()), life.host.slots[0].snapshots.dir().to_owned());
    let names = snapshot::list(disk.as_ref(), &dir, GroupId::ROOT.0).expect("the directory");
    assert!(names.len() > 1, "each is another state: {names:?}");
    for name in names.iter().cycle().take(20) {
        let position = Position { index: name.index, term: name.term };
        let meta = SnapshotMeta { position, ..SnapshotMeta::default() };
        let before = life.shared.root().machine.read().last_zxid();
        if before == name.zxid {
            continue;
        }
        assert!(told(&life.shared).iter().all(super::was_refused), "nobody asked for anything");
        let reader = std::thread::spawn({
            let shared = Arc::clone(&life.shared);
            move || loop {
                if let Some(machine) = shared.root().machine.try_read()
                    && machine.last_zxid() != before
                {
                    return shared.mailboxes[0].is_full();
                }
            }
        });
        life.host.install(0, &meta).expect("a sound disk");
        assert!(
            reader.join().expect("it reads"),
            "a connection that reads the new state finds itself closed"
        );
    }
}

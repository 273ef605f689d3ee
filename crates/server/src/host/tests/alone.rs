//! A server whose configuration names it alone, on every kind of data it may find.

use group::GroupId;
use std::sync::Arc;

use wire::opcode::Opcode;

use super::ensemble::{ENGINES, Trio, create, read};
use super::reconfig::changeable;
use crate::config::{Config, ServerId};
use crate::host::force_new_cluster::force_new_cluster;
use crate::host::recovery::{Files, RecoveryError};
use crate::simulation::{Ended, Member};

fn alone(config: &Config) -> Config {
    Config { ensemble: None, ..config.clone() }
}

impl Trio {
    /// Starts a server whose configuration no longer lists other servers.
    fn start_alone(&mut self, server: ServerId) -> Result<(), Ended> {
        let config = alone(&self.configs[&server]);
        let member = Member::start(Arc::new(self.disks[&server].clone()), config, &self.time)?;
        self.members.insert(server, member);
        Ok(())
    }
}

/// A past bug: the server logged that it was ready, reported `Mode: standalone`, and let every
/// client hang: the data have other voters, whose votes cannot be dropped because one file does not
/// name them.
#[test]
fn one_of_several_does_not_start_alone() {
    for engine in ENGINES {
        let mut trio = Trio::of((0..=2).map(|server| changeable(server, engine, &[0, 1, 2])));
        trio.until("all serve", Trio::all_serve);
        trio.write_through(1, "/of-three");
        (0..=2).for_each(|server| trio.crash(server));
        for server in 0..=2 {
            let Err(Ended::Recovery(why)) = trio.start_alone(server) else { panic!("{engine}: it starts") };
            assert!(matches!(why, RecoveryError::NotAlone { .. }), "{engine}: {why}");
            let text = why.to_string();
            assert!(text.contains("server.0, server.1, server.2 vote"), "{text}");
            assert!(text.contains("`ostler recover`"), "{text}");
        }
        // What the error message advises.
        let files = Files { disk: Arc::new(trio.disks[&2].clone()), background: false };
        force_new_cluster(&files, &alone(&trio.configs[&2])).unwrap();
        trio.start_alone(2).unwrap();
        let (wire, ..) = trio.connect(2, None);
        assert_eq!(trio.call(&wire, 1, Opcode::GetData, &read("/of-three")).0.err, 0, "{engine}");
        assert_eq!(trio.call(&wire, 2, Opcode::Create, &create("/alone", 0)).0.err, 0, "{engine}");
    }
}

/// A `reconfig` has made the server the only member. The log has that change, no snapshot has it
/// yet.
#[test]
fn the_last_one_of_several_goes_on_alone() {
    for engine in ENGINES {
        let mut trio = Trio::of((1..=3).map(|server| changeable(server, engine, &[1, 2, 3])));
        trio.until("all serve", Trio::all_serve);
        let last = trio.leader().expect("somebody leads");
        let (wire, ..) = trio.connect(last, None);
        for (xid, other) in (1..).zip((1..=3).filter(|server| *server != last)) {
            assert!(trio.reconfig(&wire, xid, &[], &other.to_string()).is_ok(), "{engine}");
        }
        (1..=3).for_each(|server| trio.crash(server));
        trio.start_alone(last).unwrap();
        assert!(trio.members[&last].is_serving(GroupId::ROOT), "{engine}");
        trio.write_through(last, "/alone");
        for other in (1..=3).filter(|server| *server != last) {
            assert!(trio.start_alone(other).is_err(), "{engine}: it has no vote");
        }
    }
}

/// The server waited for the others to found the ensemble with, and never heard from them.
#[test]
fn one_that_was_never_taken_in_begins_alone() {
    for engine in ENGINES {
        let mut trio = Trio::of([changeable(2, engine, &[1, 2, 3])]);
        (0..200).for_each(|_| trio.step());
        assert!(!trio.members[&2].is_serving(GroupId::ROOT));
        trio.crash(2);
        for _ in 0..2 {
            trio.start_alone(2).unwrap();
            assert!(trio.members[&2].is_serving(GroupId::ROOT), "{engine}");
            trio.crash(2);
        }
    }
}

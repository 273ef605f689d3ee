//! More than half of the voters are lost for ever, and a remaining one founds a new ensemble.

use group::GroupId;
use std::sync::Arc;

use storage::disk::SimDisk;
use wire::opcode::Opcode;

use super::ensemble::{ENGINES, Trio, create, read};
use crate::config::{EngineKind, ServerId};
use crate::host::force_new_cluster::{ForceNewClusterError, Found, force_new_cluster, look};
use crate::host::recovery::Files;

impl Trio {
    fn files(&self, server: ServerId) -> Files {
        Files { disk: Arc::new(self.disks[&server].clone()), background: false }
    }

    fn look(&self, server: ServerId) -> Result<Found, ForceNewClusterError> {
        look(&self.files(server), &self.configs[&server])
    }

    fn force_new_cluster(&self, server: ServerId) -> Result<Found, ForceNewClusterError> {
        force_new_cluster(&self.files(server), &self.configs[&server])
    }
}

#[test]
fn what_one_server_has_becomes_a_new_ensemble() {
    for engine in ENGINES {
        let mut trio = Trio::new(engine);
        trio.until("all serve", Trio::all_serve);
        let leader = trio.leader().expect("somebody leads");
        let (wire, session, passwd) = trio.connect(leader, None);
        for xid in 1..=30 {
            let created =
                trio.call(&wire, xid, Opcode::Create, &create(&format!("/n{xid}"), i32::from(xid == 30)));
            assert_eq!(created.0.err, 0);
        }
        let applied = trio.members[&leader].applied_index(GroupId::ROOT);
        let left = leader % 3 + 1;
        trio.until("the one that will be left has all", |t| {
            t.members[&left].applied_index(GroupId::ROOT) == applied
        });
        (1..=3).for_each(|server| trio.crash(server));

        let seen = trio.look(left).unwrap();
        assert_eq!(trio.look(left).unwrap(), seen, "{engine}: looking changes nothing");
        assert!(seen.index >= applied && seen.sessions == 1, "{engine}: {seen:?}");
        let founded = trio.force_new_cluster(left).unwrap();
        assert_ne!(founded.cluster, seen.cluster, "{engine}");
        // An interrupted run would be repeated.
        assert_eq!(trio.force_new_cluster(left).unwrap().index, seen.index + 1, "{engine}");

        trio.start(left);
        trio.until("it serves alone", Trio::all_serve);
        let (wire, again, _) = trio.connect(left, Some((session, passwd)));
        assert_eq!(again, session, "{engine}: sessions live on");
        assert_eq!(trio.call(&wire, 31, Opcode::GetData, &read("/n30")).0.err, 0, "{engine}: its ephemeral");
        assert_eq!(trio.call(&wire, 32, Opcode::Create, &create("/after", 0)).0.err, 0, "{engine}");
        for other in (1..=3).filter(|server| *server != left) {
            trio.disks.insert(other, SimDisk::new(90 + u64::from(other)));
            trio.start(other);
        }
        let voters = |t: &Trio| t.members[&left].facts().root.member.map_or(0, |member| member.voters.len());
        trio.until("all vote again", |t| voters(t) == 3 && t.all_serve());
        trio.crash(left);
        trio.until("the others go on", |t| t.leader().is_some() && t.all_serve());
        let (wire, ..) = trio.connect(left % 3 + 1, None);
        for (xid, path) in (1..).zip(["/n1", "/n29", "/after"]) {
            assert_eq!(trio.call(&wire, xid, Opcode::GetData, &read(path)).0.err, 0, "{engine}: {path}");
        }
    }
}

#[test]
fn an_empty_server_founds_nothing() {
    let mut trio = Trio::new(EngineKind::Raft);
    trio.until("all serve", Trio::all_serve);
    trio.crash(1);
    trio.disks.insert(1, SimDisk::new(5));
    assert!(matches!(trio.look(1), Err(ForceNewClusterError::Empty)));
    assert!(matches!(trio.force_new_cluster(1), Err(ForceNewClusterError::Empty)));
}

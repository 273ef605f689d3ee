//! Directories that do not belong together are refused, and nothing in them is changed; those that
//! do are served.
//!
//! An operator gave the log a disk of its own by adding `dataLogDir` to the configuration of a
//! server that had data. The server started with an empty log and served an empty tree. The same
//! happened with the two directories swapped, with the log's disk lost or not mounted, and with the
//! data's disk.

use std::path::Path;

use storage::disk::Disk as _;

use super::ensemble::Trio;
use super::*;
use crate::config::EngineKind;
use crate::host::log_owner;
use crate::host::recovery::RecoveryError;

/// One server and the directories it is started with.
struct Server {
    disk: SimDisk,
    config: Config,
    workload: Workload,
}

/// A server with these directories on `disk`.
fn server_on(disk: &SimDisk, data_dir: &str, log_dir: &str) -> Server {
    let World { mut config, workload, .. } = World::new(1);
    config.storage.data_dir = data_dir.into();
    config.storage.log_dir = log_dir.into();
    Server { disk: disk.clone(), config, workload }
}

impl Server {
    /// Starts, takes some writes and stops. Returns the last zxid.
    fn work(&mut self) -> i64 {
        let world = World { disk: self.disk.clone(), config: self.config.clone(), ..World::new(1) };
        let files = Files { disk: Arc::new(self.disk.clone()), background: false };
        let recovered = recover(files, &self.config, features(&self.config.requests)).expect("it starts");
        let shared = world.share(recovered.machines);
        let mut host = world.lead(&shared, recovered.parts).expect("it leads");
        for _ in 0..5 {
            let batch = {
                let machine = shared.root().machine.read();
                self.workload.batch(|session| machine.session(session).is_some())
            };
            submit(&shared, &batch);
            host.cycle().expect("a sound disk");
        }
        host.end().expect("a sound disk");
        shared.root().machine.read().last_zxid()
    }

    /// Starts on the existing files. Returns the zxid after the start.
    fn start(&self) -> Result<i64, RecoveryError> {
        let files = Files { disk: Arc::new(self.disk.clone()), background: false };
        let recovered = recover(files, &self.config, features(&self.config.requests))?;
        // What is not in the snapshot is in the log, and is applied when the server leads.
        let world = World { disk: self.disk.clone(), config: self.config.clone(), ..World::new(1) };
        let shared = world.share(recovered.machines);
        let host = world.lead(&shared, recovered.parts).expect("it leads");
        host.end().expect("a sound disk");
        Ok(shared.root().machine.read().last_zxid())
    }
}

/// All files below a directory.
fn files_below(disk: &SimDisk, dir: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for name in disk.list(Path::new(dir)).unwrap_or_default() {
        let path = Path::new(dir).join(&name);
        match disk.contents(&path) {
            Some(bytes) => found.push((path, bytes)),
            None => found.extend(files_below(disk, &path.to_string_lossy())),
        }
    }
    found
}

fn copy(disk: &SimDisk, from: &str, to: &str) {
    for (path, bytes) in files_below(disk, from) {
        disk.put(&Path::new(to).join(path.strip_prefix(from).expect("it is below")), &bytes);
    }
}

fn remove(disk: &SimDisk, dir: &str) {
    for (path, _) in files_below(disk, dir) {
        disk.remove(&path).expect("it is there");
    }
}

fn rename(disk: &SimDisk, from: &str, to: &str) {
    copy(disk, from, to);
    remove(disk, from);
}

/// What an operator does to the directories between two starts.
type Change = fn(&SimDisk);

/// What the next start does.
enum Then {
    Serves,
    IsNew,
    Refuses(&'static [&'static str]),
}

use Then::{IsNew, Refuses, Serves};

/// The name of the case; the directories before it; what the operator does; the directories after
/// it; what the start does.
type Case = (&'static str, [&'static str; 2], Change, [&'static str; 2], Then);

const NOTHING: Change = |_| {};

/// Directories are (`dataDir`, `dataLogDir`) of the first server. A second server has /c and /d.
#[rustfmt::skip]
const CASES: &[Case] = &[
    ("nothing changes", ["/a", "/a"], NOTHING, ["/a", "/a"], Serves),
    ("nothing changes, two directories", ["/a", "/b"], NOTHING, ["/a", "/b"], Serves),
    ("dataLogDir is set later", ["/a", "/a"], NOTHING, ["/a", "/b"],
        Refuses(&["/b/log: the log of this server is not here but in /a/log", "Move that folder to /b/log"])),
    ("dataLogDir is set later, and the log moved", ["/a", "/a"], |disk| rename(disk, "/a/log", "/b/log"), ["/a", "/b"], Serves),
    ("dataLogDir is set later, and all of it moved", ["/a", "/a"], |disk| rename(disk, "/a", "/b"), ["/a", "/b"],
        Refuses(&["/b/log: holds the log of server.1", "dataDir=/a"])),
    ("dataLogDir is taken out", ["/a", "/b"], NOTHING, ["/a", "/a"],
        Refuses(&["not here but in /b/log", "let dataLogDir be /b"])),
    ("dataLogDir is taken out, and the log moved", ["/a", "/b"], |disk| rename(disk, "/b/log", "/a/log"), ["/a", "/a"], Serves),
    ("dataLogDir is another one", ["/a", "/b"], NOTHING, ["/a", "/e"], Refuses(&["not here but in /b/log"])),
    ("dataLogDir is another one, and the log moved", ["/a", "/b"], |disk| rename(disk, "/b/log", "/e/log"), ["/a", "/e"], Serves),
    ("dataDir is another one, and the data moved", ["/a", "/b"], |disk| rename(disk, "/a", "/e"), ["/e", "/b"], Serves),
    ("both move", ["/a", "/b"], |disk| { rename(disk, "/a", "/e"); rename(disk, "/b", "/f") }, ["/e", "/f"], Serves),
    ("the two are swapped", ["/a", "/b"], NOTHING, ["/b", "/a"], Refuses(&["swapped", "/a/ostler.member"])),
    ("the log's disk is lost", ["/a", "/b"], |disk| remove(disk, "/b"), ["/a", "/b"],
        Refuses(&["/b/log: the log of this server is gone", "/a/ostler.member is removed"])),
    ("the log's folder is removed", ["/a", "/a"], |disk| remove(disk, "/a/log"), ["/a", "/a"], Refuses(&["is gone"])),
    ("the log's segments are removed", ["/a", "/b"], |disk| for (path, _) in files_below(disk, "/b/log") {
        if !path.ends_with(log_owner::NAME) { disk.remove(&path).expect("it is there") }
    }, ["/a", "/b"], Refuses(&["is gone"])),
    ("the data's disk is lost", ["/a", "/b"], |disk| remove(disk, "/a"), ["/a", "/b"],
        Refuses(&["/b/log: holds the log of server.1", "/a holds none of its data", "dataDir=/a"])),
    ("dataDir is an empty directory", ["/a", "/b"], NOTHING, ["/e", "/b"], Refuses(&["/e holds none of its data"])),
    ("the identity is removed", ["/a", "/a"], |disk| disk.remove(Path::new("/a/ostler.member")).expect("it is there"), ["/a", "/a"],
        Refuses(&["/a holds none of its data"])),
    ("both are lost", ["/a", "/b"], |disk| { remove(disk, "/a"); remove(disk, "/b") }, ["/a", "/b"], IsNew),
    ("another server's log", ["/a", "/b"], NOTHING, ["/a", "/d"], Refuses(&["/d/log: holds the log of server.1", "was in /b/log last"])),
    ("another server's data", ["/a", "/b"], NOTHING, ["/c", "/b"], Refuses(&["dataDir=/a"])),
    ("a new server on a log", ["/a", "/b"], NOTHING, ["/b", "/e"], Refuses(&["swapped", "/b/log"])),
    ("a new server with its log in another's data", ["/a", "/b"], NOTHING, ["/e", "/a"], Refuses(&["/a/ostler.member"])),
    ("a new server on a disk that others use too", ["/a", "/b"], NOTHING, ["/e", "/f"], IsNew),
    ("an old copy of the log", ["/a", "/b"], |disk| { remove(disk, "/b"); copy(disk, "/old/b", "/b") }, ["/a", "/b"],
        Refuses(&["/b/log is of start 1", "/a of start 2"])),
    ("an old copy of the data", ["/a", "/b"], |disk| { remove(disk, "/a"); copy(disk, "/old/a", "/a") }, ["/a", "/b"],
        Refuses(&["/b/log is of start 2", "/a of start 1"])),
    ("an old copy of both", ["/a", "/b"], |disk| for dir in ["/a", "/b"] {
        remove(disk, dir); copy(disk, &format!("/old{dir}"), dir)
    }, ["/a", "/b"], Serves),
    ("the log was copied once and left behind", ["/a", "/b"], |disk| copy(disk, "/old/b/log", "/a/log"), ["/a", "/a"],
        Refuses(&["is an old copy"])),
];

#[test]
fn directories_that_do_not_belong_together_are_refused() {
    for (what, [data, log], change, [then_data, then_log], then) in CASES {
        let disk = SimDisk::new(1);
        let mut first = server_on(&disk, data, log);
        let old_zxid = first.work();
        ["/a", "/b"].iter().for_each(|dir| copy(&disk, dir, &format!("/old{dir}")));
        let zxid = first.work();
        server_on(&disk, "/c", "/d").work();
        change(&disk);
        let before = ["/a", "/b", "/c", "/d"].map(|dir| files_below(&disk, dir));
        let started = server_on(&disk, then_data, then_log).start();
        match (then, started) {
            // Starting to lead takes a zxid of its own.
            (Serves, Ok(found)) => {
                assert!(found > zxid.min(old_zxid) && found >> 32 >= zxid.min(old_zxid) >> 32, "{what}");
                assert!(found > zxid || what.contains("old copy"), "{what}: {found:#x} after {zxid:#x}");
            }
            (IsNew, Ok(found)) => assert!(found < old_zxid, "{what}: {found:#x}"),
            (Refuses(parts), Err(why)) => {
                let text = why.to_string();
                assert!(parts.iter().all(|part| text.contains(part)), "{what}: {text}");
                let is_kept = |files: &Vec<(PathBuf, Vec<u8>)>| {
                    files.iter().all(|(path, bytes)| {
                        path.ends_with("ostler.lock") || disk.contents(path).as_ref() == Some(bytes)
                    })
                };
                assert!(before.iter().all(is_kept), "{what}: something was changed");
            }
            (_, Ok(found)) => panic!("{what}: it starts with zxid {found:#x}"),
            (_, Err(why)) => panic!("{what}: {why}"),
        }
    }
}

/// The files of an older version name no log: the log is used where it is, and from then on belongs
/// with its data.
#[test]
fn directories_of_an_older_version_are_taken_up() {
    for [data, log] in [["/a", "/a"], ["/a", "/b"]] {
        let disk = SimDisk::new(1);
        let zxid = server_on(&disk, data, log).work();
        let member = Path::new("/a/ostler.member");
        let line = String::from_utf8(disk.contents(member).expect("it is there")).expect("a line");
        let (older, _) = line.split_once(" log=").expect("the log's name");
        disk.put(member, format!("{older}\n").as_bytes());
        disk.remove(&Path::new(log).join("log").join(log_owner::NAME)).expect("it is there");

        if data == log {
            let elsewhere = server_on(&disk, "/a", "/e").start().unwrap_err();
            assert!(elsewhere.to_string().contains("not here but in /a/log"), "{elsewhere}");
        }
        assert!(server_on(&disk, data, log).start().expect("it starts") > zxid);
        assert!(server_on(&disk, "/a", "/e").start().is_err(), "the log is known now");
    }
}

/// A disk that is not mounted leaves an empty directory, like that of a new server.
/// `db.autocreate=false` says that an empty one is not expected.
#[test]
fn a_server_begins_with_nothing_only_if_that_is_wanted() {
    let disk = SimDisk::new(1);
    let mut server = server_on(&disk, "/a", "/b");
    server.config.storage.create_data = false;
    let refused = server.start().unwrap_err().to_string();
    assert!(refused.contains("create the file /a/initialize"), "{refused}");
    disk.put(Path::new("/a/initialize"), b"");
    let zxid = server.work();
    assert!(server.start().expect("it has data") > zxid);
    ["/a", "/b"].iter().for_each(|dir| remove(&disk, dir));
    assert!(server.start().is_err(), "it was wanted once");
}

/// A member without its log must not go on under its id: it would vote twice in a term, and
/// acknowledge entries it does not have. The log may only be on a disk that is not mounted, so the
/// member is not reset for it either: the error says what to do.
#[test]
fn a_member_that_has_lost_its_log_does_not_start_until_it_is_empty() {
    for engine in [EngineKind::Raft, EngineKind::Paxos] {
        let mut trio = Trio::new(engine);
        trio.until("all serve", Trio::all_serve);
        let leader = trio.leader().expect("somebody leads");
        let victim = leader % 3 + 1;
        trio.crash(victim);
        let disk = trio.disks[&victim].clone();
        remove(&disk, "/data/log");
        let before = files_below(&disk, "/data/snapshot");
        let config = &trio.configs[&victim];
        let files = Files { disk: Arc::new(disk.clone()), background: false };
        let refused = recover(files, config, features(&config.requests)).err().expect("it does not start");
        assert!(refused.to_string().contains("empty /data too"), "{refused}");
        assert_eq!(files_below(&disk, "/data/snapshot"), before);
        remove(&disk, "/data");
        trio.start(victim);
        trio.until("it is filled again", Trio::all_serve);
    }
}

//! Which member of which group a data directory belongs to.
//!
//! ```text
//! DATA_DIR/ostler.member     "server=3 nonce=6f…09 engine=raft boot=17 cluster=d2…70 member=3
//!                             key=b1…7c founders=1:8a…41,2:…,3:6f…09
//!                             log=8a…41 at=/var/lib/ostler\n"     (all in one line)
//! ```
//!
//! The nonce is drawn once for each directory: it tells a disk that was wiped from the one that had
//! the same server number before. `member=0` says that the directory belongs to no member yet;
//! together with a cluster, that it no longer does ([`reseed`](super::reseed)). `founders` are the
//! voters a new group starts with, and the nonces of their disks; they are kept here because a log
//! without a snapshot can only be read with the members it was written under, whatever the
//! configuration says by then. A member that joined later has none. `log` names the log that
//! belongs with the directory ([`log_owner`](super::log_owner)), and `at` the `dataLogDir` it was
//! in at the last start; older versions wrote neither.
//!
//! `key` is the key by which members prove to each other that they are members: the server that
//! founds the group draws it, and every member gets it when it becomes one. So the file is a
//! secret, which only its owner may read. Founders whose version had no key derive one from what
//! they share.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::ServerId;
use consensus::entry::MemberId;
use group::group::{MemberIdentity, cluster_of};
use group::message::{Founder, PeerKey};
use sha2::{Digest as _, Sha256};
use storage::IoFailure;
use storage::disk::{Disk, Mode};

use super::log_owner;

/// The name of the file.
pub(super) const NAME: &str = "ostler.member";
/// More bytes than any such line has.
const BYTES_MAX: u64 = 16 << 10;

/// The contents of the file, as of this start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The server's number (`myid`); 1 if it has none.
    pub(crate) server: ServerId,
    /// Identifies the disk.
    pub(crate) nonce: u64,
    /// The engine that writes the log.
    pub(crate) engine: String,
    /// The count of starts.
    pub(crate) boot: u64,
    /// Identifies the group, the same on all its members; 0 if the server belongs to none.
    pub(crate) cluster: u64,
    /// Its id in its group, if it belongs to one.
    pub(crate) member: Option<MemberId>,
    /// The key by which members of the group prove that they are members; there is one exactly if
    /// there is a cluster.
    pub(crate) key: Option<PeerKey>,
    /// Voters of the new group; empty if it existed before this member.
    pub(crate) founders: Vec<Founder>,
    /// Identifies the log that belongs with the directory; 0 if an older version wrote the file.
    pub(super) log: u64,
    /// `dataLogDir` of the last start.
    pub(super) log_dir: PathBuf,
}

/// Why the directory cannot be this member's.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file system refused an operation.
    #[error("{failure}: {cause}", failure = .0, cause = .0.source)]
    Io(#[from] IoFailure),
    /// This version does not write such a file.
    #[error("{}: not a line this version can read: {line:?}. Start the version that wrote it, or restore the file from a backup", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What it says.
        line: String,
    },
    /// A member that joined its ensemble before members had a key.
    #[error("{}: holds no key of the ensemble, for this server joined it under an earlier version. Give the server an empty data directory; the others fill it again", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The data belong to another server of the ensemble.
    #[error("{}: holds the data of server.{found}, and this is server.{wanted} (myid). Give each server a directory of its own", path.display())]
    OtherServer {
        /// The file.
        path: PathBuf,
        /// The server whose data they are.
        found: ServerId,
        /// The server whose data they should be.
        wanted: ServerId,
    },
    /// The log was written by the other engine.
    #[error("{}: the ensemble was created with ostler.consensus={found}, and the configuration says {wanted}. The engine of an ensemble cannot be changed", path.display())]
    OtherEngine {
        /// The file.
        path: PathBuf,
        /// The engine that the ensemble was created with.
        found: String,
        /// The engine in the configuration.
        wanted: String,
    },
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Identity { server, nonce, engine, boot, cluster, .. } = self;
        let member = self.member.map_or(0, |member| member.0);
        let key = self.key.as_ref().map(hex).unwrap_or_default();
        let founders: Vec<_> =
            self.founders.iter().map(|founder| format!("{}:{:x}", founder.member.0, founder.nonce)).collect();
        let founders = founders.join(",");
        write!(
            f,
            "server={server} nonce={nonce:x} engine={engine} boot={boot} cluster={cluster:x} member={member} key={key} founders={founders}"
        )?;
        writeln!(f, " log={:x} at={}", self.log, self.log_dir.display())
    }
}

impl Identity {
    /// The part of the identity that the group needs.
    pub(crate) fn of_member(&self) -> MemberIdentity {
        let Identity { server, nonce, boot, cluster, member, key, founders, .. } = self.clone();
        MemberIdentity { server, nonce, boot, cluster, member, key, founders }
    }

    /// The identity of the same directory as another member.
    pub(crate) fn with_member(&self, known: &MemberIdentity) -> Identity {
        let MemberIdentity { server, nonce, boot, cluster, member, key, founders } = known.clone();
        Identity { server, nonce, boot, cluster, member, key, founders, ..self.clone() }
    }

    /// The identity of a server without data. A server that is alone founds a group of one at once.
    pub(crate) fn new(disk: &dyn Disk, server: ServerId, engine: &str, alone: bool) -> Identity {
        let (member, nonce) = (group::first_member_of(server), disk.entropy());
        let founders = if alone { vec![Founder { member, nonce }] } else { Vec::new() };
        let member = alone.then_some(member);
        let cluster = cluster_of(&founders);
        let (engine, log, log_dir) = (engine.to_owned(), disk.entropy().max(1), PathBuf::new());
        let key = alone.then(|| new_key(disk));
        Identity { server, nonce, engine, boot: 0, cluster, member, key, founders, log, log_dir }
    }

    /// Reads the identity of this member, or takes `new` if there is none; increments the count of
    /// starts, durably. `log_dir` is where its log is this time.
    ///
    /// # Errors
    /// The file cannot be read or written, or belongs to another server or engine.
    pub(crate) fn open(
        disk: &dyn Disk,
        dir: &Path,
        log_dir: &Path,
        new: Identity,
    ) -> Result<Identity, IdentityError> {
        let mut identity = match Identity::load(disk, dir)? {
            None => new,
            Some(mut known) => {
                check(&dir.join(NAME), &known, &new)?;
                if known.log == 0 {
                    known.log = new.log;
                }
                if known.key.is_none() && known.member.is_some() {
                    known.key = Some(
                        founders_key(&known.founders).ok_or(IdentityError::NoKey { path: dir.join(NAME) })?,
                    );
                }
                known
            }
        };
        identity.boot += 1;
        identity.log_dir = log_owner::absolute(log_dir);
        identity.save(disk, dir)?;
        Ok(identity)
    }

    /// Reads the identity in a directory; `None` if the file does not exist.
    pub(super) fn load(disk: &dyn Disk, dir: &Path) -> Result<Option<Identity>, IdentityError> {
        let path = dir.join(NAME);
        let Some(line) = read(disk, &path)? else { return Ok(None) };
        parse(&line).map(Some).ok_or(IdentityError::Malformed { path, line: shown(&line) })
    }

    /// Reads the identity in a directory; `None` if the file does not exist or cannot be parsed.
    pub(super) fn find(disk: &dyn Disk, dir: &Path) -> Result<Option<Identity>, IdentityError> {
        Ok(read(disk, &dir.join(NAME))?.and_then(|line| parse(&line)))
    }

    /// Whether the server was a member of a group, has lost its data, and waits for the group to
    /// reseed it.
    pub(crate) fn awaits_reseed(&self) -> bool {
        self.member.is_none() && self.cluster != 0
    }

    /// The identity of the same server and cluster without its membership. The disk gets another
    /// nonce, because the promises made under the old one are forgotten.
    pub(super) fn awaiting_reseed(&self, nonce: u64) -> Identity {
        Identity { nonce, member: None, founders: Vec::new(), ..self.clone() }
    }

    /// Writes the identity, durably; to the owner file in the folder of the log first.
    pub(crate) fn save(&self, disk: &dyn Disk, dir: &Path) -> Result<(), IdentityError> {
        log_owner::sign(disk, self, dir)?;
        write(disk, dir, NAME, &self.to_string())
    }
}

/// The key of a group whose founders recorded none. Their list is the only thing they share that
/// others do not know.
fn founders_key(founders: &[Founder]) -> Option<PeerKey> {
    let numbers = founders.iter().flat_map(|founder| [founder.member.0, founder.nonce]);
    let bytes = numbers.flat_map(u64::to_be_bytes).collect::<Vec<u8>>();
    (!founders.is_empty()).then(|| PeerKey::new(Sha256::digest(bytes).into()))
}

/// A line for a message, without the key in it.
fn shown(line: &str) -> String {
    let hide = |word: &str| if word.starts_with("key=") { "key=…".to_owned() } else { word.to_owned() };
    line.split(' ').map(hide).collect::<Vec<_>>().join(" ")
}

/// A random key for a new group.
pub(crate) fn new_key(disk: &dyn Disk) -> PeerKey {
    let mut key = [0; PeerKey::BYTES];
    key.chunks_mut(8).for_each(|part| part.copy_from_slice(&disk.entropy().to_be_bytes()));
    PeerKey::new(key)
}

fn hex(key: &PeerKey) -> String {
    key.bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn parse_key(text: &str) -> Option<PeerKey> {
    let byte = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    let bytes = (0..text.len()).step_by(2).map(byte).collect::<Option<Vec<u8>>>()?;
    Some(PeerKey::new(bytes.try_into().ok()?))
}

fn check(path: &Path, known: &Identity, wanted: &Identity) -> Result<(), IdentityError> {
    let path = path.to_owned();
    if known.server != wanted.server {
        let (found, wanted) = (known.server, wanted.server);
        return Err(IdentityError::OtherServer { path, found, wanted });
    }
    if known.engine != wanted.engine {
        let (found, wanted) = (known.engine.clone(), wanted.engine.clone());
        return Err(IdentityError::OtherEngine { path, found, wanted });
    }
    Ok(())
}

fn parse(line: &str) -> Option<Identity> {
    let line = line.strip_suffix('\n')?;
    let (line, log, log_dir) = match line.split_once(" log=") {
        None => (line, 0, PathBuf::new()),
        Some((line, of_log)) => {
            let (log, log_dir) = of_log.split_once(" at=")?;
            (line, u64::from_str_radix(log, 16).ok()?, PathBuf::from(log_dir))
        }
    };
    let mut words = line.split(' ');
    let mut value = |key: &str| words.next()?.strip_prefix(key)?.strip_prefix('=');
    let server = value("server")?.parse().ok()?;
    let nonce = u64::from_str_radix(value("nonce")?, 16).ok()?;
    let engine = value("engine")?.to_owned();
    let boot = value("boot")?.parse().ok()?;
    let cluster = u64::from_str_radix(value("cluster")?, 16).ok()?;
    let member: u64 = value("member")?.parse().ok()?;
    let word = words.next()?;
    // Older versions wrote no key.
    let (key, founders) = match word.strip_prefix("key=") {
        None => (None, word),
        Some("") => (None, words.next()?),
        Some(text) => (Some(parse_key(text)?), words.next()?),
    };
    let founders = founders.strip_prefix("founders=")?.split(',').filter(|text| !text.is_empty());
    let founders = founders.map(parse_founder);
    let founders = founders.collect::<Option<Vec<_>>>()?;
    let member = (member != 0).then_some(MemberId(member));
    let identity = Identity { server, nonce, engine, boot, cluster, member, key, founders, log, log_dir };
    words.next().is_none().then_some(identity)
}

fn parse_founder(text: &str) -> Option<Founder> {
    let (member, nonce) = text.split_once(':')?;
    Some(Founder { member: MemberId(member.parse().ok()?), nonce: u64::from_str_radix(nonce, 16).ok()? })
}

/// Reads the line in a small file; `None` if the file does not exist.
pub(super) fn read(disk: &dyn Disk, path: &Path) -> Result<Option<String>, IdentityError> {
    let failed = |action| IoFailure::of(path, action);
    let file = match disk.open(path, Mode::Read) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed("open")(e).into()),
    };
    let length = file.len().map_err(failed("read"))?.min(BYTES_MAX);
    let mut bytes = vec![0; length as usize];
    let read = file.read_at(&mut bytes, 0).map_err(failed("read"))?;
    bytes.truncate(read);
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// Replaces the contents of a small file by a line, durably and atomically.
pub(super) fn write(disk: &dyn Disk, dir: &Path, name: &str, line: &str) -> Result<(), IdentityError> {
    let path = dir.join(format!("{name}.new"));
    let failed = |action| IoFailure::of(&path, action);
    let file = disk.open(&path, Mode::CreatePrivate).map_err(failed("create"))?;
    file.write_at(line.as_bytes(), 0).map_err(failed("write"))?;
    file.sync_data().map_err(failed("sync"))?;
    disk.rename(&path, &dir.join(name)).map_err(failed("rename"))?;
    Ok(disk.sync_dir(dir).map_err(failed("sync the directory of"))?)
}

#[cfg(test)]
mod tests {
    use storage::disk::SimDisk;

    use super::*;

    fn new(disk: &SimDisk, server: ServerId, engine: &str) -> Identity {
        Identity::new(disk, server, engine, true)
    }

    #[test]
    fn starts_are_counted_and_the_disk_keeps_its_name() {
        let disk = SimDisk::new(1);
        let dir = Path::new("/data");
        disk.create_dir(&dir.join("log")).unwrap();
        let first = Identity::open(&disk, dir, dir, new(&disk, 2, "raft")).unwrap();
        disk.crash();
        let again = Identity::open(&disk, dir, dir, new(&disk, 2, "raft")).unwrap();
        assert_eq!((first.boot, again.boot), (1, 2));
        assert_eq!(again, Identity { boot: 2, ..first });
    }

    #[test]
    fn the_directory_of_another_server_or_engine_is_refused() {
        let disk = SimDisk::new(1);
        let dir = Path::new("/data");
        disk.create_dir(&dir.join("log")).unwrap();
        Identity::open(&disk, dir, dir, new(&disk, 2, "raft")).unwrap();
        let refused = Identity::open(&disk, dir, dir, new(&disk, 3, "raft")).unwrap_err();
        assert!(matches!(refused, IdentityError::OtherServer { found: 2, wanted: 3, .. }), "{refused}");
        let refused = Identity::open(&disk, dir, dir, new(&disk, 2, "paxos")).unwrap_err();
        assert!(matches!(refused, IdentityError::OtherEngine { .. }), "{refused}");
    }

    #[test]
    fn only_whole_lines_are_read() {
        let mut identity = new(&SimDisk::new(1), 2, "raft");
        identity.founders.push(Founder { member: MemberId(258), nonce: 7 });
        identity.log_dir = PathBuf::from("/a disk/of its own at=x log=y");
        let line = identity.to_string();
        assert_eq!(parse(&line), Some(identity.clone()));
        for cut in 0..line.len() {
            assert_eq!(parse(&line[..cut]), None, "{cut}");
        }
        identity.member = None;
        identity.key = None;
        identity.founders.clear();
        assert_eq!(parse(&identity.to_string()), Some(identity));
        let older = "server=2 nonce=1 engine=raft boot=1 cluster=0 member=2 founders=";
        assert_eq!(parse(&format!("{older} x\n")), None);
        let older = parse(&format!("{older}\n")).expect("what older versions wrote is read");
        assert_eq!((older.log, older.log_dir, older.key), (0, PathBuf::new(), None));
    }

    #[test]
    fn founders_without_a_key_make_the_same_one_and_others_have_none() {
        let disk = SimDisk::new(1);
        let dir = Path::new("/data");
        disk.create_dir(&dir.join("log")).unwrap();
        let founders = "1:8a,2:9b";
        let key_of = |server: u32, founders: &str| {
            let line = format!(
                "server={server} nonce=1 engine=raft boot=1 cluster=5 member={server} founders={founders}\n"
            );
            write(&disk, dir, NAME, &line).unwrap();
            Identity::open(&disk, dir, dir, new(&disk, server, "raft")).map(|identity| identity.key)
        };
        let key = key_of(1, founders).unwrap();
        assert!(key.is_some());
        assert_eq!(key_of(2, founders).unwrap(), key);
        assert_ne!(key_of(2, "1:8a,2:9c").unwrap(), key);
        assert!(matches!(key_of(3, ""), Err(IdentityError::NoKey { .. })));
    }

    #[test]
    fn a_key_is_kept_and_shown_in_no_message() {
        let identity = new(&SimDisk::new(1), 2, "raft");
        let line = identity.to_string();
        assert_eq!(parse(&line).unwrap().key, identity.key);
        let hex = hex(&identity.key.unwrap());
        assert!(
            line.contains(&hex) && !shown(&line).contains(&hex) && !format!("{identity:?}").contains(&hex)
        );
    }
}

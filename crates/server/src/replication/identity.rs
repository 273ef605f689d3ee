//! Which member of which group a data directory belongs to.
//!
//! ```text
//! DATA_DIR/ostler.member     "member=3 engine=raft boot=17 founders=1,2,3\n"
//! ```
//!
//! `founders` are the voters a new group starts with; they are kept here because a log without a snapshot can only be read with the
//! members it was written under, whatever the configuration says by then. A member that joined later has none.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use consensus::entry::MemberId;
use storage::disk::{Disk, Mode};

const NAME: &str = "ostler.member";
const NEW_NAME: &str = "ostler.member.new";
/// More than any such line has.
const BYTES_MAX: u64 = 4096;

/// The contents of the file, as of this start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// This member.
    pub(crate) member: MemberId,
    /// The engine that wrote the log.
    pub(crate) engine: String,
    /// Counts the starts.
    pub(crate) boot: u64,
    /// Voters of the new group, or nobody if it existed before this member.
    pub(crate) founders: Vec<MemberId>,
}

/// Why the directory cannot be this member's.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file system refused an operation.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Not what this version writes.
    #[error("{}: not a line this version can read: {line:?}. Start the version that wrote it, or restore the file from a backup", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What it says.
        line: String,
    },
    /// The data belong to another server of the ensemble.
    #[error("{}: holds the data of server.{found}, and this is server.{wanted} (myid). Give each server a directory of its own", path.display())]
    OtherServer {
        /// The file.
        path: PathBuf,
        /// Whose data.
        found: u64,
        /// Whose they should be.
        wanted: u64,
    },
    /// The log was written by the other engine.
    #[error("{}: the ensemble was created with ostler.consensus={found}, and the configuration says {wanted}. The engine of an ensemble cannot be changed", path.display())]
    OtherEngine {
        /// The file.
        path: PathBuf,
        /// As created.
        found: String,
        /// As configured.
        wanted: String,
    },
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let founders: Vec<_> = self.founders.iter().map(|member| member.0.to_string()).collect();
        writeln!(
            f,
            "member={} engine={} boot={} founders={}",
            self.member.0,
            self.engine,
            self.boot,
            founders.join(",")
        )
    }
}

impl Identity {
    /// Reads who this member is, or makes it `new`; counts the start, durably.
    pub(crate) fn open(disk: &dyn Disk, dir: &Path, new: Identity) -> Result<Identity, IdentityError> {
        let path = dir.join(NAME);
        let mut identity = match read(disk, &path)? {
            None => new,
            Some(line) => {
                let known = parse(&line)
                    .ok_or_else(|| IdentityError::Malformed { path: path.clone(), line: line.clone() })?;
                check(&path, &known, &new)?;
                known
            }
        };
        identity.boot += 1;
        write(disk, dir, &identity.to_string())?;
        Ok(identity)
    }
}

fn check(path: &Path, known: &Identity, wanted: &Identity) -> Result<(), IdentityError> {
    let path = path.to_owned();
    if known.member.0 & 0xFF != wanted.member.0 & 0xFF {
        let (found, wanted) = (known.member.0 & 0xFF, wanted.member.0 & 0xFF);
        return Err(IdentityError::OtherServer { path, found, wanted });
    }
    if known.engine != wanted.engine {
        let (found, wanted) = (known.engine.clone(), wanted.engine.clone());
        return Err(IdentityError::OtherEngine { path, found, wanted });
    }
    Ok(())
}

fn parse(line: &str) -> Option<Identity> {
    let mut words = line.strip_suffix('\n')?.split(' ');
    let mut value = |key: &str| words.next()?.strip_prefix(key)?.strip_prefix('=');
    let member = MemberId(value("member")?.parse().ok()?);
    let engine = value("engine")?.to_owned();
    let boot = value("boot")?.parse().ok()?;
    let founders = value("founders")?;
    let founders = founders.split(',').filter(|text| !text.is_empty());
    let founders = founders.map(|text| text.parse().ok().map(MemberId)).collect::<Option<Vec<_>>>()?;
    words.next().is_none().then_some(Identity { member, engine, boot, founders })
}

fn read(disk: &dyn Disk, path: &Path) -> Result<Option<String>, IdentityError> {
    let failed = |action| move |source| IdentityError::Io { path: path.to_owned(), action, source };
    let file = match disk.open(path, Mode::Read) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed("open")(e)),
    };
    let length = file.len().map_err(failed("read"))?.min(BYTES_MAX);
    let mut bytes = vec![0; length as usize];
    let read = file.read_at(&mut bytes, 0).map_err(failed("read"))?;
    bytes.truncate(read);
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

fn write(disk: &dyn Disk, dir: &Path, line: &str) -> Result<(), IdentityError> {
    let path = dir.join(NEW_NAME);
    let failed = |action| {
        let path = path.clone();
        move |source| IdentityError::Io { path, action, source }
    };
    let file = disk.open(&path, Mode::Create).map_err(failed("create"))?;
    file.write_at(line.as_bytes(), 0).map_err(failed("write"))?;
    file.sync_data().map_err(failed("sync"))?;
    disk.rename(&path, &dir.join(NAME)).map_err(failed("rename"))?;
    disk.sync_dir(dir).map_err(failed("sync the directory of"))
}

#[cfg(test)]
mod tests {
    use storage::disk::SimDisk;

    use super::*;

    fn new(member: u64, engine: &str) -> Identity {
        let founders = [1, 2, 3].map(MemberId).to_vec();
        Identity { member: MemberId(member), engine: engine.to_owned(), boot: 0, founders }
    }

    #[test]
    fn starts_are_counted_and_founders_kept() {
        let disk = SimDisk::new(1);
        let dir = Path::new("/data");
        disk.create_dir(dir).unwrap();
        assert_eq!(Identity::open(&disk, dir, new(2, "raft")).unwrap().boot, 1);
        disk.crash();
        let mut other = new(2, "raft");
        other.founders.clear();
        let again = Identity::open(&disk, dir, other).unwrap();
        assert_eq!((again.boot, again.founders.len()), (2, 3));
    }

    #[test]
    fn the_directory_of_another_server_or_engine_is_refused() {
        let disk = SimDisk::new(1);
        let dir = Path::new("/data");
        disk.create_dir(dir).unwrap();
        Identity::open(&disk, dir, new(2, "raft")).unwrap();
        let refused = Identity::open(&disk, dir, new(3, "raft")).unwrap_err();
        assert!(matches!(refused, IdentityError::OtherServer { found: 2, wanted: 3, .. }), "{refused}");
        let refused = Identity::open(&disk, dir, new(2, "paxos")).unwrap_err();
        assert!(matches!(refused, IdentityError::OtherEngine { .. }), "{refused}");
    }

    #[test]
    fn only_whole_lines_are_read() {
        let line = new(2, "raft").to_string();
        assert_eq!(parse(&line), Some(new(2, "raft")));
        for cut in 0..line.len() {
            assert_eq!(parse(&line[..cut]), None, "{cut}");
        }
        assert_eq!(parse("member=2 engine=raft boot=1 founders= x\n"), None);
    }
}

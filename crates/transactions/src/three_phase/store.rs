//! What agents keep on their disk: a file for each transaction.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use commit::three_phase::State;
use serde::{Deserialize, Serialize};

use super::frame::Parties;
use crate::TransactionId;

/// What is known of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) parties: Parties,
    /// The place of this agent.
    pub(super) me: usize,
    state: String,
    /// What the participant wants to know again.
    pub(super) receipt: String,
}

impl Kept {
    pub(super) fn new(parties: Parties, me: usize) -> Self {
        Self { parties, me, state: State::Initial.to_string(), receipt: String::new() }
    }

    pub(super) fn state(&self) -> Option<State> {
        self.state.parse().ok()
    }

    pub(super) fn set_state(&mut self, state: State) {
        self.state = state.to_string();
    }
}

/// The folder.
#[derive(Debug, Clone)]
pub(super) struct Store {
    folder: PathBuf,
}

impl Store {
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.to_owned() })
    }

    fn path(&self, id: TransactionId) -> PathBuf {
        self.folder.join(id.to_string())
    }

    /// Replaces the file of a transaction; it is on the disk when this returns.
    pub(super) fn write(&self, id: TransactionId, kept: &Kept) -> io::Result<()> {
        let new = self.folder.join(format!("{id}.new"));
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec(kept)?)?;
        file.sync_all()?;
        fs::rename(&new, self.path(id))?;
        File::open(&self.folder)?.sync_all()
    }

    pub(super) fn delete(&self, id: TransactionId) -> io::Result<()> {
        fs::remove_file(self.path(id))
    }

    /// All transactions. A file whose first write was cut short does not count.
    pub(super) fn all(&self) -> io::Result<Vec<(TransactionId, Kept)>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let Ok(id) = entry.file_name().to_string_lossy().parse::<TransactionId>() else { continue };
            all.push((id, serde_json::from_slice(&fs::read(entry.path())?)?));
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::Cluster;

    #[test]
    fn what_was_written_last_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], 7000));
        let mut kept = Kept::new(Parties { coordinator: address, agents: Vec::new() }, 1);
        let id = TransactionId { cluster: Cluster(1), coordinator: 2, number: 3 };
        store.write(id, &kept).unwrap();
        kept.set_state(State::PreCommitted);
        kept.receipt = "742".to_owned();
        store.write(id, &kept).unwrap();
        std::fs::write(folder.path().join(format!("{id}.new")), "torn").unwrap();
        assert_eq!(store.all().unwrap(), [(id, kept.clone())]);
        assert_eq!(kept.state(), Some(State::PreCommitted));
        store.delete(id).unwrap();
        assert!(store.all().unwrap().is_empty());
    }
}

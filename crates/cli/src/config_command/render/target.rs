//! Files that are replaced at one moment.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

/// A file that is rendered.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// As it was named.
    pub(super) path: PathBuf,
    /// Permissions of a file that does not exist yet.
    pub(super) mode: u32,
}

/// A new file beside the one that it is to replace. It is removed when this is dropped.
#[derive(Debug)]
pub(super) struct Staged {
    /// The new file.
    pub(super) path: PathBuf,
    /// What it replaces. Where the target is a symbolic link, the file behind it.
    target: PathBuf,
    is_done: bool,
}

impl Target {
    /// What the file contains; `None` if it does not exist.
    ///
    /// # Errors
    /// It cannot be read, or is no regular file.
    pub(super) fn content(&self) -> io::Result<Option<Vec<u8>>> {
        match fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
            Ok(metadata) if !metadata.is_file() => Err(io::Error::other("this is no regular file")),
            Ok(_) => fs::read(&self.path).map(Some),
        }
    }

    /// Writes the content to a new file beside the target, with the owner and permissions of the
    /// target, and flushes it to the disk.
    ///
    /// # Errors
    /// Writing fails, or this user may not give the file to the target's owner.
    pub(super) fn stage(&self, content: &[u8]) -> io::Result<Staged> {
        let (target, old) = self.resolve()?;
        let (folder, name) = folder_and_name(&target)?;
        let path = folder.join(format!(".{}.ostler-new", name.to_string_lossy()));
        // That of a process that was killed. `create_new` follows no link that is put here after.
        remove_if_there(&path)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let staged = Staged { path, target, is_done: false };
        file.write_all(content)?;
        if let Some(old) = &old {
            let new = file.metadata()?;
            if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
                fchown(&file, Some(old.uid()), Some(old.gid()))?;
            }
        }
        let mode = old.map_or(self.mode, |old| old.mode() & 0o7777);
        file.set_permissions(Permissions::from_mode(mode))?;
        file.sync_all()?;
        Ok(staged)
    }

    /// Whether a reload is owed: this file was replaced, or was about to be, and no reload that has
    /// succeeded followed.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub(super) fn owes_reload(&self) -> io::Result<bool> {
        let (target, _) = self.resolve()?;
        match fs::symlink_metadata(note_of(&target)?) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Notes that no reload is owed any more.
    ///
    /// # Errors
    /// The note cannot be removed.
    pub(super) fn forget_reload(&self) -> io::Result<()> {
        let (target, _) = self.resolve()?;
        remove_if_there(&note_of(&target)?)
    }

    /// The file behind symbolic links, and what is known of it if it exists.
    fn resolve(&self) -> io::Result<(PathBuf, Option<fs::Metadata>)> {
        match fs::symlink_metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((self.path.clone(), None)),
            Err(error) => Err(error),
            Ok(_) => {
                let target = fs::canonicalize(&self.path)?;
                let metadata = fs::metadata(&target)?;
                Ok((target, Some(metadata)))
            }
        }
    }
}

impl Staged {
    /// Notes on the disk that a reload is owed, for the case that this process ends after
    /// [`Self::commit`] and before the reload.
    ///
    /// # Errors
    /// The note cannot be written.
    pub(super) fn note_reload(&self) -> io::Result<()> {
        let note = note_of(&self.target)?;
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&note) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let (folder, _) = folder_and_name(&self.target)?;
        File::open(folder)?.sync_all()
    }

    /// Replaces the target.
    ///
    /// # Errors
    /// The target is as it was, unless only the folder could not be flushed.
    pub(super) fn commit(mut self) -> io::Result<()> {
        fs::rename(&self.path, &self.target)?;
        self.is_done = true;
        let (folder, _) = folder_and_name(&self.target)?;
        File::open(folder)?.sync_all()
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.is_done {
            // The next attempt removes it otherwise.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The empty file that says of a target that a reload is owed.
fn note_of(target: &Path) -> io::Result<PathBuf> {
    let (folder, name) = folder_and_name(target)?;
    Ok(folder.join(format!(".{}.ostler-reload", name.to_string_lossy())))
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn folder_and_name(path: &Path) -> io::Result<(&Path, &std::ffi::OsStr)> {
    let name = path.file_name().ok_or_else(|| io::Error::other("this is no name of a file"))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    Ok((folder.unwrap_or(Path::new(".")), name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn target(path: PathBuf) -> Target {
        Target { path, mode: 0o640 }
    }

    #[test]
    fn a_file_is_replaced_with_its_permissions_and_behind_its_link() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        target(real.clone()).stage(b"one").unwrap().commit().unwrap();
        assert_eq!(fs::metadata(&real).unwrap().mode() & 0o7777, 0o640);
        fs::set_permissions(&real, Permissions::from_mode(0o604)).unwrap();
        symlink(&real, &link).unwrap();
        target(link.clone()).stage(b"two").unwrap().commit().unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        let new = fs::metadata(&real).unwrap();
        assert_eq!((fs::read(&real).unwrap().as_slice(), new.mode() & 0o7777), (&b"two"[..], 0o604));
    }

    #[test]
    fn what_is_not_committed_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "old").unwrap();
        // That of a process that was killed.
        fs::write(folder.path().join(".file.ostler-new"), "half").unwrap();
        let staged = target(path.clone()).stage(b"new").unwrap();
        assert_eq!(fs::read(&staged.path).unwrap(), b"new");
        drop(staged);
        let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!((names, fs::read(&path).unwrap().as_slice()), (vec!["file".into()], &b"old"[..]));
    }

    #[test]
    fn a_reload_is_owed_from_the_note_until_it_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        let owes = |path: &Path| target(path.to_owned()).owes_reload().unwrap();
        assert!(!owes(&real), "there is no such file yet");
        let staged = target(real.clone()).stage(b"new").unwrap();
        staged.note_reload().unwrap();
        // As after a process that was killed before.
        staged.note_reload().unwrap();
        assert!(owes(&real));
        staged.commit().unwrap();
        symlink(&real, &link).unwrap();
        assert!(owes(&real) && owes(&link));
        target(link.clone()).forget_reload().unwrap();
        target(link.clone()).forget_reload().unwrap();
        assert!(!owes(&real) && !owes(&link));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn only_regular_files_are_replaced() {
        let folder = tempfile::tempdir().unwrap();
        assert!(target(folder.path().to_owned()).content().is_err());
        let dangling = folder.path().join("dangling");
        symlink(folder.path().join("nowhere"), &dangling).unwrap();
        assert!(target(dangling).stage(b"x").is_err());
        assert_eq!(target(folder.path().join("none")).content().unwrap(), None);
    }
}

//! `ostler serve --user`: a process that is started as root becomes another user for good.

use std::ffi::CString;

use nix::unistd::{self, Gid, Group, Uid, User};

/// Why the process has not become that user. It must end: it may be halfway.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UserError {
    /// There is no such user.
    #[error("--user: there is no user {0}")]
    NoUser(String),
    /// There is no such group.
    #[error("--user: there is no group {0}")]
    NoGroup(String),
    /// The user is root.
    #[error("--user {0}: that is root; name a user without its rights")]
    Root(String),
    /// It runs as somebody else.
    #[error("--user {0}: only root can become another user; this process runs as user {1}")]
    NotRoot(String, Uid),
    /// The system refuses.
    #[error("--user {0}: {1}")]
    System(String, nix::Error),
    /// It could become root again.
    #[error("--user {0}: root's rights are still there")]
    Kept(String),
}

/// Becomes the user of `NAME` or `NAME:GROUP`, with that group and, without one, the groups of the
/// user. To be called while the process has one thread: the others keep what they have by Linux'
/// rules. No program that the process starts can get more rights again.
///
/// # Errors
/// It is not that user, or not for good.
pub(crate) fn become_user(text: &str) -> Result<(), UserError> {
    let (name, group) = text.split_once(':').map_or((text, None), |(name, group)| (name, Some(group)));
    let system = |error| UserError::System(text.to_owned(), error);
    let user = User::from_name(name).map_err(system)?.ok_or_else(|| UserError::NoUser(name.to_owned()))?;
    let gid = match group {
        None => user.gid,
        Some(group) => {
            let found = Group::from_name(group).map_err(system)?;
            found.ok_or_else(|| UserError::NoGroup(group.to_owned()))?.gid
        }
    };
    if user.uid.is_root() || gid == Gid::from_raw(0) {
        return Err(UserError::Root(text.to_owned()));
    }
    if is(user.uid, gid) {
        return Ok(());
    }
    if !Uid::effective().is_root() {
        return Err(UserError::NotRoot(text.to_owned(), Uid::effective()));
    }
    match group {
        Some(_) => unistd::setgroups(&[gid]),
        None => {
            let name = CString::new(name).map_err(|_| UserError::NoUser(name.to_owned()))?;
            unistd::initgroups(&name, gid)
        }
    }
    .map_err(system)?;
    unistd::setresgid(gid, gid, gid).map_err(system)?;
    unistd::setresuid(user.uid, user.uid, user.uid).map_err(system)?;
    rustix::thread::set_no_new_privs(true).map_err(|e| system(nix::Error::from_raw(e.raw_os_error())))?;
    let root = Uid::from_raw(0);
    if !is(user.uid, gid) || unistd::setresuid(root, root, root).is_ok() {
        return Err(UserError::Kept(text.to_owned()));
    }
    Ok(())
}

/// Whether the process is this user and group, and nobody else beside.
fn is(uid: Uid, gid: Gid) -> bool {
    let (Ok(users), Ok(groups)) = (unistd::getresuid(), unistd::getresgid()) else { return false };
    let (users, groups) =
        ([users.real, users.effective, users.saved], [groups.real, groups.effective, groups.saved]);
    users.iter().all(|of| *of == uid) && groups.iter().all(|of| *of == gid)
}

/// Who runs this program, and where: for histories and records.
pub(crate) fn user_and_host() -> String {
    let uid = Uid::effective();
    let user = User::from_uid(uid).ok().flatten();
    let user = user.map_or_else(|| uid.to_string(), |user| user.name);
    format!("{user}@{}", rustix::system::uname().nodename().to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What it does is in `tests/tests/user.rs`; a process of tests has several threads.
    #[test]
    fn what_nobody_can_become_is_told() {
        for (text, expected) in [
            ("nosuchuser", "there is no user nosuchuser"),
            ("", "there is no user "),
            ("root", "that is root"),
            ("root:nosuchgroup", "there is no group nosuchgroup"),
        ] {
            let error = become_user(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}

//! A server whose configuration names it alone, on data that may be those of a member of several.
//!
//! The votes of the others cannot be dropped because one file does not name them: they may have
//! committed entries that this server has not received, and may go on without it. So the server
//! does not start, and says what to do. Data of a member that is the only voter, because a
//! `reconfig` or `ostler recover` made it that, are served, whichever number and engine it had.

use consensus::engine::Start;
use consensus::entry::{EntryKind, MemberId};
use consensus::membership::MembershipChange;

use storage::disk::Disk;

use super::identity::{Identity, IdentityError};
use super::recovery::Opened;
use super::recovery_error::RecoveryError;
use crate::config::{Config, ServerId};

/// The identity with which a server starts. A server that has never been a member of a group, and
/// is alone now, founds one of its own.
pub(super) fn found(disk: &dyn Disk, config: &Config, identity: Identity) -> Result<Identity, IdentityError> {
    if config.ensemble.is_some() || identity.member.is_some() || identity.awaits_reseed() {
        return Ok(identity);
    }
    let new = Identity::new(disk, identity.server, &identity.engine, true);
    let Identity { boot, log, log_dir, .. } = identity;
    let new = Identity { boot, log, log_dir, ..new };
    new.save(disk, &config.storage.data_dir)?;
    Ok(new)
}

/// Checks that a server whose configuration names it alone can serve these data.
///
/// # Errors
/// The data have other voters.
pub(super) fn check(config: &Config, opened: &Opened) -> Result<(), RecoveryError> {
    let identity = &opened.identity;
    if config.ensemble.is_some() {
        return Ok(());
    }
    let voters = voters_of(&opened.groups[0].start);
    if identity.member.is_some_and(|me| voters == [me]) {
        return Ok(());
    }
    let mut servers: Vec<ServerId> = voters.into_iter().map(group::server_of).collect();
    servers.sort_unstable();
    let dir = config.storage.data_dir.clone();
    Err(RecoveryError::NotAlone { dir, server: identity.server, voters: list(&servers) })
}

fn list(servers: &[ServerId]) -> String {
    match servers {
        [] => "others".to_owned(),
        _ => servers.iter().map(|server| format!("server.{server}")).collect::<Vec<_>>().join(", "),
    }
}

/// The voters, according to the entries that the data show as committed.
fn voters_of(start: &Start) -> Vec<MemberId> {
    let Start { hard_state, snapshot, entries } = start;
    let committed = entries.iter().filter(|entry| {
        let is_new = entry.index > snapshot.position.index && entry.index <= hard_state.commit;
        is_new && entry.kind == EntryKind::Membership
    });
    let changes = committed.filter_map(|entry| MembershipChange::from_bytes(&entry.data).ok());
    let membership = changes.fold(snapshot.membership.clone(), |membership, change| {
        membership.with(change).unwrap_or(membership)
    });
    membership.voters
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use consensus::entry::{Entry, HardState};

    use super::*;

    #[test]
    fn the_voters_are_those_of_the_agreed_changes() {
        let [one, two, three] = [1, 2, 3].map(group::first_member_of);
        let remove = |index, member: MemberId| {
            let data = [&[2][..], &member.0.to_be_bytes()].concat();
            Entry { index, term: 1, kind: EntryKind::Membership, data: Bytes::from(data) }
        };
        let mut start = Start::bootstrap(&[one, two, three]);
        let first = start.snapshot.position.index + 1;
        start.entries = vec![remove(first, two), remove(first + 1, three)];
        for (commit, expected) in
            [(first - 1, vec![one, two, three]), (first, vec![one, three]), (first + 1, vec![one])]
        {
            start.hard_state = HardState { commit, ..start.hard_state };
            assert_eq!(voters_of(&start), expected);
        }
    }
}

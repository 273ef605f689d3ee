//! Members by the configuration files, where `reconfig` is off.
//!
//! The leader makes the committed membership follow the files, one change at a time. One file may
//! be out of date, so a vote is given or taken only if a majority of the voters before the change,
//! and of the voters after it, have files that agree about the server concerned. No server loses
//! its vote while it is heard from and its own file says that it votes. Until then files and
//! membership differ, and the server says so ([decision
//! 0024](../../../../docs/decisions/0024-members-by-the-files.md)).

use std::collections::{BTreeMap, BTreeSet};

use crate::message::ServerMessage;
use crate::server_of;
use consensus::engine::Status;
use consensus::entry::MemberId;
use consensus::membership::{Membership, MembershipChange};
use state::members::text_of;

use crate::group::Group;
use crate::member_status::{FileDifference, MemberRole};
use crate::plan::is_majority;
use state::members::{ServerId, Servers};

/// A file's entry for each server: whether it is an observer.
pub(crate) type Roles = BTreeMap<ServerId, bool>;

/// A server's report of its file counts for this long, in ms.
const TOLD_MS_MAX: i64 = 2_000;

/// The committed members are rewritten at most this often, in ms: a change may still be on its way
/// into the log.
const WRITTEN_MS_MAX: i64 = 1_000;

/// What is known of the servers' files.
#[derive(Debug, Default)]
pub(crate) struct Files {
    /// Each server's report of its file, and its arrival, in ms of this server's clock.
    told: BTreeMap<ServerId, (i64, Roles)>,
    /// The differences last written to the process's log.
    warned: Vec<FileDifference>,
    /// When the members were last written to the consensus log, in ms of the server's clock.
    written_ms: Option<i64>,
    /// A file has changed, or a change that the files allow has begun: there may be more to change.
    has_news: bool,
}

impl Files {
    /// A server reports its file.
    pub(crate) fn told(&mut self, server: ServerId, roles: Roles, now_ms: i64) {
        let known = self.told.insert(server, (now_ms, roles));
        self.has_news |=
            known.map(|(_, roles)| roles).as_ref() != self.told.get(&server).map(|(_, roles)| roles);
    }

    /// A server may come back with another file.
    pub(crate) fn lose(&mut self, server: ServerId) {
        self.told.remove(&server);
    }

    /// Whether there may be something to change.
    pub(crate) fn has_news(&self) -> bool {
        self.has_news
    }

    /// A leader has checked what there is to change, and whether it has begun a change.
    pub(crate) fn looked(&mut self, has_begun: bool) {
        self.has_news = has_begun;
    }

    fn known(&self, now_ms: i64) -> BTreeMap<ServerId, &Roles> {
        let fresh = self.told.iter().filter(|(_, (told_ms, _))| now_ms - told_ms <= TOLD_MS_MAX);
        fresh.map(|(server, (_, roles))| (*server, roles)).collect()
    }
}

fn roles_of(servers: &Servers) -> Roles {
    servers.iter().map(|(server, member)| (*server, member.observer)).collect()
}

fn votes_by(roles: &Roles, server: ServerId) -> bool {
    roles.get(&server) == Some(&false)
}

/// Whether the known files allow a change of these members.
fn allow(members: &Membership, change: MembershipChange, files: &BTreeMap<ServerId, &Roles>) -> bool {
    let (member, server) = (change.member(), server_of(change.member()));
    let takes_vote = members.voters.contains(&member);
    let says_so = |roles: &Roles| match change {
        MembershipChange::AddVoter(_) => votes_by(roles, server),
        MembershipChange::AddLearner(_) | MembershipChange::Remove(_) if takes_vote => {
            !votes_by(roles, server)
        }
        MembershipChange::AddLearner(_) => true,
        MembershipChange::Remove(_) => !roles.contains_key(&server),
    };
    let agrees = |voter: &&MemberId| files.get(&server_of(**voter)).is_some_and(|roles| says_so(roles));
    let is_allowed = |m: &Membership| is_majority(m.voters.iter().filter(agrees).count(), m.voters.len());
    is_allowed(members) && members.with(change).is_some_and(|after| is_allowed(&after))
}

impl Group {
    /// Whether the configuration files decide who the members are.
    pub(crate) fn goes_by_files(&self) -> bool {
        self.settings.ensemble.is_some() && !self.settings.reconfig
    }

    fn own_roles(&self) -> Roles {
        self.settings.ensemble.as_ref().map(|e| roles_of(&e.members)).unwrap_or_default()
    }

    /// Reports this server's file to the leader.
    pub(crate) fn tell_file(&mut self) {
        let leader = self.replica.role().leader.map(server_of).filter(|leader| *leader != self.me);
        if let Some(leader) = leader.filter(|_| self.is_root() && self.goes_by_files()) {
            let roles = self.own_roles().into_iter().collect();
            self.send(leader, ServerMessage::File(roles));
        }
    }

    /// Voters that are heard from and whose files are not known to take their vote: they keep it.
    pub(crate) fn keeping(&self, status: &Status, heard: &BTreeSet<MemberId>) -> BTreeSet<ServerId> {
        if !self.goes_by_files() {
            return BTreeSet::new();
        }
        let files = self.files.known(self.now.ms);
        let keeps = |server: &ServerId| files.get(server).is_none_or(|roles| votes_by(roles, *server));
        let voters = status.membership.voters.iter().filter(|voter| heard.contains(voter));
        voters.map(|voter| server_of(*voter)).filter(keeps).collect()
    }

    /// Whether the files allow a change now.
    pub(crate) fn files_allow(&self, members: &Membership, change: MembershipChange) -> bool {
        if !self.goes_by_files() {
            return true;
        }
        let own = self.own_roles();
        let mut files = self.files.known(self.now.ms);
        files.insert(self.me, &own);
        allow(members, change, &files)
    }

    /// The servers of the file, and voters that are missing from it.
    pub(crate) fn servers_by_file(&mut self) -> Servers {
        let Some(ensemble) = &self.settings.ensemble else { return Servers::new() };
        let mut servers = ensemble.members.clone();
        let agreed = self
            .shared
            .machine
            .read()
            .members()
            .current
            .as_ref()
            .map(|current| state::members::servers_of(&current.text));
        for voter in self.replica.status().membership.voters {
            let server = server_of(voter);
            let known = self.reconfig.directory().get(&server);
            let known = known.or_else(|| agreed.as_ref().and_then(|agreed| agreed.get(&server)));
            // A server that has just started may not have seen what is committed.
            let known = known.or_else(|| self.reconfig.told_of(server));
            if let Some(known) = known {
                servers.entry(server).or_insert_with(|| known.clone());
            }
        }
        servers
    }

    /// Writes [`servers_by_file`](Self::servers_by_file) as the configuration, if they differ.
    pub(crate) fn write_down_members(&mut self) {
        let now_ms = self.now.ms;
        if !self.goes_by_files() || self.files.written_ms.is_some_and(|ms| now_ms - ms < WRITTEN_MS_MAX) {
            return;
        }
        let text = text_of(&self.servers_by_file());
        let is_written =
            self.shared.machine.read().members().current.as_ref().is_some_and(|current| current.text == text);
        if !is_written {
            self.files.written_ms = Some(now_ms);
            self.set_members(&text);
        }
    }

    /// Differences between this server's file and the committed members; on a leader, also those
    /// between its file and the other servers' files.
    pub(crate) fn file_differences(&mut self, status: &Status, role: MemberRole) -> Vec<FileDifference> {
        if !self.goes_by_files() || role == MemberRole::Newcomer {
            return Vec::new();
        }
        let own = self.own_roles();
        let voters = status.membership.voters.iter().map(|voter| server_of(*voter));
        let mut differences: Vec<_> =
            voters.filter(|server| !votes_by(&own, *server)).map(FileDifference::Votes).collect();
        if role == MemberRole::Leader {
            let files = self.files.known(self.now.ms);
            let others = files.iter().filter(|(_, roles)| ***roles != own);
            differences.extend(others.map(|(server, _)| FileDifference::OtherFile(*server)));
        }
        for difference in &differences {
            if !self.files.warned.contains(difference) {
                tracing::warn!("{difference}. {}", difference.advice());
            }
        }
        self.files.warned.clone_from(&differences);
        differences
    }
}

#[cfg(test)]
mod tests {
    use MembershipChange::{AddLearner, AddVoter, Remove};

    use super::*;

    /// Files are lists of voters; a minus before the number marks an observer.
    fn check(voters: &[u32], change: MembershipChange, files: &[(ServerId, &[i32])]) -> bool {
        let voters: Vec<_> = voters.iter().map(|server| crate::first_member_of(*server)).collect();
        let files: BTreeMap<ServerId, Roles> = files
            .iter()
            .map(|(server, said)| (*server, said.iter().map(|n| (n.unsigned_abs(), *n < 0)).collect()))
            .collect();
        let files = files.iter().map(|(server, roles)| (*server, roles)).collect();
        allow(&Membership::of_voters(&voters), change, &files)
    }

    #[test]
    fn a_majority_of_the_old_and_of_the_new_voters_must_say_so() {
        let id = crate::first_member_of;
        let (five, three): (&[i32], &[i32]) = (&[1, 2, 3, 4, 5], &[1, 2, 3]);
        for (what, voters, change, files, expected) in [
            ("one file of five", &[1, 2, 3, 4, 5][..], Remove(id(5)), &[(1, three)][..], false),
            ("two", &[1, 2, 3, 4, 5], Remove(id(5)), &[(1, three), (2, three)], false),
            ("three", &[1, 2, 3, 4, 5], Remove(id(5)), &[(1, three), (2, three), (3, three)], true),
            ("the next", &[1, 2, 3, 4], Remove(id(4)), &[(1, three), (2, three), (3, three)], true),
            ("two of four", &[1, 2, 3, 4], Remove(id(4)), &[(1, three), (2, three), (3, five)], false),
            ("one of two", &[1, 2], Remove(id(2)), &[(1, &[1])], false),
            (
                "files of those that do not vote",
                &[1, 2, 3],
                Remove(id(3)),
                &[(1, &[1, 2]), (8, &[1, 2])],
                false,
            ),
            ("a replacement comes", &[1, 2, 3], AddVoter(id(4)), &[(1, &[1, 2, 4]), (2, &[1, 2, 4])], false),
            (
                "with its own file",
                &[1, 2, 3],
                AddVoter(id(4)),
                &[(1, &[1, 2, 4]), (2, &[1, 2, 4]), (4, &[1, 2, 4])],
                true,
            ),
            ("by a stale file", &[1, 2, 3], AddVoter(id(4)), &[(1, &[1, 2, 3, 4]), (2, three)], false),
            ("from one to two", &[1], AddVoter(id(2)), &[(1, &[1, 2]), (2, &[1, 2])], true),
            ("an observer", &[1, 2, 3], AddLearner(id(3)), &[(1, &[1, 2, -3]), (2, &[1, 2, -3])], true),
            ("for one of three", &[1, 2, 3], AddLearner(id(3)), &[(1, &[1, 2, -3]), (2, three)], false),
            ("a learner goes", &[1, 2, 3], Remove(id(4)), &[(1, three), (2, three)], true),
            ("not an observer", &[1, 2, 3], Remove(id(4)), &[(1, three), (2, &[1, 2, 3, -4])], false),
        ] {
            assert_eq!(check(voters, change, files), expected, "{what}");
        }
    }
}

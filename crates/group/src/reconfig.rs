//! Membership changes at run time: how the leader handles a client's `reconfig`, and which servers
//! exist.
//!
//! ```text
//!   client ── reconfig ──► waits at the leader            srvr: Reconfiguration: server.4 joining
//!                          ├─ impossible, or no quorum of the new voters: into the log at once,
//!                          │  which refuses it
//!                          ├─ PROPOSE_CONFIG into the log: the next leader goes on with it
//!                          ├─ learners join, catch up, get votes; then others lose theirs, one at
//!                          │  a time (plan)
//!   client ◄── reply ───── └─ reconfig into the log: /zookeeper/config shows the new members
//! ```
//!
//! A removed server stays as a learner until it is stopped: its clients, one of which may have
//! requested the change, get their answers. A leader that must go answers first, if the others form
//! a majority even while it still counts, and then transfers leadership; otherwise it transfers
//! leadership first, and its successor finishes once the client's server has passed the request on
//! to it.

use std::collections::BTreeSet;

use crate::message::ServerMessage;
use crate::submission::OWN_CXID;
use consensus::engine::Status;
use consensus::entry::MemberId;
use consensus::membership::{MEMBERS_MAX, Membership};
use state::command::{Command, PROPOSE_CONFIG, SET_MEMBERS};
use state::members::{ProposedConfig, servers_of, text_of};
use wire::jute::Put as _;

use crate::directory::add_newer;
use crate::group::{Action, Group};
use crate::member_status::MemberChange;
use crate::plan::{Look, Step};
use crate::timers::TICK_MS;
use state::members::{Member, ServerId, Servers};

/// A proposed configuration is given up when too few of its voters have been up for this long and
/// no member has lost a vote for it.
const SHORT_MS_MAX: i64 = 5_000;

/// The command that ends a proposed configuration is sent into the log again if it has not come out
/// of it for this long. A repetition only raises the version.
const ENDING_MS_MAX: i64 = 30_000;

/// A zxid carries the leadership's number above these bits.
const EPOCH_SHIFT: u32 = 32;

/// A configuration more than this many leaderships ahead is not believed.
const EPOCHS_AHEAD_MAX: i64 = 1 << 20;

/// A leader that continues a proposed configuration waits this long, from its beginning, for the
/// client's command to be passed on to it. Otherwise the leader's own command would complete the
/// change and the client's would be refused as if it had failed.
const REQUEST_MS_MAX: i64 = 1_000;

/// A server that runs has asked to join within this time, in ms, after the leader began to lead or
/// to work towards a configuration.
const JOIN_MS_MAX: i64 = 1_000;

/// A member that must leave and has been silent for this long, in ms, is taken for stopped.
const STOPPED_MS: i64 = 10_000;

/// What is known of the members besides the engine's part.
#[derive(Default)]
pub(crate) struct Reconfig {
    /// The servers this one connects to.
    directory: Servers,
    /// What the directory was derived from.
    made_from: Option<Origin>,
    /// A configuration received from another member, and its version. It tells where servers are
    /// and decides nothing.
    told: Option<(i64, Servers)>,
    /// `told` has changed since the directory was derived.
    has_news: bool,
    /// The configuration does not name this server (any more).
    is_removed: bool,
    /// The request whose proposed configuration is on its way into the log.
    aiming: Option<(i64, i32)>,
    /// When leadership last changed, in ms of the server's clock.
    changed_ms: i64,
    /// Since when too few voters are up, in ms of the server's clock.
    short_since_ms: Option<i64>,
    /// Since when the command that ends the proposed configuration is on its way into the log.
    ending_since_ms: Option<i64>,
    /// The proposed configuration that this leadership works towards, by its request, and since
    /// when.
    pursued: Option<((i64, i32), i64)>,
}

/// What determines the directory.
#[derive(PartialEq, Eq)]
struct Origin {
    /// The version of the committed configuration; 0 before the first one commits.
    version: i64,
    proposed: Option<ProposedConfig>,
    /// The engine's members: a removed one stays until it is stopped.
    membership: Membership,
}

impl Reconfig {
    /// The servers this one connects to.
    pub(crate) fn directory(&self) -> &Servers {
        &self.directory
    }

    /// A server's address, as another member has told it.
    pub(crate) fn told_of(&self, server: ServerId) -> Option<&Member> {
        self.told.as_ref().and_then(|(_, servers)| servers.get(&server))
    }

    /// Whether the configuration does not name this server.
    pub(crate) fn is_removed(&self) -> bool {
        self.is_removed
    }

    /// Sets the servers this one connects to, in a group that follows the root group's members.
    pub(crate) fn set_directory(&mut self, servers: &Servers) {
        self.directory.clone_from(servers);
    }

    /// Leadership has changed.
    pub(crate) fn clear(&mut self, now_ms: i64) {
        self.changed_ms = now_ms;
        (self.aiming, self.short_since_ms, self.ending_since_ms) = (None, None, None);
        self.pursued = None;
    }

    /// Whether a server that runs may not have been heard yet by this leader, since it began to
    /// work towards this configuration, or to lead.
    fn expects_requests(&mut self, proposed: Option<&ProposedConfig>, now_ms: i64) -> bool {
        let request = proposed.map(|proposed| (proposed.session, proposed.cxid));
        if self.pursued.map(|(request, _)| request) != request {
            self.pursued = request.map(|request| (request, now_ms));
        }
        let since_ms = self.pursued.map_or(self.changed_ms, |(_, since_ms)| since_ms);
        now_ms - since_ms < JOIN_MS_MAX
    }
}

impl Group {
    fn is_reconfigurable(&self) -> bool {
        self.settings.reconfig && self.settings.ensemble.is_some()
    }

    /// The wanted servers, and whether all others must go.
    pub(crate) fn wanted(&self) -> (Servers, bool) {
        let Some(ensemble) = &self.settings.ensemble else { return (Servers::new(), false) };
        let machine = self.shared.machine.read();
        let members = machine.members();
        let agreed = members.proposed.as_ref().map(|proposed| &proposed.text);
        let agreed = agreed.or(members.current.as_ref().map(|current| &current.text));
        match agreed {
            Some(text) if self.is_reconfigurable() => (servers_of(text), true),
            _ => (ensemble.members.clone(), false),
        }
    }

    /// Opens links to the committed servers and closes those to others. A server without data goes
    /// by its configuration file.
    pub(crate) fn keep_directory(&mut self) {
        let Some(ensemble) = self.settings.ensemble.as_ref().filter(|_| self.is_root()) else { return };
        let configured = ensemble.members.clone();
        let (version, proposed) = {
            let machine = self.shared.machine.read();
            let members = machine.members();
            (members.current.as_ref().map_or(0, |current| current.version), members.proposed.clone())
        };
        let membership = self.replica.status().membership;
        let made_from = Some(Origin { version, proposed, membership: membership.clone() });
        if !std::mem::take(&mut self.reconfig.has_news) && self.reconfig.made_from == made_from {
            return;
        }
        let mut directory = match self.is_reconfigurable() && version != 0 {
            true => self.committed_servers(&configured),
            false if self.goes_by_files() => self.servers_by_file(),
            false => configured,
        };
        match self.reconfig.told.as_ref().filter(|_| !self.goes_by_files()) {
            Some((later, told)) if *later > version => add_newer(&mut directory, told),
            Some((same, told)) if *same == version => {
                for (server, member) in told {
                    directory.entry(*server).or_insert_with(|| member.clone());
                }
            }
            _ => {}
        }
        let is_removed = !self.wanted().0.contains_key(&self.me);
        if !std::mem::replace(&mut self.reconfig.is_removed, is_removed) && is_removed {
            self.tell_removed();
        }
        self.act(Action::SetPeers(directory.clone()));
        self.act(Action::SetMembers(Box::new(membership)));
        (self.reconfig.directory, self.reconfig.made_from) = (directory, made_from);
    }

    fn tell_removed(&self) {
        let until = if self.shared.flags.is_serving() { "it is stopped" } else { "a reconfig adds it again" };
        let whom = if self.shared.flags.is_serving() { "goes on for its clients" } else { "serves nobody" };
        tracing::warn!("this server was removed from the ensemble: it {whom} until {until}");
    }

    /// The current servers, the wanted ones and members that have yet to go. The committed
    /// configuration no longer names the last; a server that has started since knows at least its
    /// own address from its file, and tells the others.
    fn committed_servers(&mut self, configured: &Servers) -> Servers {
        let mut servers = {
            let machine = self.shared.machine.read();
            let members = machine.members();
            let texts = members.current.iter().map(|current| &current.text);
            texts
                .chain(members.proposed.iter().map(|proposed| &proposed.text))
                .flat_map(|text| servers_of(text))
                .collect::<Servers>()
        };
        let membership = self.replica.status().membership;
        for member in membership.voters.iter().chain(&membership.learners) {
            let server = crate::server_of(*member);
            let known = self.reconfig.directory.get(&server).or_else(|| configured.get(&server));
            if let Some(known) = known {
                servers.entry(server).or_insert_with(|| known.clone());
            }
        }
        servers
    }

    /// Tells another member who the members are.
    pub(crate) fn tell_servers(&mut self, server: ServerId) {
        if let Some(Origin { version: version @ 1.., .. }) = self.reconfig.made_from {
            let text = text_of(&self.reconfig.directory);
            let nonce = self.join_requests.disk_of(server);
            self.send(server, ServerMessage::Servers { version, nonce, text });
        }
    }

    /// Tells wanted servers that are not heard from as members: they may know none of the present
    /// members.
    pub(crate) fn tell_absent(&mut self) {
        if !self.is_root() {
            return;
        }
        let (wanted, _) = self.wanted();
        let membership = self.replica.status().membership;
        let (heard, _) = self.who_is_there();
        let is_here = |member: &MemberId| membership.contains(*member);
        let here: BTreeSet<ServerId> = heard.into_iter().filter(is_here).map(crate::server_of).collect();
        for server in wanted.keys().filter(|server| !here.contains(server)) {
            self.tell_servers(*server);
        }
    }

    /// Whether this member follows a leader and has seen everything committed, including the
    /// members.
    fn knows_members(&self) -> bool {
        self.shared.flags.is_serving() && self.replica.role().leader.is_some()
    }

    /// Another member tells who the members are. Only a server that cannot know better accepts
    /// that.
    pub(crate) fn on_servers(&mut self, version: i64, text: &str) {
        let is_news = self.reconfig.told.as_ref().is_none_or(|(known, _)| *known <= version);
        let servers = servers_of(text);
        let own_epoch = self.shared.machine.read().last_zxid() >> EPOCH_SHIFT;
        let is_near = version >> EPOCH_SHIFT <= own_epoch + EPOCHS_AHEAD_MAX;
        let is_possible = servers.len() <= MEMBERS_MAX && is_near;
        if is_news && is_possible && !self.knows_members() {
            self.reconfig.told = Some((version, servers));
            self.reconfig.has_news = true;
        }
    }

    /// A leader writes the members of its configuration file to the log if there are none yet, or
    /// if the file alone decides.
    pub(crate) fn establish_members(&mut self) {
        let Some(ensemble) = self.settings.ensemble.as_ref().filter(|_| self.is_root()) else { return };
        if self.goes_by_files() {
            return self.write_down_members();
        }
        let text = text_of(&ensemble.members);
        let is_established = self.shared.machine.read().members().current.is_some();
        if !is_established {
            self.set_members(&text);
        }
    }

    pub(crate) fn set_members(&mut self, text: &str) {
        let mut body = Vec::new();
        body.put_str(text);
        self.submit_for_itself(SET_MEMBERS, &body);
    }

    fn submit_for_itself(&mut self, opcode: i32, body: &[u8]) {
        let command = Command { session: 0, cxid: OWN_CXID, opcode, identities: &[], body };
        self.replica.submit_own(self.now.wall_ms, &command);
    }

    /// Whether a membership change is in progress.
    pub(crate) fn is_reconfiguring(&self) -> bool {
        self.replica.waiting_reconfigs().next().is_some()
            || self.shared.machine.read().members().proposed.is_some()
    }

    /// Takes the next step towards the wanted membership.
    pub(crate) fn tend_members(&mut self) {
        if !self.is_root() {
            return self.follow_root();
        }
        let (wanted, strict) = self.wanted();
        let status = self.replica.status();
        self.take_in_newcomers(&status, &wanted);
        let (heard, waiting) = self.who_is_there();
        let me = self.replica.member();
        let keeping = self.keeping(&status, &heard);
        let proposed = self.shared.machine.read().members().proposed.clone();
        let expects_requests = self.reconfig.expects_requests(proposed.as_ref(), self.now.ms);
        let stopped = self.stopped(&status);
        let look = Look {
            me,
            status: &status,
            wanted: &wanted,
            heard: &heard,
            waiting: &waiting,
            keeping: &keeping,
            expects_requests,
            stopped: &stopped,
        };
        match proposed {
            Some(proposed) => {
                self.reconfig.aiming = None;
                self.pursue(&proposed, &look);
            }
            None => {
                self.reconfig.ending_since_ms = None;
                self.maintain(&look, strict);
            }
        }
        self.consider_reconfigs(&status, &heard, &waiting);
    }

    fn who_is_there(&self) -> (BTreeSet<MemberId>, BTreeSet<ServerId>) {
        let now_ms = self.now.ms;
        // A member silent for longer may be gone, and no other member may lose its vote in its
        // favour.
        let silence_ms = 2 * i64::from(self.settings.election_ticks) * TICK_MS;
        (self.peers.up(now_ms, silence_ms), self.join_requests.waiting(now_ms))
    }

    /// Learners that have been silent for a long time, since this leader began to lead.
    fn stopped(&self, status: &Status) -> BTreeSet<MemberId> {
        let now_ms = self.now.ms;
        if now_ms - self.reconfig.changed_ms < STOPPED_MS {
            return BTreeSet::new();
        }
        let is_silent = |member: &&MemberId| !self.peers.is_heard_within(**member, now_ms, STOPPED_MS);
        status.membership.learners.iter().filter(is_silent).copied().collect()
    }

    /// No change is requested: absent servers join, and a leader without a place in the
    /// configuration leaves.
    fn maintain(&mut self, look: &Look<'_>, strict: bool) {
        self.write_down_members();
        let strict = strict || self.goes_by_files();
        let step = look.step(strict);
        let is_allowed = |change| self.files_allow(&look.status.membership, change);
        let begins = matches!(step, Step::Change(change) if is_allowed(change));
        self.files.looked(begins);
        match step {
            Step::Change(change) if begins => self.change_members(change),
            Step::Change(change) => tracing::debug!("{change:?} waits until more files say so"),
            Step::Done if strict && look.is_leader_leaving() => self.make_way(look),
            _ => {}
        }
    }

    fn make_way(&mut self, look: &Look<'_>) {
        if let Some(successor) = look.successor()
            && self.replica.transfer_to(successor).is_ok()
        {
            tracing::info!(
                "this server leaves the ensemble: server.{} is to lead",
                crate::server_of(successor)
            );
        }
    }

    /// Works towards a proposed configuration.
    fn pursue(&mut self, proposed: &ProposedConfig, look: &Look<'_>) {
        let now_ms = self.now.ms;
        if self.reconfig.ending_since_ms.is_some_and(|since_ms| now_ms - since_ms < ENDING_MS_MAX) {
            return;
        }
        let step = look.step(true);
        if step != Step::Short {
            self.reconfig.short_since_ms = None;
        }
        match step {
            Step::Change(change) => self.change_members(change),
            Step::Done if look.is_leader_leaving() && !look.is_leader_spare() => self.make_way(look),
            Step::Done if self.awaits_request(proposed, now_ms) => {}
            Step::Done => {
                self.reconfig.ending_since_ms = Some(now_ms);
                tracing::info!("the members are as they were asked to be");
                self.finish(proposed);
            }
            Step::Short => {
                let since_ms = *self.reconfig.short_since_ms.get_or_insert(now_ms);
                if now_ms - since_ms > SHORT_MS_MAX {
                    self.reconfig.ending_since_ms = Some(now_ms);
                    tracing::warn!(
                        "too few of the servers that are to vote are there: the members stay as they are"
                    );
                    self.submit_for_itself(PROPOSE_CONFIG, &[]);
                    self.let_go(proposed.session, proposed.cxid);
                }
            }
            Step::Wait | Step::Blocked => {}
        }
    }

    /// Whether the command behind the proposed configuration may still be passed on to this leader.
    fn awaits_request(&self, proposed: &ProposedConfig, now_ms: i64) -> bool {
        let request = (proposed.session, proposed.cxid);
        let is_open = || self.shared.machine.read().session(proposed.session).is_some();
        let is_here = || self.replica.waiting_reconfigs().any(|c| (c.session, c.cxid) == request);
        now_ms - self.reconfig.changed_ms < REQUEST_MS_MAX && is_open() && !is_here()
    }

    /// Makes the proposed configuration the current one: by the client's command if it waits here,
    /// otherwise by the leader's own. The command of a session that has ended is refused.
    fn finish(&mut self, proposed: &ProposedConfig) {
        let is_open = self.shared.machine.read().session(proposed.session).is_some();
        if !self.let_go(proposed.session, proposed.cxid) || !is_open {
            self.set_members(&proposed.text);
        }
    }

    /// Releases a request to the log, if it waits here and its session has not moved; returns
    /// whether it did.
    fn let_go(&mut self, session: i64, cxid: i32) -> bool {
        let waits = self.replica.waiting_reconfigs().any(|c| (c.session, c.cxid) == (session, cxid));
        let now_ms = self.now.wall_ms;
        waits && self.replica.let_go(now_ms, &self.shared.machine.read(), session)
    }

    /// Examines waiting requests: at most one becomes the proposed configuration, and the log
    /// refuses the others.
    fn consider_reconfigs(
        &mut self,
        status: &Status,
        heard: &BTreeSet<MemberId>,
        waiting: &BTreeSet<ServerId>,
    ) {
        let features = self.settings.features;
        let (mut proposed, mut refused) = (None, Vec::new());
        {
            let machine = self.shared.machine.read();
            let pursued =
                machine.members().proposed.as_ref().map(|proposed| (proposed.session, proposed.cxid));
            let busy_with = pursued.or(self.reconfig.aiming);
            for command in self.replica.waiting_reconfigs() {
                let request = (command.session, command.cxid);
                let planned = machine.plan_reconfig(&command, features);
                match planned {
                    _ if busy_with == Some(request) => {}
                    Ok(text) if busy_with.is_none() && proposed.is_none() => {
                        let wanted = servers_of(&text);
                        let me = self.replica.member();
                        let keeping = BTreeSet::new();
                        let look = Look {
                            me,
                            status,
                            wanted: &wanted,
                            heard,
                            waiting,
                            keeping: &keeping,
                            expects_requests: false,
                            stopped: &BTreeSet::new(),
                        };
                        if look.can_begin() {
                            proposed = Some(ProposedConfig { text, session: request.0, cxid: request.1 });
                        } else {
                            refused.push(request);
                        }
                    }
                    // A proposed configuration still in flight would not refuse what precedes it in
                    // the log.
                    Ok(_) if pursued.is_none() => {}
                    _ => refused.push(request),
                }
            }
        }
        for (session, cxid) in refused {
            self.let_go(session, cxid);
        }
        if let Some(proposed) = proposed {
            let mut body = Vec::new();
            proposed.put(&mut body);
            self.submit_for_itself(PROPOSE_CONFIG, &body);
            self.reconfig.aiming = Some((proposed.session, proposed.cxid));
        }
    }

    /// Servers that do not have their wanted role yet, for operators.
    pub(crate) fn changes(&self, status: &Status) -> Vec<(ServerId, MemberChange)> {
        let (wanted, strict) = self.wanted();
        let (heard, waiting) = self.who_is_there();
        let me = self.replica.member();
        let keeping = BTreeSet::new();
        let look = Look {
            me,
            status,
            wanted: &wanted,
            heard: &heard,
            waiting: &waiting,
            keeping: &keeping,
            expects_requests: false,
            stopped: &BTreeSet::new(),
        };
        look.changes(strict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A past bug: a leader that was to go completed a replacement before the new server had come
    /// back, and its successor took the old one's vote at once. With a third one's disk hung, two
    /// voters were left.
    #[test]
    fn a_new_leader_gives_servers_time_to_be_heard() {
        let proposed = ProposedConfig { text: String::new(), session: 5, cxid: 6 };
        let mut reconfig = Reconfig::default();
        reconfig.clear(10_000);
        for (proposed, now_ms, expected) in [
            (None, 10_000, true),
            (None, 10_999, true),
            (None, 11_000, false),
            (Some(&proposed), 20_000, true),
            (Some(&proposed), 20_999, true),
            (Some(&proposed), 21_000, false),
            (None, 21_000, false),
        ] {
            assert_eq!(reconfig.expects_requests(proposed, now_ms), expected, "{now_ms}");
        }
    }
}

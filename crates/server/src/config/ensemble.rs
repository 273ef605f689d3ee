//! The members of the ensemble and its consensus settings.

use std::collections::BTreeMap;
use std::path::Path;

use state::members::parse_server_id;

use super::fields::Loader;
use super::secret::QuorumSecret;
use super::settings::Setting;
use super::{EngineKind, Member, SERVER_ID_MAX, ServerId, Servers, limits};

/// Election timeouts for which clients are served without a leader before they are disconnected.
const LEADERLESS_TIMEOUTS: i64 = 5;

/// An ensemble, as described by its `server.N` lines and the keys around them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ensemble {
    /// Its servers by number, including this one; at least one is a voter. If the members can be
    /// changed at run time (`reconfigEnabled`), these are only the initial members, for a server
    /// without data.
    pub members: Servers,
    /// `ostler.consensus`: the consensus engine.
    pub engine: EngineKind,
    /// `ostler.electionTimeoutMs`: a server that hears from no leader for this time stands for
    /// election.
    pub election_timeout_ms: u32,
    /// `ostler.heartbeatMs`: the leader's heartbeat interval. Invariant: less than a third of
    /// `election_timeout_ms`.
    pub heartbeat_ms: u32,
    /// `ostler.linearizableReads`: whether reads wait until they are certain to see all writes
    /// acknowledged before.
    pub linearizable_reads: bool,
    /// `quorumListenOnAllIPs`: whether this server listens for the others on all its addresses,
    /// whatever its entry says.
    pub listen_on_all_ips: bool,
    /// `ostler.quorumSecretFile`: the secret that servers prove to each other to know.
    pub secret: Option<QuorumSecret>,
    /// `ostler.quorumSecretRequired`: whether servers without that secret are refused.
    pub is_secret_required: bool,
}

/// The role that the `server.N` entries give this server.
pub(super) struct Membership {
    pub(super) server_id: ServerId,
    /// The client address and port in this server's entry.
    pub(super) client: Option<(Option<String>, u16)>,
    pub(super) ensemble: Option<Ensemble>,
}

impl Ensemble {
    /// The voters, by number.
    pub fn voters(&self) -> impl Iterator<Item = ServerId> + '_ {
        self.members.iter().filter(|(_, member)| !member.observer).map(|(id, _)| *id)
    }

    /// How long clients are served without a leader, in ms.
    pub fn leaderless_ms_max(&self) -> i64 {
        i64::from(self.election_timeout_ms) * LEADERLESS_TIMEOUTS
    }
}

impl Loader<'_> {
    /// With two or more entries there is an ensemble. HBase and container images write a single
    /// entry for a standalone server, which is an ensemble that can grow only with
    /// `standaloneEnabled=false`.
    pub(super) fn membership(&mut self, myid: Option<ServerId>, data_dir: &Path) -> Membership {
        let mut ensemble = self.consensus_settings();
        ensemble.secret = self.quorum_secret();
        self.limits_in_ticks();
        let entries = self.settings.with_prefix("server.");
        let count = entries.len();
        ensemble.members =
            entries.into_iter().filter_map(|(id, setting)| self.member(&id, &setting)).collect();
        self.peer_type(myid, &ensemble.members);
        let is_single = count == 1 && self.settings.flag("standaloneEnabled", true);
        if count == 0 || is_single {
            let member = self.only_member(myid, ensemble.members);
            self.note_settings_of_ensembles();
            let server_id = myid.or(member.as_ref().map(|(id, _)| *id)).unwrap_or(0);
            return Membership {
                server_id,
                client: member.and_then(|(_, member)| member.client),
                ensemble: None,
            };
        }
        // Checks of all members are skipped if some entries could not be parsed.
        if ensemble.members.len() == count {
            self.check(myid, &ensemble, data_dir);
        }
        let me = myid.and_then(|myid| ensemble.members.get(&myid));
        let client = me.and_then(|me| me.client.clone());
        Membership { server_id: myid.unwrap_or(0), client, ensemble: Some(ensemble) }
    }

    /// The consensus settings of an ensemble; its members are added later.
    fn consensus_settings(&mut self) -> Ensemble {
        let s = &mut *self.settings;
        let engines = [("raft", EngineKind::Raft), ("paxos", EngineKind::Paxos)];
        let ensemble = Ensemble {
            members: Servers::new(),
            engine: s.choice("ostler.consensus", &engines).unwrap_or(EngineKind::Raft),
            election_timeout_ms: s
                .number("ostler.electionTimeoutMs", 100..=60_000, "ms")
                .unwrap_or(limits::ELECTION_TIMEOUT_MS),
            heartbeat_ms: s
                .number("ostler.heartbeatMs", limits::HEARTBEAT_MS_MIN..=20_000, "ms")
                .unwrap_or(limits::HEARTBEAT_MS),
            linearizable_reads: s.flag("ostler.linearizableReads", false),
            listen_on_all_ips: s.flag("quorumListenOnAllIPs", false),
            secret: None,
            is_secret_required: s.flag("ostler.quorumSecretRequired", true),
        };
        let (heartbeat_ms, election_ms) = (ensemble.heartbeat_ms, ensemble.election_timeout_ms);
        if heartbeat_ms >= election_ms.div_ceil(3) {
            let key = "ostler.heartbeatMs";
            let key = if s.is_set(key) { key } else { "ostler.electionTimeoutMs" };
            let allowed = format!(
                "a heartbeat ({heartbeat_ms} ms) must come more than three times in an election timeout ({election_ms} ms)"
            );
            s.refuse(key, allowed);
        }
        ensemble
    }

    /// The contents of the secret's file.
    fn quorum_secret(&mut self) -> Option<QuorumSecret> {
        const KEY: &str = "ostler.quorumSecretFile";
        let (s, outside) = (&mut self.settings, self.outside);
        let Some(path) = s.text(KEY) else {
            if s.is_set("ostler.quorumSecretRequired") {
                s.note("ostler.quorumSecretRequired", "has no effect: ostler.quorumSecretFile is not set");
            }
            return None;
        };
        let why = match outside.read_private(Path::new(&path)) {
            Ok(Some(bytes)) => match QuorumSecret::new(&bytes) {
                Some(secret) => return Some(secret),
                None => format!(
                    "must hold {} to {} bytes, the same on all servers (for example of: openssl rand -hex 32)",
                    QuorumSecret::BYTES_MIN,
                    QuorumSecret::BYTES_MAX
                ),
            },
            Ok(None) => "can be read by other users; remove their permissions (chmod 600)".to_owned(),
            Err(e) => format!("cannot be read: {e}"),
        };
        s.refuse(KEY, why);
        None
    }

    /// ZooKeeper requires both keys in an ensemble, so configurations from there have them. They
    /// have no meaning here: the time a member may take to catch up is not limited, and how far it
    /// may fall behind depends on what the log holds.
    fn limits_in_ticks(&mut self) {
        let is_ensemble = self.settings.with_prefix("server.").len() > 1;
        for (key, what) in [
            ("initLimit", "ticks that a member may take to connect to the leader and to catch up"),
            ("syncLimit", "ticks that a member may be behind the leader"),
        ] {
            // ZooKeeper accepts any number except 0, even in a standalone server.
            let ticks = self.settings.decimal(key, i32::MIN..=i32::MAX, "ticks");
            if is_ensemble && !self.settings.is_set(key) {
                self.settings.refuse(key, format!("is not set; it must be the number of {what}"));
            } else if is_ensemble && ticks == Some(0) {
                self.settings.refuse(key, format!("must be the number of {what}"));
            }
        }
    }

    /// One `server.N`.
    fn member(&mut self, id: &str, setting: &Setting) -> Option<(ServerId, Member)> {
        let key = format!("server.{id}");
        let mut refuse = |allowed: &str| self.settings.problem(&setting.place, &key, &setting.value, allowed);
        // In another spelling the same number could occur twice.
        let Some(number) = parse_server_id(id).filter(|number| number.to_string() == id) else {
            refuse(&format!("the number of a server must be from 0 to {SERVER_ID_MAX}"));
            return None;
        };
        match setting.value.parse::<Member>() {
            Ok(member) => Some((number, member)),
            Err(allowed) => {
                refuse(allowed);
                None
            }
        }
    }

    /// The only entry of a single server.
    fn only_member(&mut self, myid: Option<ServerId>, members: Servers) -> Option<(ServerId, Member)> {
        let (id, member) = members.into_iter().next()?;
        let key = format!("server.{id}");
        if member.observer {
            self.settings.refuse(&key, "an observer cannot be standalone");
        } else if let Some(myid) = myid.filter(|myid| *myid != id) {
            // ZooKeeper ignores the only entry, whichever server it names, and says so.
            self.settings.note(
                "server.*",
                format!(
                    "{key} is not this server, whose myid is {myid}; it is ignored, and this server is standalone"
                ),
            );
            return None;
        }
        Some((id, member))
    }

    /// ZooKeeper takes the role from the server's entry, and warns if `peerType` differs.
    fn peer_type(&mut self, myid: Option<ServerId>, members: &Servers) {
        let types = [("participant", false), ("observer", true)];
        let Some(observer) = self.settings.choice("peerType", &types) else { return };
        match myid.and_then(|myid| members.get(&myid)) {
            Some(me) if me.observer != observer => {
                let role = if me.observer { "observer" } else { "participant" };
                self.settings
                    .note("peerType", format!("differs from the role in server.N; this server is a {role}"));
            }
            None if observer && members.len() < 2 => {
                self.settings.note("peerType", "has no effect: there is one server, which is a participant");
            }
            _ => {}
        }
    }

    fn note_settings_of_ensembles(&mut self) {
        for key in [
            "ostler.consensus",
            "ostler.electionTimeoutMs",
            "ostler.heartbeatMs",
            "ostler.linearizableReads",
            "ostler.quorumSecretFile",
            "ostler.quorumSecretRequired",
        ] {
            if self.settings.is_set(key) {
                self.settings.note(key, "has no effect: there is one server");
            }
        }
    }

    /// Checks of all members together.
    fn check(&mut self, myid: Option<ServerId>, ensemble: &Ensemble, data_dir: &Path) {
        let members = &ensemble.members;
        let count = members.len();
        let place = data_dir.join("myid").display().to_string();
        match myid {
            Some(myid) if members.contains_key(&myid) => {}
            Some(myid) => {
                let allowed = format!("is the number of this server, and there is no server.{myid}");
                self.settings.problem(&place, "myid", &myid.to_string(), allowed);
            }
            // A malformed file has already been reported.
            None if self.settings.problems.iter().any(|problem| problem.key == "myid") => {}
            None => {
                let allowed = format!(
                    "is missing; it must hold the number of this server, one of the {count} server.N"
                );
                self.settings.problem(&place, "myid", "", allowed);
            }
        }
        self.check_addresses(members);
        match ensemble.voters().count() {
            0 => {
                let key = members.keys().next().map(|id| format!("server.{id}")).unwrap_or_default();
                self.settings.refuse(&key, "at least one server must be a participant");
            }
            1 => self.settings.note("server.*", "there is one participant: when it is down, nothing works"),
            voters if voters % 2 == 0 => {
                let down = (voters - 1) / 2;
                let text = format!(
                    "{voters} participants survive the loss of {down}, as {} would; use an odd number",
                    voters - 1
                );
                self.settings.note("server.*", text);
            }
            _ => {}
        }
    }

    /// No two servers may listen at the same address.
    fn check_addresses(&mut self, members: &Servers) {
        let mut seen = BTreeMap::new();
        for (id, member) in members {
            let key = format!("server.{id}");
            for (host, port) in &member.addresses {
                if *port == 0 {
                    self.settings.refuse(&key, "the quorum port must be from 1 to 65535");
                } else if let Some(other) = seen.insert((host, port), id) {
                    self.settings
                        .refuse(&key, format!("has the same address as server.{other} ({host}:{port})"));
                }
            }
        }
    }
}

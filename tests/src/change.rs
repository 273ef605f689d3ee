//! Membership changes, as an operator asks for them while everything else continues.

use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::ensemble::{Ensemble, Role};
use crate::generate::Random;
use crate::jute::Record;
use crate::load::TIMEOUT_MS;
use crate::request::{Request, op};
use crate::roaming_client::{Connected, RoamingClient};
use crate::session::{Reply, Session, get_data};

/// What a zoo.cfg needs for it; a client with the credentials [`SUPER`] may do it.
pub const SETTINGS: [&str; 2] =
    ["reconfigEnabled=true", "DigestAuthenticationProvider.superDigest=super:D/InIHSb7yEEbrWz8b9l71RjZJU="];

/// The user of [`SETTINGS`].
pub const SUPER: &str = "super:test";

/// Too few of those that are to vote are there.
pub const NEW_CONFIG_NO_QUORUM: i32 = -13;
/// Another change is being worked on.
pub const RECONFIG_IN_PROGRESS: i32 = -14;
/// Such an ensemble cannot be.
pub const BAD_ARGUMENTS: i32 = -8;
/// It is not that version any more.
pub const BAD_VERSION: i32 = -103;

const CONFIG: &str = "/zookeeper/config";

/// Asks for a change of the members; `version` is that of the configuration, or -1 for any.
pub fn reconfig(joining: &str, leaving: &str, version: i64) -> Request {
    let some = |text: &str| Some(text.as_bytes().to_vec()).filter(|bytes| !bytes.is_empty());
    let record = Record::new().buffer(some(joining).as_deref()).buffer(some(leaving).as_deref());
    Request::Raw { op: op::RECONFIG, body: record.buffer(None).long(version).0 }
}

/// Makes a session one of the operator's.
pub fn auth() -> Request {
    Request::Auth { scheme: "digest".to_owned(), auth: Some(SUPER.as_bytes().to_vec()) }
}

/// A session of the operator; `None` if the server takes no clients now.
pub fn operator(address: SocketAddr) -> Option<Session> {
    let mut session = Session::open(address, TIMEOUT_MS)?;
    session.must(&auth());
    Some(session)
}

/// The new roles of some servers.
#[derive(Clone, Debug)]
pub struct Change {
    /// The servers and their roles.
    pub roles: Vec<(u8, Role)>,
    /// The lines of the intended members.
    joining: Vec<String>,
}

impl Change {
    /// Gives these servers this role.
    pub fn of(ensemble: &Ensemble, roles: &[(u8, Role)]) -> Change {
        let joining = roles.iter().filter(|(_, role)| *role != Role::Outside);
        let joining = joining.map(|(server, role)| ensemble.entry_as(*server, *role)).collect();
        Change { roles: roles.to_vec(), joining }
    }

    /// Some change that leaves three voters of four servers at the least.
    pub fn pick(ensemble: &Ensemble, random: &mut Random) -> Change {
        let (voters, others) = (ensemble.voters(), ensemble.observers());
        let voter = random.pick(&voters);
        let roles = match others.first() {
            None if voters.len() > 3 => vec![(voter, random.pick(&[Role::Outside, Role::Observer]))],
            None => {
                let outside =
                    ensemble.all().into_iter().find(|server| ensemble.role(*server) == Role::Outside);
                let comer = outside.expect("a spare server");
                match random.below(3) {
                    0 => vec![(comer, Role::Voter)],
                    1 => vec![(comer, Role::Observer)],
                    _ => vec![(voter, Role::Outside), (comer, Role::Voter)],
                }
            }
            Some(observer) => match random.below(3) {
                0 => vec![(*observer, Role::Voter)],
                1 => vec![(*observer, Role::Outside)],
                _ => vec![(voter, Role::Observer), (*observer, Role::Voter)],
            },
        };
        Change::of(ensemble, &roles)
    }

    /// Asks for it.
    pub fn request(&self, version: i64) -> Request {
        let leaving = self.roles.iter().filter(|(_, role)| *role == Role::Outside);
        let leaving: Vec<String> = leaving.map(|(server, _)| server.to_string()).collect();
        reconfig(&self.joining.join(","), &leaving.join(","), version)
    }

    /// Whether a configuration is as this wants it.
    pub fn is_done_in(&self, config: &str) -> bool {
        self.roles.iter().all(|(server, role)| role_in(config, *server) == *role)
    }

    /// Only what holds both before and after it is expected meanwhile.
    pub fn begin(&self, ensemble: &mut Ensemble) {
        for &(server, role) in &self.roles {
            let role = role.min(ensemble.role(server));
            ensemble.set_role(server, role);
        }
    }

    /// From now on every server has its new role.
    pub fn end(&self, ensemble: &mut Ensemble) {
        self.roles.iter().for_each(|(server, role)| ensemble.set_role(*server, *role));
    }
}

/// The role of a server in a configuration.
fn role_in(config: &str, server: u8) -> Role {
    let begin = format!("server.{server}=");
    match config.lines().find(|line| line.starts_with(&begin)) {
        Some(line) if line.contains(":observer") => Role::Observer,
        Some(_) => Role::Voter,
        None => Role::Outside,
    }
}

/// The version of a configuration.
///
/// Panics if there is none in it.
pub fn version_in(config: &str) -> i64 {
    let version = config.lines().find_map(|line| line.strip_prefix("version="));
    version.and_then(|version| i64::from_str_radix(version, 16).ok()).expect("a version")
}

/// An operator who asks for a change until the configuration shows it.
#[derive(Debug)]
pub struct Operator(JoinHandle<()>);

impl Operator {
    /// Begins to ask, at whichever server takes clients.
    pub fn ask(addresses: Vec<SocketAddr>, change: Change) -> Operator {
        let roaming_client = RoamingClient::new(addresses, 0, TIMEOUT_MS);
        Operator(std::thread::spawn(move || pursue(roaming_client, &change)))
    }

    /// Whether the change is made, or the operator has given up because a promise was broken.
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }

    /// Waits for the end of it.
    pub fn end(self) {
        self.0.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }
}

fn pursue(mut roaming_client: RoamingClient, change: &Change) {
    loop {
        if !roaming_client.is_connected() && roaming_client.connect() == Connected::Nowhere {
            std::thread::sleep(Duration::from_millis(20));
            continue;
        }
        let Some(config) = config_through(&mut roaming_client) else { continue };
        if change.is_done_in(&config) {
            return;
        }
        // The version keeps an abandoned request from undoing what comes after
        // it.
        if let Some(reply) = roaming_client.ask(&[auth(), change.request(version_in(&config))]).remove(1) {
            let refusals = [0, NEW_CONFIG_NO_QUORUM, RECONFIG_IN_PROGRESS, BAD_VERSION];
            assert!(refusals.contains(&reply.err), "{:?} is answered {}", change.roles, reply.err);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn config_through(roaming_client: &mut RoamingClient) -> Option<String> {
    let sync = Request::Path { op: op::SYNC, path: CONFIG.to_owned() };
    roaming_client.ask(&[sync, get_data(CONFIG)]).remove(1).map(|reply| config_of(&reply))
}

/// The configuration in the reply to a read of it, or to a change.
pub fn config_of(reply: &Reply) -> String {
    assert_eq!(reply.err, 0, "{CONFIG} is there for everybody");
    String::from_utf8_lossy(reply.buffer()).into_owned()
}

/// What a session reads of the configuration.
pub fn config(session: &mut Session) -> String {
    session.must(&Request::Path { op: op::SYNC, path: CONFIG.to_owned() });
    config_of(&session.must(&get_data(CONFIG)))
}

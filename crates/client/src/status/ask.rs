//! What servers report: the parsed answer to `srvr`, of Ostler or of ZooKeeper.

use super::ServerId;
use crate::stream::Tls;
use std::io::ErrorKind;
use std::str::FromStr;
use std::time::Duration;

/// A server that was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerStatus {
    /// Its address, as it was given.
    pub address: String,
    /// Its answer.
    pub answer: Answer,
}

/// The answer of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It serves clients, and reports this.
    Serves(Box<ServerReport>),
    /// It runs and does not serve: it has no leader, or is not yet as far as the others.
    Waits,
    /// It did not answer the question, for this reason.
    Silent(String),
}

/// What a server that serves says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerReport {
    /// Its version in full.
    pub version: String,
    /// Its role in ZooKeeper's words.
    pub mode: String,
    /// The last zxid it has applied.
    pub zxid: u64,
    /// Open connections of clients.
    pub connections: u64,
    /// What only an Ostler server of an ensemble reports.
    pub member: Option<MemberReport>,
}

/// What an Ostler server knows of its ensemble.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemberReport {
    /// Its number.
    pub server: ServerId,
    /// `raft` or `paxos`.
    pub consensus: String,
    /// Term or ballot.
    pub term: u64,
    /// The server that leads, as far as it knows.
    pub led_by: Option<ServerId>,
    /// Bytes that have come of a snapshot, while one is fetched.
    pub fetched_bytes: Option<u64>,
    /// Whether it is joining to get a vote.
    pub joining: bool,
    /// Servers that vote.
    pub voters: Vec<ServerId>,
    /// Members without a vote.
    pub non_voters: Vec<ServerId>,
    /// What a leader is doing about a change of the members: `server.4 catching up`.
    pub changes: Vec<String>,
    /// Where configuration files and committed members differ, in the server's words.
    pub file_differences: Vec<String>,
    /// What a leader reports about the others.
    pub others: Vec<PeerReport>,
}

/// A member as its leader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerReport {
    /// Its number.
    pub server: ServerId,
    /// Log entries it lacks.
    pub behind_entries: u64,
    /// Bytes of these.
    pub behind_bytes: u64,
    /// Its state, in the leader's words.
    pub state: String,
}

impl PeerReport {
    /// The leader's words for a member that has all but the newest entries.
    const IN_STEP: &'static str = "in step";

    /// Whether it keeps up.
    pub fn is_in_step(&self) -> bool {
        self.state == Self::IN_STEP
    }
}

impl ServerStatus {
    /// Its report, if it serves.
    pub fn server(&self) -> Option<&ServerReport> {
        if let Answer::Serves(server) = &self.answer { Some(server) } else { None }
    }

    /// Its report on the ensemble.
    pub fn member(&self) -> Option<&MemberReport> {
        self.server()?.member.as_ref()
    }

    /// Whether it says that it leads others.
    pub fn leads(&self) -> bool {
        self.server().is_some_and(|server| server.mode == "leader")
    }
}

/// Asks servers by the four-letter word `srvr`, all at the same time, each on a thread of its own.
/// The answers have the order of the addresses, which are `host:port`.
///
/// A server that is silent for `patience`, while it is connected or while it answers, is
/// [`Answer::Silent`]; so is one where `srvr` is not in `4lw.commands.whitelist`.
pub fn ask(addresses: &[String], tls: Option<&Tls>, patience: Duration) -> Vec<ServerStatus> {
    std::thread::scope(|scope| {
        let asking: Vec<_> = addresses
            .iter()
            .map(|address| (address, scope.spawn(move || one(address, tls, patience))))
            .collect();
        let asked = asking.into_iter().map(|(address, thread)| {
            let answer = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            ServerStatus { address: address.clone(), answer }
        });
        asked.collect()
    })
}

fn one(address: &str, tls: Option<&Tls>, patience: Duration) -> Answer {
    match crate::four_letter_word(address, "srvr", tls, patience) {
        Ok(text) => read(&text),
        Err(error) => Answer::Silent(why(&error, patience)),
    }
}

/// The innermost cause, without an address, which is printed beside it.
fn why(error: &(dyn std::error::Error + 'static), patience: Duration) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    match cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind) {
        Some(ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            format!("nothing within {} s", patience.as_secs())
        }
        Some(ErrorKind::ConnectionRefused) => "connection refused".to_owned(),
        _ => cause.to_string(),
    }
}

/// Takes the answer to `srvr` apart.
fn read(text: &str) -> Answer {
    if text.contains("not currently serving requests") {
        return Answer::Waits;
    }
    if text.contains("not in the whitelist") {
        return Answer::Silent("srvr is not in its 4lw.commands.whitelist".to_owned());
    }
    match server(text) {
        Some(server) => Answer::Serves(Box::new(server)),
        None => Answer::Silent("it does not answer as a server of this protocol".to_owned()),
    }
}

fn server(text: &str) -> Option<ServerReport> {
    Some(ServerReport {
        version: field(text, "Zookeeper version")?.to_owned(),
        mode: field(text, "Mode")?.to_owned(),
        zxid: u64::from_str_radix(field(text, "Zxid")?.trim_start_matches("0x"), 16).ok()?,
        connections: number(text, "Connections")?,
        member: member(text),
    })
}

fn member(text: &str) -> Option<MemberReport> {
    Some(MemberReport {
        server: number(text, "Server id")?,
        consensus: field(text, "Consensus")?.to_owned(),
        term: number(text, "Term")?,
        led_by: number(text, "Led by"),
        fetched_bytes: number(text, "Snapshot bytes fetched"),
        joining: field(text, "Joining")? == "yes",
        voters: numbers(text, "Voters")?,
        non_voters: numbers(text, "Non-voters")?,
        changes: list(text, "Reconfiguration"),
        file_differences: list(text, "Configuration files"),
        others: text.lines().filter_map(other).collect(),
    })
}

fn list(text: &str, name: &str) -> Vec<String> {
    let list = field(text, name).filter(|list| *list != "none").unwrap_or_default();
    list.split(", ").filter(|change| !change.is_empty()).map(str::to_owned).collect()
}

/// `Member 2 behind entries/bytes: 7000/700000, needs a snapshot`.
fn other(line: &str) -> Option<PeerReport> {
    let (server, rest) = line.strip_prefix("Member ")?.split_once(" behind entries/bytes: ")?;
    let (counts, state) = rest.split_once(", ")?;
    let (entries, bytes) = counts.split_once('/')?;
    Some(PeerReport {
        server: server.parse().ok()?,
        behind_entries: entries.parse().ok()?,
        behind_bytes: bytes.parse().ok()?,
        state: state.trim().to_owned(),
    })
}

fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(": ")?.trim()))
}

/// A number; `None` also where the server says that there is none.
fn number<N: FromStr>(text: &str, name: &str) -> Option<N> {
    field(text, name)?.parse().ok()
}

/// A list of numbers; `none` is an empty one.
fn numbers(text: &str, name: &str) -> Option<Vec<ServerId>> {
    match field(text, name)? {
        "none" => Some(Vec::new()),
        list => list.split(',').map(|number| number.parse().ok()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEADER: &str = "Zookeeper version: 3.9.5-ostler-0.1.0, built on 2026-11-23 08:00 UTC\n\
        Latency min/avg/max: 0/1.5/9\nReceived: 15\nSent: 13\nConnections: 2\nOutstanding: 0\nZxid: 0x500000007\n\
        Mode: leader\nNode count: 9\nProposal sizes last/min/max: 48/32/110\nServer id: 3\nMember id: 3\n\
        Consensus: raft\nTerm: 5\nLed by: 3\nLog applied/agreed/last: 9/9/9\nSnapshot bytes fetched: none\nJoining: no\n\
        Starts: 2\nVoters: 1,2,3\nNon-voters: none\n\
        Reconfiguration: server.2 catching up, server.4 joining\nMember 1 behind entries/bytes: 0/0, in step\n\
        Member 2 behind entries/bytes: 7000/700000, needs a snapshot\n";

    #[test]
    fn an_answer_of_ours_is_understood() {
        let Answer::Serves(server) = read(LEADER) else { panic!("it serves") };
        assert_eq!((server.mode.as_str(), server.zxid, server.connections), ("leader", 0x5_0000_0007, 2));
        let member = server.member.unwrap();
        assert_eq!((member.server, member.term, member.led_by), (3, 5, Some(3)));
        assert_eq!((member.fetched_bytes, member.joining, member.consensus.as_str()), (None, false, "raft"));
        assert_eq!((member.voters, member.non_voters), (vec![1, 2, 3], vec![]));
        assert_eq!(member.changes, ["server.2 catching up", "server.4 joining"]);
        let state = "needs a snapshot".to_owned();
        let behind = PeerReport { server: 2, behind_entries: 7_000, behind_bytes: 700_000, state };
        assert_eq!(member.others[1], behind);
        assert!(member.others[0].is_in_step() && !behind.is_in_step());
    }

    #[test]
    fn an_answer_of_zookeeper_is_understood() {
        let text = LEADER.split("Proposal").next().unwrap().replace("ostler-0.1.0", "293c895a8d96");
        let Answer::Serves(server) = read(&text) else { panic!("it serves") };
        assert_eq!((server.mode.as_str(), server.member), ("leader", None));
    }

    #[test]
    fn other_answers_say_why_there_is_nothing_to_tell() {
        assert_eq!(read("This ZooKeeper instance is not currently serving requests\n"), Answer::Waits);
        for (text, why) in [
            ("srvr is not executed because it is not in the whitelist.", "whitelist"),
            ("HTTP/1.1 400 Bad Request", "does not answer as"),
            ("", "does not answer as"),
        ] {
            let Answer::Silent(said) = read(text) else { panic!("{text} is no answer") };
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn a_server_that_hangs_is_not_waited_for() {
        let hangs = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = hangs.local_addr().unwrap().to_string();
        let asked = ask(&[address], None, Duration::from_secs(1));
        assert_eq!(asked[0].answer, Answer::Silent("nothing within 1 s".to_owned()));
    }

    #[test]
    fn a_server_that_is_not_there_is_silent() {
        // No process listens on port 1.
        let asked = ask(&["127.0.0.1:1".to_owned()], None, Duration::from_secs(5));
        assert_eq!(asked[0].answer, Answer::Silent("connection refused".to_owned()));
    }
}

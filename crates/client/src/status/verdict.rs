//! Whether an ensemble can lose another server, in one sentence.

use super::ServerId;
use super::ask::{Answer, MemberReport, ServerStatus};

/// The state of the ensemble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// All servers are in their place.
    Healthy,
    /// It works, and the operator should look at it.
    Degraded,
    /// It does not work.
    NoQuorum,
}

impl Health {
    /// The state as a word for programs.
    pub fn name(self) -> &'static str {
        match self {
            Health::Healthy => "healthy",
            Health::Degraded => "degraded",
            Health::NoQuorum => "no quorum",
        }
    }
}

/// The judgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The state.
    pub health: Health,
    /// It in English sentences: whether the ensemble can lose a server, which are missing, what
    /// else is wrong.
    pub sentence: String,
    /// The leader, if the others name it and it was not among the servers that answered: which
    /// voters keep up is not known without it.
    pub unasked_leader: Option<ServerId>,
}

fn say(health: Health, sentence: impl Into<String>) -> Verdict {
    Verdict { health, sentence: sentence.into(), unasked_leader: None }
}

/// Judges what the servers of one ensemble say together: best all of them. ZooKeeper's servers do
/// not report who votes; every one that is not an observer counts as a voter.
pub fn verdict(servers: &[ServerStatus]) -> Verdict {
    let serving = servers.iter().filter_map(ServerStatus::server);
    if serving.clone().next().is_none() {
        return none_serves(servers);
    }
    let alone = serving.clone().filter(|server| server.mode == "standalone").count();
    if alone > 0 {
        return standalone(servers, alone);
    }
    // A leader that was deposed and does not know it yet has a lower term.
    let leaders = servers.iter().filter(|server| server.leads());
    match leaders.max_by_key(|leader| leader.member().map_or(0, |member| member.term)) {
        Some(leader) => led(servers, leader),
        None => none_leads(servers),
    }
}

fn none_serves(servers: &[ServerStatus]) -> Verdict {
    let waiting = servers.iter().filter(|server| server.answer == Answer::Waits).count();
    let sentence = match (servers.len(), waiting) {
        (1, 0) => "The server cannot be reached.".to_owned(),
        (all, 0) => format!("None of the {all} servers can be reached."),
        (1, _) => {
            "The server runs and does not serve: it hears from no leader, or is not yet as far as the others."
                .to_owned()
        }
        (all, _) => format!(
            "No server serves ({waiting} of {all} run): the ensemble has lost its quorum, or elects a leader at this moment."
        ),
    };
    say(Health::NoQuorum, sentence)
}

fn standalone(servers: &[ServerStatus], alone: usize) -> Verdict {
    if servers.len() == 1 {
        return say(
            Health::Healthy,
            "This is a single server: it works, and when it is lost there is no other.",
        );
    }
    let all = servers.len();
    say(Health::Degraded, format!("{alone} of these {all} servers stand alone: they are not one ensemble."))
}

fn none_leads(servers: &[ServerStatus]) -> Verdict {
    match servers.iter().filter_map(ServerStatus::member).find_map(|member| member.led_by) {
        Some(leader) => Verdict {
            unasked_leader: Some(leader),
            ..say(
                Health::Degraded,
                format!("Server {leader} leads and has not answered: which voters keep up is not known."),
            )
        },
        None => say(
            Health::NoQuorum,
            "None of these servers leads: the ensemble has lost its quorum, or elects a leader at this moment.",
        ),
    }
}

/// Voters, and those of them that keep up.
struct Votes {
    all: usize,
    missing: Vec<String>,
}

fn led(servers: &[ServerStatus], leader: &ServerStatus) -> Verdict {
    let votes = match leader.member() {
        Some(member) => votes_of_leader(member),
        None => votes_of_zookeeper(servers),
    };
    let (all, missing) = (votes.all, votes.missing.join(", "));
    let (well, needed) = (all - votes.missing.len().min(all), all / 2 + 1);
    let keep_up = format!("{well} of {all} voters keep up");
    if well < needed {
        return say(
            Health::NoQuorum,
            format!("The ensemble has lost its quorum: {keep_up}, {needed} are needed. Missing: {missing}."),
        );
    }
    let verdict = match (votes.missing.is_empty(), well - needed) {
        (true, 0) if all == 1 => say(
            Health::Healthy,
            "Only one server votes: the ensemble works, and stops when that server is lost.",
        ),
        (true, 0) => say(
            Health::Healthy,
            format!("All {all} voters keep up, but {all} cannot do without one of them."),
        ),
        (true, spare) => say(
            Health::Healthy,
            format!("All is well: {keep_up}, and the ensemble can lose {}.", servers_of(spare)),
        ),
        (false, 0) => say(
            Health::Degraded,
            format!(
                "The ensemble works and must not lose another server: {keep_up}, {needed} are needed. Missing: {missing}."
            ),
        ),
        (false, spare) => say(
            Health::Degraded,
            format!(
                "The ensemble can lose {} more: {keep_up}, {needed} are needed. Missing: {missing}.",
                servers_of(spare)
            ),
        ),
    };
    with_oddities(verdict, servers, leader)
}

fn servers_of(count: usize) -> String {
    if count == 1 { "1 server".to_owned() } else { format!("{count} servers") }
}

fn votes_of_leader(member: &MemberReport) -> Votes {
    let keeps_up = |voter: &ServerId| {
        *voter == member.server
            || member.others.iter().any(|other| other.server == *voter && other.is_in_step())
    };
    let missing = member.voters.iter().filter(|voter| !keeps_up(voter));
    Votes { all: member.voters.len(), missing: missing.map(|voter| format!("server {voter}")).collect() }
}

/// ZooKeeper does not report the voters: every named server that is no observer counts as one.
fn votes_of_zookeeper(servers: &[ServerStatus]) -> Votes {
    let voters = servers.iter().filter(|asked| asked.server().is_none_or(|server| server.mode != "observer"));
    let missing = voters.clone().filter(|asked| asked.server().is_none());
    Votes { all: voters.count(), missing: missing.map(|asked| asked.address.clone()).collect() }
}

/// Problems that do not affect the quorum.
fn with_oddities(verdict: Verdict, servers: &[ServerStatus], leader: &ServerStatus) -> Verdict {
    let mut oddities: Vec<String> = Vec::new();
    for asked in servers {
        match &asked.answer {
            Answer::Serves(_) => {}
            Answer::Waits => oddities.push(format!("{} does not serve.", asked.address)),
            Answer::Silent(_) => oddities.push(format!("{} cannot be asked.", asked.address)),
        }
    }
    if let Some(member) = leader.member() {
        let lagging = member.others.iter().filter(|other| !other.is_in_step());
        let lagging = lagging.filter(|other| member.non_voters.contains(&other.server));
        oddities.extend(
            lagging.map(|other| format!("Server {}, without a vote: {}.", other.server, other.state)),
        );
    }
    for difference in
        servers.iter().filter_map(ServerStatus::member).flat_map(|member| &member.file_differences)
    {
        let sentence = format!("By its configuration: {difference}.");
        if !oddities.contains(&sentence) {
            oddities.push(sentence);
        }
    }
    if oddities.is_empty() {
        return verdict;
    }
    let sentence = format!("{} {}", verdict.sentence, oddities.join(" "));
    say(verdict.health.max(Health::Degraded), sentence)
}

#[cfg(test)]
mod tests {
    use super::super::ask::{PeerReport, ServerReport};
    use super::*;

    fn asked(answer: Answer) -> ServerStatus {
        ServerStatus { address: "h:1".to_owned(), answer }
    }

    fn serving(mode: &str, member: Option<MemberReport>) -> ServerStatus {
        asked(Answer::Serves(Box::new(ServerReport {
            mode: mode.to_owned(),
            member,
            ..ServerReport::default()
        })))
    }

    fn unreachable() -> ServerStatus {
        asked(Answer::Silent("connection refused".to_owned()))
    }

    fn follower(server: ServerId) -> ServerStatus {
        serving("follower", Some(MemberReport { server, led_by: Some(1), ..MemberReport::default() }))
    }

    /// Server 1 leads `voters`, of which those named are not in step.
    fn leader(voters: ServerId, missing: &[ServerId]) -> ServerStatus {
        let others = (2..=voters).map(|server| PeerReport {
            server,
            behind_entries: 0,
            behind_bytes: 0,
            state: if missing.contains(&server) { "silent" } else { "in step" }.to_owned(),
        });
        let member = MemberReport {
            server: 1,
            voters: (1..=voters).collect(),
            others: others.collect(),
            ..MemberReport::default()
        };
        serving("leader", Some(member))
    }

    fn assert_says(servers: &[ServerStatus], health: Health, part: &str) {
        let verdict = verdict(servers);
        assert_eq!(verdict.health, health, "{}", verdict.sentence);
        assert!(verdict.sentence.contains(part), "{} lacks {part}", verdict.sentence);
    }

    #[test]
    fn an_ensemble_that_is_whole_says_how_many_it_can_lose() {
        let healthy = Health::Healthy;
        assert_says(&[leader(3, &[]), follower(2), follower(3)], healthy, "can lose 1 server.");
        assert_says(&[leader(5, &[])], healthy, "can lose 2 servers.");
        assert_says(&[leader(2, &[]), follower(2)], healthy, "2 cannot do without one of them");
        assert_says(&[leader(1, &[])], healthy, "Only one server votes");
    }

    #[test]
    fn missing_voters_are_named() {
        let degraded = Health::Degraded;
        let servers = [leader(3, &[3]), follower(2)];
        assert_says(
            &servers,
            degraded,
            "must not lose another server: 2 of 3 voters keep up, 2 are needed. Missing: server 3.",
        );
        assert_says(&[leader(5, &[4])], degraded, "can lose 1 server more");
        assert_says(&[leader(5, &[4, 5])], degraded, "must not lose another server");
        assert_says(&[leader(3, &[2, 3])], Health::NoQuorum, "lost its quorum: 1 of 3");
    }

    #[test]
    fn without_a_leader_there_is_no_quorum() {
        let waits = || asked(Answer::Waits);
        assert_says(&[waits(), unreachable(), unreachable()], Health::NoQuorum, "1 of 3 run");
        assert_says(&[unreachable(), unreachable()], Health::NoQuorum, "None of the 2 servers");
        assert_says(&[unreachable()], Health::NoQuorum, "cannot be reached");
        assert_says(&[waits()], Health::NoQuorum, "hears from no leader");
        let leaderless = MemberReport { server: 2, ..MemberReport::default() };
        assert_says(
            &[serving("follower", Some(leaderless))],
            Health::NoQuorum,
            "None of these servers leads",
        );
    }

    #[test]
    fn a_leader_that_was_not_asked_leaves_the_question_open() {
        assert_says(&[follower(2), follower(3)], Health::Degraded, "Server 1 leads and has not answered");
    }

    #[test]
    fn a_single_server_is_no_ensemble() {
        assert_says(&[serving("standalone", None)], Health::Healthy, "single server");
        let two = [serving("standalone", None), serving("standalone", None)];
        assert_says(&two, Health::Degraded, "2 of these 2 servers stand alone");
    }

    #[test]
    fn what_the_leader_does_not_see_is_told_too() {
        let servers = [leader(3, &[]), follower(2), unreachable()];
        assert_says(&servers, Health::Degraded, "can lose 1 server. h:1 cannot be asked.");
        let Answer::Serves(mut server) = leader(3, &[]).answer else { panic!("it serves") };
        let member = server.member.as_mut().unwrap();
        member.non_voters.push(4);
        let state = "needs a snapshot".to_owned();
        member.others.push(PeerReport { server: 4, behind_entries: 9, behind_bytes: 9, state });
        let servers = [asked(Answer::Serves(server))];
        assert_says(&servers, Health::Degraded, "Server 4, without a vote: needs a snapshot.");
    }

    #[test]
    fn a_deposed_leader_is_not_believed() {
        let newer = MemberReport { server: 2, term: 7, voters: vec![1, 2, 3], ..MemberReport::default() };
        let servers = [leader(3, &[]), serving("leader", Some(newer))];
        assert_says(&servers, Health::NoQuorum, "1 of 3");
    }

    #[test]
    fn zookeepers_voters_are_those_named() {
        let zookeeper = |mode| serving(mode, None);
        let servers = [zookeeper("leader"), zookeeper("follower"), unreachable(), zookeeper("observer")];
        assert_says(&servers, Health::Degraded, "must not lose another server: 2 of 3");
    }
}

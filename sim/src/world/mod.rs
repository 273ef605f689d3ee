//! Members, clients, network and time of one run.
//!
//! Everything that happens is an event with a time; events of the same time happen in the order in
//! which they were scheduled. Nothing else decides anything, so a run is a function of its plan.

mod clients;
pub mod closings;
mod group_run;
mod injection;
mod members;

use std::collections::BTreeMap;

use bytes::Bytes;
use consensus::engine::Role;
use server::config::{ServerId, Servers};
use server::simulation::{GroupId, Member};
use state::members::servers_of;

use self::group_run::GroupRun;
use crate::checkers::Violation;
use crate::client::Client;
use crate::host::Host;
use crate::network::{LinkState, Network};
use crate::plan::Plan;
use crate::random::Random;
use crate::socket::Wire;
use crate::trace::Trace;

/// Time that members and clients have to recover once all faults have ended. A member whose
/// snapshot failed waits for 30 s before it writes the next one, which others may need.
const RECOVERY_US: u64 = 45_000_000;

/// Events in one second of the run above which members only keep each other busy.
const EVENTS_PER_SECOND_MAX: u64 = 1_000_000;

/// How often to check whether the ensemble has recovered.
const CHECK_US: u64 = 100_000;

/// What can happen.
#[derive(Debug)]
enum Event {
    /// The replication thread of a member runs.
    Drive(ServerId),
    /// Its connection thread runs.
    Serve(ServerId),
    /// The thread that sends keepalives during a long flush runs.
    Keepalive { host: ServerId, incarnation: u64 },
    /// A frame arrives.
    Frame { pair: (ServerId, ServerId), connection: u64, frame: Bytes },
    /// A connection between members is tried.
    Link { pair: (ServerId, ServerId) },
    /// A member learns that a connection has ended.
    Unlinked { pair: (ServerId, ServerId), incarnation: u64 },
    /// A client takes its turn.
    Turn(usize),
    /// A client's connection reaches the member.
    Accept(usize),
    /// Bytes from a client arrive.
    ToServer { connection: usize, bytes: Vec<u8> },
    /// The client's close of its connection arrives.
    HangUp(usize),
    /// Bytes from a server arrive.
    ToClient { connection: usize, bytes: Vec<u8> },
    /// The server's close of a connection arrives.
    Ended(usize),
    /// A fault is injected.
    Fault(usize),
    /// A machine is switched on.
    Start { host: ServerId, incarnation: u64 },
    /// A link is clear again.
    Heal { pair: (ServerId, ServerId) },
    /// No more frames are lost.
    LossEnds,
    /// The disk works normally again.
    DiskHeals { host: ServerId },
    /// All faults end.
    FaultsEnd,
    /// Checks whether the ensemble has recovered.
    CheckRecovery,
}

/// A connection of a client, as the network knows it.
struct Connection {
    client: usize,
    member: ServerId,
    wire: Wire,
    /// The incarnation of the process it is connected to.
    incarnation: Option<u64>,
    to_server_us: u64,
    to_client_us: u64,
    /// When it reached the member.
    accepted_us: u64,
    /// The last entry the member had applied then.
    accepted_at: u64,
    /// Whether the server's end is gone.
    ended: bool,
}

/// The result of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The broken guarantee, if any.
    pub violation: Option<Violation>,
    /// Hash of everything that happened.
    pub fingerprint: u64,
    /// Number of committed entries.
    pub entries: usize,
    /// How many of them started a leadership.
    pub leaderships: usize,
    /// Number of replies that clients received.
    pub replies: usize,
    /// Duration, in µs of the run.
    pub ended_us: u64,
}

/// One run.
pub struct World {
    plan: Plan,
    random: Random,
    now_us: u64,
    scheduled: u64,
    events: BTreeMap<(u64, u64), Event>,
    hosts: Vec<Host>,
    network: Network,
    clients: Vec<Client>,
    connections: Vec<Connection>,
    /// By the group's number.
    groups: Vec<GroupRun>,
    trace: Trace,
    /// When all faults ended.
    faults_ended_us: Option<u64>,
    /// How long to cut off the next elected leader, in µs; `None`: not at all.
    cut_next_leader_us: Option<u64>,
    /// Events in the current second of the run.
    events_of_second: u64,
    over: bool,
}

/// Runs a plan to its end.
pub fn run(plan: &Plan, verbose: bool) -> Outcome {
    let mut world = World::new(plan.clone(), verbose);
    let violation = world.go().err();
    if let Some(violation) = &violation {
        world.trace.log(world.now_us, format_args!("VIOLATION {violation}"));
    }
    Outcome {
        violation,
        fingerprint: world.trace.fingerprint(),
        entries: world.groups.iter().map(|group| group.agreement.entries().len()).sum(),
        leaderships: world.groups.iter().map(|group| group.agreement.leaderships()).sum(),
        replies: world.groups.iter().map(GroupRun::replies).sum(),
        ended_us: world.now_us,
    }
}

impl World {
    fn new(plan: Plan, verbose: bool) -> World {
        let mut random = Random::new(plan.seed ^ 0x5EED);
        let hosts = (1..=plan.members)
            .map(|id| Host::new(id, plan.config(id), plan.flush_us, random.fork()))
            .collect();
        let network = Network::new(plan.members, random.fork(), plan.delay_us);
        let mut clients: Vec<_> = (0..plan.clients)
            .map(|n| Client::new(n, random.fork(), plan.members, plan.read_only_mode))
            .collect();
        if plan.has_read_delays() {
            clients = clients.into_iter().map(Client::stubborn).collect();
        }
        if let Some(timeout_ms) = plan.timeout_ms {
            clients = clients.into_iter().map(|client| client.with_timeout(timeout_ms)).collect();
        }
        for (client, group) in clients.iter_mut().zip(plan.group_ids().cycle()) {
            client.use_group(group);
        }
        if let Some(operator) = plan.operator() {
            let client = Client::new(clients.len(), random.fork(), plan.members, plan.read_only_mode);
            clients.push(client.with_operator(operator));
        }
        World {
            random,
            now_us: 0,
            scheduled: 0,
            events: BTreeMap::new(),
            hosts,
            network,
            clients,
            connections: Vec::new(),
            groups: (0..plan.groups).map(|_| GroupRun::default()).collect(),
            trace: Trace::new(verbose),
            faults_ended_us: None,
            cut_next_leader_us: None,
            events_of_second: 0,
            over: false,
            plan,
        }
    }

    fn at(&mut self, at_us: u64, event: Event) {
        self.scheduled += 1;
        self.events.insert((at_us.max(self.now_us), self.scheduled), event);
    }

    fn after(&mut self, us: u64, event: Event) {
        self.at(self.now_us + us, event);
    }

    fn root(&self) -> &GroupRun {
        &self.groups[GroupId::ROOT.index()]
    }

    fn host(&mut self, id: ServerId) -> &mut Host {
        &mut self.hosts[id as usize - 1]
    }

    fn go(&mut self) -> Result<(), Violation> {
        for id in 1..=self.plan.members {
            let delay_us = self.random.below(50_000);
            self.after(delay_us, Event::Start { host: id, incarnation: 0 });
        }
        for client in 0..self.clients.len() {
            let delay_us = self.random.below(400_000);
            self.after(delay_us, Event::Turn(client));
        }
        for (fault, (at_us, _)) in self.plan.faults.clone().into_iter().enumerate() {
            self.at(at_us, Event::Fault(fault));
        }
        self.at(self.plan.faulty_us, Event::FaultsEnd);
        while !self.over {
            let Some(((at_us, _), event)) = self.events.pop_first() else { break };
            self.count_event(at_us)?;
            self.now_us = at_us;
            self.trace.number(at_us);
            self.handle(event)?;
        }
        let (ended_us, plan) = (self.now_us, &self.plan);
        self.groups.iter_mut().try_for_each(|group| group.judge(ended_us, plan))
    }

    /// Fails the run if time hardly advances any more.
    fn count_event(&mut self, at_us: u64) -> Result<(), Violation> {
        let second = at_us / 1_000_000;
        self.events_of_second = if second == self.now_us / 1_000_000 { self.events_of_second + 1 } else { 0 };
        if self.events_of_second <= EVENTS_PER_SECOND_MAX {
            return Ok(());
        }
        self.log_member_states();
        let evidence = format!("{EVENTS_PER_SECOND_MAX} events happened in second {second}");
        Err(Violation::new("idle members stay idle", evidence))
    }

    fn handle(&mut self, event: Event) -> Result<(), Violation> {
        match event {
            Event::Drive(host) => self.drive(host)?,
            Event::Serve(host) => self.serve(host)?,
            Event::Keepalive { host, incarnation } => self.send_keepalives(host, incarnation),
            Event::Frame { pair, connection, frame } => self.on_frame(pair, connection, frame),
            Event::Link { pair } => self.try_link(pair),
            Event::Unlinked { pair, incarnation } => self.on_unlinked(pair, incarnation),
            Event::Turn(client) => self.client_turn(client),
            Event::Accept(connection) => self.accept(connection),
            Event::ToServer { connection, bytes } => self.reach_server(connection, &bytes),
            Event::HangUp(connection) => self.hang_up(connection),
            Event::ToClient { connection, bytes } => self.reach_client(connection, &bytes)?,
            Event::Ended(connection) => self.connection_ended(connection),
            Event::Fault(fault) => self.inject(fault),
            Event::Start { host, incarnation } => self.switch_on(host, incarnation)?,
            Event::Heal { pair } => self.set_link_state(pair, LinkState::Clear),
            Event::LossEnds => self.set_loss(0),
            Event::DiskHeals { host } => self.heal_disk(host),
            Event::FaultsEnd => self.end_faults(),
            Event::CheckRecovery => self.check_recovery()?,
        }
        Ok(())
    }

    /// Ends the run once the ensemble has recovered, and fails it if that takes too long.
    fn check_recovery(&mut self) -> Result<(), Violation> {
        let since_us = self.faults_ended_us.unwrap_or(self.now_us);
        let missing = self.what_is_missing();
        for group in &mut self.groups {
            group.committed_at_check = group.agreement.last_index();
        }
        match missing {
            None => self.over = true,
            Some(missing) if self.now_us - since_us > RECOVERY_US => {
                self.log_member_states();
                return Err(Violation::new(
                    "once faults stop, all members catch up and every client is served",
                    format!("{missing}, {} s after the last fault", RECOVERY_US / 1_000_000),
                ));
            }
            Some(_) => self.after(CHECK_US, Event::CheckRecovery),
        }
        Ok(())
    }

    /// Prints the state of the members, to find out why there is no progress.
    fn log_member_states(&mut self) {
        for at in 0..self.hosts.len() {
            let id = at as ServerId + 1;
            let closed: Vec<ServerId> = (1..=self.plan.members)
                .filter(|other| *other != id && !self.network.is_open((id, *other)))
                .collect();
            let host = &mut self.hosts[at];
            let Some(member) = &mut host.member else { continue };
            for group in self.plan.group_ids() {
                let (status, serving) = (member.status(group), member.is_serving(group));
                let story = format_args!(
                    "member {id} of group {group}: {status:?}, serving: {serving}, no connection to {closed:?}"
                );
                self.trace.log(self.now_us, story);
            }
        }
    }

    fn what_is_missing(&self) -> Option<String> {
        let wanted = self.committed_members();
        for host in &self.hosts {
            let Some(member) = &host.member else {
                return Some(format!("member {} is not running", host.id));
            };
            for (id, group) in self.plan.group_ids().zip(&self.groups) {
                let (applied, last) = (member.applied_index(id), group.committed_at_check);
                if applied < last && wanted.contains_key(&host.id) {
                    return Some(format!("member {} of group {id} is at entry {applied} of {last}", host.id));
                }
            }
        }
        if let Some(other) = self.wrong_voters() {
            return Some(other);
        }
        if let Some(connection) = self.left_open() {
            return Some(format!("connection {connection}, which its client has abandoned, is still open"));
        }
        let unserved = self.clients.iter().enumerate().find(|(number, client)| {
            let group = &self.groups[client.group().index()];
            !group.serves(*number)
        });
        unserved.map(|(number, _)| format!("client {number} completed no write"))
    }

    /// A connection that a server keeps although its client has moved on to another one. One to a
    /// read-only server may stay: that server finds silent connections by its own timer, which is
    /// not simulated.
    fn left_open(&self) -> Option<usize> {
        let serves = |server: ServerId, group| {
            let member = &self.hosts[server as usize - 1].member;
            member.as_ref().is_some_and(|member| member.is_serving(group))
        };
        let mut connections = self.connections.iter().enumerate();
        let left = connections.find(|(number, connection)| {
            let client = &self.clients[connection.client];
            let is_left = client.connection() != Some(*number);
            is_left && !connection.ended && serves(connection.member, client.group())
        });
        left.map(|(number, _)| number)
    }

    /// The members according to the committed log: at first those of the configuration file.
    fn committed_members(&self) -> Servers {
        let members = self.root().agreement.machine().members();
        match &members.current {
            Some(current) if self.plan.reconfigures => servers_of(&current.text),
            _ => self.plan.servers_in_file(1),
        }
    }

    /// The servers that are to vote according to the committed log, in order.
    fn configured_voters(&self) -> Vec<ServerId> {
        let members = self.committed_members();
        let voters = members.iter().filter(|(_, member)| !member.observer);
        voters.map(|(server, _)| *server).collect()
    }

    /// Whether the current voters are not the intended ones, or a membership change is not
    /// complete.
    fn wrong_voters(&self) -> Option<String> {
        if self.root().agreement.machine().members().proposed.is_some() {
            return Some("a membership change is not complete".to_owned());
        }
        let to_vote = self.configured_voters();
        self.plan.group_ids().find_map(|group| self.wrong_voters_of(group, &to_vote))
    }

    fn wrong_voters_of(&self, group: GroupId, to_vote: &[ServerId]) -> Option<String> {
        let mut members = self.hosts.iter().filter_map(|host| host.member.as_ref());
        let leads = |member: &&Member| member.role(group).role == Role::Leader && member.is_serving(group);
        let Some(leader) = members.find(leads) else {
            return Some(format!("there is no leader of group {group}"));
        };
        let voters = leader.status(group).membership.voters;
        let mut voters: Vec<ServerId> = voters.iter().map(|id| state::members::server_of_id(id.0)).collect();
        voters.sort_unstable();
        (voters != to_vote)
            .then(|| format!("the voters of group {group} are {voters:?} and should be {to_vote:?}"))
    }
}

//! Members, clients, network and time of one run.
//!
//! What happens is an event with a time; events of one time happen in the order in which they were planned. Nothing else decides
//! anything, so a run is a function of its plan.

mod clients;
pub mod closings;
mod members;
mod mishaps;

use std::collections::BTreeMap;

use bytes::Bytes;
use consensus::engine::Role;
use server::config::{ServerId, Servers};
use state::members::servers_of;

use crate::checkers::agreement::Agreement;
use crate::checkers::{self, Violation};
use crate::client::Client;
use crate::history::History;
use crate::host::Host;
use crate::network::{Network, Way};
use crate::plan::Plan;
use crate::random::Random;
use crate::socket::Wire;
use crate::trace::Trace;

/// Time that everybody has, once nothing goes wrong any more, to serve and be served. A member whose snapshot failed waits for 30 s
/// before it writes the next one, which others may need.
const RECOVERY_US: u64 = 45_000_000;

/// Events of one second of the run beyond which members only keep each other busy.
const EVENTS_PER_SECOND_MAX: u64 = 1_000_000;

/// How often the run looks whether all is well again.
const LOOK_US: u64 = 100_000;

/// What can happen.
#[derive(Debug)]
enum Event {
    /// The replication thread of a member looks at what there is.
    Drive(ServerId),
    /// So does its connection thread.
    Serve(ServerId),
    /// So does the thread that gives signs of life while a flush takes long.
    LifeSigns { host: ServerId, life: u64 },
    /// A frame arrives.
    Frame { pair: (ServerId, ServerId), connection: u64, frame: Bytes },
    /// A connection between members is tried.
    Link { pair: (ServerId, ServerId) },
    /// A member learns that a connection has ended.
    Unlinked { pair: (ServerId, ServerId), life: u64 },
    /// A client does something.
    Turn(usize),
    /// A client's connection reaches the member.
    Accept(usize),
    /// Bytes of a client arrive.
    ToServer { connection: usize, bytes: Vec<u8> },
    /// The end of a client's connection arrives.
    HangUp(usize),
    /// Bytes of a server arrive.
    ToClient { connection: usize, bytes: Vec<u8> },
    /// The end of a server's connection arrives.
    Ended(usize),
    /// Something goes wrong.
    Fault(usize),
    /// A machine is switched on.
    Start { host: ServerId, life: u64 },
    /// A way is as it was.
    Heal { pair: (ServerId, ServerId) },
    /// No more frames vanish.
    LossEnds,
    /// The disk is as it was.
    DiskHeals { host: ServerId },
    /// Nothing goes wrong from now on.
    Calm,
    /// Looks whether all is well.
    Look,
}

/// A connection of a client, as the network knows it.
struct Connection {
    client: usize,
    member: ServerId,
    wire: Wire,
    /// The member's process it is to.
    life: Option<u64>,
    to_server_us: u64,
    to_client_us: u64,
    /// When it reached the member.
    accepted_us: u64,
    /// The last entry that the member had applied then.
    accepted_at: u64,
    /// The server's end has gone.
    ended: bool,
}

/// What became of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The broken guarantee, if one is.
    pub violation: Option<Violation>,
    /// Of everything that happened.
    pub fingerprint: u64,
    /// Entries agreed on.
    pub entries: usize,
    /// How many of them began a leadership.
    pub leaderships: usize,
    /// Replies that clients got.
    pub replies: usize,
    /// How long it was, in µs of the run.
    pub ended_us: u64,
}

/// One run.
pub struct World {
    plan: Plan,
    random: Random,
    now_us: u64,
    planned: u64,
    events: BTreeMap<(u64, u64), Event>,
    hosts: Vec<Host>,
    network: Network,
    clients: Vec<Client>,
    connections: Vec<Connection>,
    agreement: Agreement,
    history: History,
    trace: Trace,
    /// Since when nothing goes wrong any more.
    calm_since_us: Option<u64>,
    /// Calls made before it.
    calls_before_calm: usize,
    /// What was agreed when it was last looked whether all is well: everybody should have applied it by the next time.
    agreed_at_look: u64,
    /// How long to cut off the next member that is elected, in µs; `None`: not at all.
    cut_next_leader_us: Option<u64>,
    /// Events of the present second of the run.
    events_of_second: u64,
    over: bool,
}

/// Runs it to its end.
pub fn run(plan: &Plan, told: bool) -> Outcome {
    let mut world = World::new(plan.clone(), told);
    let violation = world.go().err();
    if let Some(violation) = &violation {
        world.trace.tell(world.now_us, format_args!("VIOLATION {violation}"));
    }
    Outcome {
        violation,
        fingerprint: world.trace.fingerprint(),
        entries: world.agreement.entries().len(),
        leaderships: world.agreement.leaderships(),
        replies: world.history.calls.iter().filter(|call| call.reply.is_some()).count(),
        ended_us: world.now_us,
    }
}

impl World {
    fn new(plan: Plan, told: bool) -> World {
        let mut random = Random::new(plan.seed ^ 0x5EED);
        let hosts = (1..=plan.members)
            .map(|id| Host::new(id, plan.config(id), plan.flush_us, random.fork()))
            .collect();
        let network = Network::new(plan.members, random.fork(), plan.delay_us);
        let mut clients: Vec<_> = (0..plan.clients)
            .map(|n| Client::new(n, random.fork(), plan.members, plan.read_only_mode))
            .collect();
        if plan.is_deaf() {
            clients = clients.into_iter().map(Client::stubborn).collect();
        }
        if let Some(timeout_ms) = plan.timeout_ms {
            clients = clients.into_iter().map(|client| client.with_timeout(timeout_ms)).collect();
        }
        if let Some(operator) = plan.operator() {
            let client = Client::new(clients.len(), random.fork(), plan.members, plan.read_only_mode);
            clients.push(client.with_operator(operator));
        }
        World {
            random,
            now_us: 0,
            planned: 0,
            events: BTreeMap::new(),
            hosts,
            network,
            clients,
            connections: Vec::new(),
            agreement: Agreement::default(),
            history: History::default(),
            trace: Trace::new(told),
            calm_since_us: None,
            calls_before_calm: 0,
            agreed_at_look: u64::MAX,
            cut_next_leader_us: None,
            events_of_second: 0,
            over: false,
            plan,
        }
    }

    fn at(&mut self, at_us: u64, event: Event) {
        self.planned += 1;
        self.events.insert((at_us.max(self.now_us), self.planned), event);
    }

    fn after(&mut self, us: u64, event: Event) {
        self.at(self.now_us + us, event);
    }

    fn host(&mut self, id: ServerId) -> &mut Host {
        &mut self.hosts[id as usize - 1]
    }

    fn go(&mut self) -> Result<(), Violation> {
        for id in 1..=self.plan.members {
            let delay_us = self.random.below(50_000);
            self.after(delay_us, Event::Start { host: id, life: 0 });
        }
        for client in 0..self.clients.len() {
            let delay_us = self.random.below(400_000);
            self.after(delay_us, Event::Turn(client));
        }
        for (fault, (at_us, _)) in self.plan.faults.clone().into_iter().enumerate() {
            self.at(at_us, Event::Fault(fault));
        }
        self.at(self.plan.faulty_us, Event::Calm);
        while !self.over {
            let Some(((at_us, _), event)) = self.events.pop_first() else { break };
            self.count_event(at_us)?;
            self.now_us = at_us;
            self.trace.number(at_us);
            self.happens(event)?;
        }
        self.history.ended_us = self.now_us;
        checkers::judge(&self.history, &self.agreement, &self.plan)
    }

    /// Fails the run if time hardly goes by any more.
    fn count_event(&mut self, at_us: u64) -> Result<(), Violation> {
        let second = at_us / 1_000_000;
        self.events_of_second = if second == self.now_us / 1_000_000 { self.events_of_second + 1 } else { 0 };
        if self.events_of_second <= EVENTS_PER_SECOND_MAX {
            return Ok(());
        }
        self.tell_standing();
        let evidence = format!("{EVENTS_PER_SECOND_MAX} things happened in second {second}");
        Err(Violation::new("members that have nothing to do do nothing", evidence))
    }

    fn happens(&mut self, event: Event) -> Result<(), Violation> {
        match event {
            Event::Drive(host) => self.drive(host)?,
            Event::Serve(host) => self.serve(host)?,
            Event::LifeSigns { host, life } => self.give_life_signs(host, life),
            Event::Frame { pair, connection, frame } => self.frame_arrives(pair, connection, frame),
            Event::Link { pair } => self.try_link(pair),
            Event::Unlinked { pair, life } => self.hears_unlinked(pair, life),
            Event::Turn(client) => self.client_turn(client),
            Event::Accept(connection) => self.accept(connection),
            Event::ToServer { connection, bytes } => self.reach_server(connection, &bytes),
            Event::HangUp(connection) => self.hang_up(connection),
            Event::ToClient { connection, bytes } => self.reach_client(connection, &bytes)?,
            Event::Ended(connection) => self.connection_ended(connection),
            Event::Fault(fault) => self.inject(fault),
            Event::Start { host, life } => self.switch_on(host, life)?,
            Event::Heal { pair } => self.set_way(pair, Way::Clear),
            Event::LossEnds => self.set_loss(0),
            Event::DiskHeals { host } => self.heal_disk(host),
            Event::Calm => self.calm_down(),
            Event::Look => self.look()?,
        }
        Ok(())
    }

    /// Ends the run once everybody is where everybody should be, and fails it if that takes too long.
    fn look(&mut self) -> Result<(), Violation> {
        let since_us = self.calm_since_us.unwrap_or(self.now_us);
        let missing = self.what_is_missing();
        self.agreed_at_look = self.agreement.last_index();
        match missing {
            None => self.over = true,
            Some(missing) if self.now_us - since_us > RECOVERY_US => {
                self.tell_standing();
                return Err(Violation::new(
                    "once faults stop, all members catch up and every client is served",
                    format!("{missing}, {} s after the last fault", RECOVERY_US / 1_000_000),
                ));
            }
            Some(_) => self.after(LOOK_US, Event::Look),
        }
        Ok(())
    }

    /// How the members stand, for the one who has to find out why nothing moves.
    fn tell_standing(&mut self) {
        for at in 0..self.hosts.len() {
            let id = at as ServerId + 1;
            let closed: Vec<ServerId> = (1..=self.plan.members)
                .filter(|other| *other != id && !self.network.is_open((id, *other)))
                .collect();
            let host = &mut self.hosts[at];
            let Some(member) = &mut host.member else { continue };
            let (status, serving) = (member.status(), member.is_serving());
            self.trace.tell(
                self.now_us,
                format_args!("member {id}: {status:?}, serving: {serving}, no way to {closed:?}"),
            );
        }
    }

    fn what_is_missing(&mut self) -> Option<String> {
        let last = self.agreed_at_look;
        let wanted = self.agreed_members();
        for host in &self.hosts {
            let Some(member) = &host.member else { return Some(format!("member {} does not run", host.id)) };
            if member.applied_index() < last && wanted.contains_key(&host.id) {
                let applied = member.applied_index();
                return Some(format!("member {} is at entry {applied} of {last}", host.id));
            }
        }
        if let Some(other) = self.other_voters(&wanted) {
            return Some(other);
        }
        if let Some(connection) = self.left_open() {
            return Some(format!("connection {connection}, which its client has left, is still open"));
        }
        let proofs = &self.history.calls[self.calls_before_calm..];
        for client in 0..self.clients.len() {
            let served = proofs.iter().filter(|call| call.client == client && call.opcode > 0);
            if !served.into_iter().any(|call| call.reply.as_ref().is_some_and(|reply| reply.err == 0)) {
                return Some(format!("client {client} got no write done"));
            }
        }
        None
    }

    /// A connection that a server keeps though its client has gone on with another one. One to a
    /// server that only reads may stay: that server looks for silent ones on its own time, of which
    /// the simulated one has none.
    fn left_open(&self) -> Option<usize> {
        let serves = |server: ServerId| {
            let member = &self.hosts[server as usize - 1].member;
            member.as_ref().is_some_and(|member| member.is_serving())
        };
        let mut connections = self.connections.iter().enumerate();
        let left = connections.find(|(number, connection)| {
            let is_left = self.clients[connection.client].connection() != Some(*number);
            is_left && !connection.ended && serves(connection.member)
        });
        left.map(|(number, _)| number)
    }

    /// The members as the agreed log has them: those of the file at first.
    fn agreed_members(&self) -> Servers {
        let members = self.agreement.machine().members();
        match &members.current {
            Some(current) if self.plan.reconfigures => servers_of(&current.text),
            _ => self.plan.servers_in_file(1),
        }
    }

    /// Whether others vote than are to vote, or a change of them is not over.
    fn other_voters(&mut self, wanted: &Servers) -> Option<String> {
        if self.agreement.machine().members().proposed.is_some() {
            return Some("a change of the members is not over".to_owned());
        }
        let to_vote = wanted.iter().filter(|(_, member)| !member.observer).map(|(server, _)| *server);
        let to_vote: Vec<ServerId> = to_vote.collect();
        let mut leaders = self.hosts.iter_mut().filter_map(|host| host.member.as_mut());
        let leader = leaders.find(|member| member.role().role == Role::Leader && member.is_serving());
        let Some(leader) = leader else { return Some("nobody leads".to_owned()) };
        let mut voters: Vec<ServerId> =
            leader.status().membership.voters.iter().map(|id| state::members::server_of_id(id.0)).collect();
        voters.sort_unstable();
        (voters != to_vote).then(|| format!("{voters:?} vote, and {to_vote:?} are to"))
    }
}

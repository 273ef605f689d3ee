//! The traffic between clients and members.

use std::fmt;

use super::{Connection, Event, World};
use crate::checkers::Violation;
use crate::client::{Action, Client};
use crate::history::{Arrival, History, Received};
use crate::socket::Wire;
use server::config::ServerId;

/// Bytes a socket takes before the server has to wait.
const ROOMS: [usize; 3] = [200, 4_000, 1 << 20];

/// Bytes that a slow reader takes at a time, and how often.
const TRICKLE_BYTES: usize = 40;
const TRICKLE_US: u64 = 20_000;

impl World {
    pub(super) fn client_turn(&mut self, client: usize) {
        let (now_us, made) = (self.now_us, self.connections.len());
        let (client_state, history) = self.client_and_history(client);
        history.connections = made;
        let actions = client_state.turn(now_us, history);
        self.perform(client, actions);
        let (low, high) = self.plan.turn_us;
        let delay_us = self.random.between(low, high);
        self.after(delay_us, Event::Turn(client));
    }

    /// A client, and the history of its group.
    fn client_and_history(&mut self, client: usize) -> (&mut Client, &mut History) {
        let client = &mut self.clients[client];
        let group = &mut self.groups[client.group().index()];
        (client, &mut group.history)
    }

    fn perform(&mut self, client: usize, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Connect(member) => self.connect(client, member),
                Action::Send(bytes) => self.send_to_server(client, bytes),
                Action::Close => self.client_closes(client),
                Action::Reconnect { closes } => {
                    if closes {
                        self.client_closes(client);
                    }
                    let (now_us, made) = (self.now_us, self.connections.len());
                    let (client_state, history) = self.client_and_history(client);
                    history.connections = made;
                    let actions = client_state.reconnect(now_us, history);
                    self.perform(client, actions);
                }
            }
        }
    }

    fn connect(&mut self, client: usize, member: ServerId) {
        let connection = self.connections.len();
        let story = format_args!("client {client} connects to member {member}: connection {connection}");
        self.trace.log(self.now_us, story);
        let wire = Wire::new(*self.random.pick(&ROOMS));
        let delay_us = self.network.delay_us();
        let at_us = self.now_us + delay_us;
        self.connections.push(Connection {
            client,
            member,
            wire,
            incarnation: None,
            to_server_us: at_us,
            to_client_us: at_us,
            accepted_us: at_us,
            accepted_at: 0,
            ended: false,
        });
        assert_eq!(self.clients[client].connection(), Some(connection), "connections are counted alike");
        self.at(at_us, Event::Accept(connection));
    }

    pub(super) fn accept(&mut self, connection: usize) {
        let member = self.connections[connection].member;
        if self.host(member).member.is_none() {
            return self.server_closes(connection);
        }
        let incarnation = self.host(member).incarnation;
        let group = self.clients[self.connections[connection].client].group();
        let applied = self.host(member).member.as_ref().map_or(0, |member| member.applied_index(group));
        let known = &mut self.connections[connection];
        known.accepted_at = applied;
        known.incarnation = Some(incarnation);
        let wire = known.wire.clone();
        self.host(member).backlog.push((connection, group, wire));
        self.notice(member);
    }

    fn notice(&mut self, member: ServerId) {
        let delay_us = self.random.below(100);
        self.wake_server(member, delay_us);
    }

    /// When something sent now arrives at the member, after everything sent before.
    fn arrival_at_server_us(&mut self, connection: usize) -> u64 {
        let at_us = self.now_us + self.network.delay_us();
        let known = &mut self.connections[connection];
        known.to_server_us = known.to_server_us.max(at_us);
        known.to_server_us
    }

    fn arrival_at_client_us(&mut self, connection: usize) -> u64 {
        let at_us = self.now_us + self.network.delay_us();
        let known = &mut self.connections[connection];
        known.to_client_us = known.to_client_us.max(at_us);
        known.to_client_us
    }

    fn send_to_server(&mut self, client: usize, bytes: Vec<u8>) {
        let Some(connection) = self.clients[client].connection() else { return };
        let at_us = self.arrival_at_server_us(connection);
        self.at(at_us, Event::ToServer { connection, bytes });
    }

    fn is_alive(&mut self, connection: usize) -> bool {
        let known = &self.connections[connection];
        let (member, incarnation, ended) = (known.member, known.incarnation, known.ended);
        let host = self.host(member);
        !ended && host.member.is_some() && incarnation == Some(host.incarnation)
    }

    pub(super) fn reach_server(&mut self, connection: usize, bytes: &[u8]) {
        if self.is_alive(connection) {
            self.trace.bytes(bytes);
            self.connections[connection].wire.arrive(bytes);
            let client = &self.clients[self.connections[connection].client];
            if let Some((session, open)) = client.session_on(connection) {
                let (at_us, member) = (self.now_us, self.connections[connection].member);
                let history = &mut self.groups[client.group().index()].history;
                history.arrivals.entry(session).or_default().push(Arrival { at_us, member, open });
            }
            self.notice(self.connections[connection].member);
        }
    }

    pub(super) fn hang_up(&mut self, connection: usize) {
        if self.is_alive(connection) {
            self.connections[connection].wire.hang_up();
            self.notice(self.connections[connection].member);
        }
    }

    /// The client closes its newest connection.
    fn client_closes(&mut self, client: usize) {
        let newest = self.connections.iter().rposition(|connection| connection.client == client);
        let Some(connection) = newest else { return };
        let at_us = self.arrival_at_server_us(connection);
        self.at(at_us, Event::HangUp(connection));
    }

    /// Sends what a member has written.
    pub(super) fn collect_written(&mut self, id: ServerId) -> Result<(), Violation> {
        let slow = self.host(id).slow_readers_until_us > self.now_us;
        let slots: Vec<_> = self
            .host(id)
            .slots
            .iter()
            .map(|(slot, (connection, wire))| (*slot, *connection, wire.clone()))
            .collect();
        for (slot, connection, wire) in slots {
            if slow {
                wire.narrow(ROOMS[0]);
            }
            let (bytes, blocked) = if slow { wire.take_some(TRICKLE_BYTES) } else { wire.take_written() };
            if !bytes.is_empty() {
                let at_us = self.arrival_at_client_us(connection);
                self.at(at_us, Event::ToClient { connection, bytes });
            }
            if wire.is_closed() {
                self.host(id).slots.remove(&slot);
                self.judge_closing(id, connection)?;
                self.server_closes(connection);
            } else if blocked && slow {
                self.wake_server(id, TRICKLE_US);
            } else if blocked {
                self.notice(id);
            }
        }
        Ok(())
    }

    /// The server's end of a connection is gone.
    pub(super) fn server_closes(&mut self, connection: usize) {
        if !std::mem::replace(&mut self.connections[connection].ended, true) {
            let at_us = self.arrival_at_client_us(connection);
            self.at(at_us, Event::Ended(connection));
        }
    }

    fn has(&self, connection: usize) -> bool {
        self.clients[self.connections[connection].client].connection() == Some(connection)
    }

    pub(super) fn reach_client(&mut self, connection: usize, bytes: &[u8]) -> Result<(), Violation> {
        if !self.has(connection) {
            return Ok(());
        }
        self.trace.bytes(bytes);
        let client = self.connections[connection].client;
        let (now_us, made) = (self.now_us, self.connections.len());
        let (client_state, history) = self.client_and_history(client);
        history.connections = made;
        let before = history.received.len();
        let actions = client_state.receive(now_us, bytes, history)?;
        let history = &self.groups[self.clients[client].group().index()].history;
        for (client, connection, received) in &history.received[before..] {
            let about: &dyn fmt::Display = match received {
                Received::Reply { call } => &history.calls[*call],
                other => other,
            };
            self.trace.log(self.now_us, format_args!("client {client} on {connection}: {about}"));
        }
        self.perform(client, actions);
        Ok(())
    }

    pub(super) fn connection_ended(&mut self, connection: usize) {
        if self.has(connection) {
            let client = self.connections[connection].client;
            let now_us = self.now_us;
            let (client, history) = self.client_and_history(client);
            client.lost(now_us, history);
        }
    }
}
